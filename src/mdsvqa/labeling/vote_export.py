"""Tables of votes and of what they say, as CSV that spreadsheets open, in any script, without running a cell."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.votes import REPEAT, VIDEO, PairVotes, Votes
from mdsvqa.runtime.arrays import Floats

# A spreadsheet takes a cell that begins so for a formula. One that begins with apostrophes before it is told apart from
# one that got its apostrophe here by a further one.
_RUNS = re.compile(r"'*[=+\-@\t\r]")
# Columns of a table of labels.
LABELS = ("id", "mos", "mos_low", "mos_high", "mos_std", "votes", "votes_excluded")


def escaped(cell: str) -> str:
    """A text cell that no spreadsheet runs; reading takes the apostrophe away again.

    >>> escaped("=1+1"), escaped("clip-1"), escaped("'=1")
    ("'=1+1", 'clip-1', "''=1")
    """
    return f"'{cell}" if _RUNS.match(cell) else cell


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str | float | int | None]]) -> bytes:
    """A CSV as UTF-8 with a byte order mark.

    Args:
        header: names of the columns.
        rows: texts are escaped, numbers written in full, whole ones without a point; None and NaN are empty.
    """
    text = io.StringIO()
    # The first line tells readers what separates cells: there, every name stands in quotes.
    csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerow([escaped(name) for name in header])
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _cell(value: str | float | int | None) -> str:
    if isinstance(value, str):
        return escaped(value)
    if value is None or np.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def pseudonyms(count: int) -> list[str]:
    """Names in place of those of raters: r001, r002, ..."""
    return [f"r{number:0{max(3, len(str(count)))}d}" for number in range(1, count + 1)]


def long_csv(votes: Votes, raters: Sequence[str] | None = None) -> bytes:
    """Every vote in a row, with whether it counts and why not.

    Args:
        votes: all of them.
        raters: names in place of the table's, one for each.
    """
    names, scale = raters or votes.raters, f"{votes.low:g}-{votes.high:g}"
    header = ["video", "rater", "vote", "scale", "method", "kind", "expected", "disturbed", "excluded"]
    rows = (
        [votes.videos[j], names[i], v, scale, votes.method, str(kind), expected, int(disturbed), str(excluded)]
        for j, i, v, kind, expected, disturbed, excluded in zip(
            votes.video.tolist(),
            votes.rater.tolist(),
            votes.vote.tolist(),
            votes.kind,
            votes.expected.tolist(),
            votes.disturbed.tolist(),
            votes.excluded,
            strict=True,
        )
    )
    return csv_bytes(header, rows)


def wide_csv(votes: Votes, raters: Sequence[str] | None = None) -> bytes:
    """One row a video, one column a rater: the votes that count, the first where there are several."""
    counted = votes.counted()
    table = np.full((len(votes.videos), len(votes.raters)), np.nan)
    table[counted.video[::-1], counted.rater[::-1]] = counted.vote[::-1]
    rows = ([video, *values] for video, values in zip(votes.videos, table.tolist(), strict=True))
    return csv_bytes(["video", *(raters or votes.raters)], rows)


def pairs_csv(votes: PairVotes, raters: Sequence[str] | None = None) -> bytes:
    """Every answer to a pair in a row."""
    names = raters or votes.raters
    rows = (
        [votes.videos[a], votes.videos[b], names[i], p, str(kind), expected, int(d), str(e)]
        for a, b, i, p, kind, expected, d, e in zip(
            votes.first.tolist(),
            votes.second.tolist(),
            votes.rater.tolist(),
            votes.preference.tolist(),
            votes.kind,
            votes.expected.tolist(),
            votes.disturbed.tolist(),
            votes.excluded,
            strict=True,
        )
    )
    return csv_bytes(["first", "second", "rater", "preference", "kind", "expected", "disturbed", "excluded"], rows)


def videos_csv(
    found: Estimate | None,
    votes: Votes | PairVotes,
    videos: Sequence[str] | None = None,
    tone_mapped: Mapping[str, str] | None = None,
) -> bytes:
    """MOS as a table of labels, by `label_rows`; scores of pairs, which have no levels, say so: column scale.

    Args:
        found, votes: as of `label_rows`.
        videos: of these, in this order; by default of all of the table.
        tone_mapped: PQ or HLG of videos that were rated in SDR, by name; where there are any, a column says so.
    """
    rows = {str(row[0]): row for row in label_rows(found, votes)}
    chosen = [rows[name] for name in (votes.videos if videos is None else videos)]
    header = list(LABELS)
    if not isinstance(votes, Votes):
        header = [*(name.replace("mos", "score") for name in LABELS), "scale"]
        chosen = [[*row, "pairs"] for row in chosen]
    if tone_mapped:
        header, chosen = [*header, "tone_mapped"], [[*row, tone_mapped.get(str(row[0]), "")] for row in chosen]
    return csv_bytes(header, chosen)


def label_rows(found: Estimate | None, votes: Votes | PairVotes) -> list[list[str | float | int | None]]:
    """One row a video: id, mos, mos_low, mos_high, mos_std, votes, votes_excluded.

    A model that takes off biases may place a video beyond the ends of the scale of its votes; here it lies on the end.
    A video without a vote that counts has an empty mos.

    Args:
        found: MOS of the table's videos; None where no vote counts.
        votes: the whole table: what it holds of a video beside the votes that count was excluded. Of pairs there is
            no standard deviation.
    """
    unknown = np.full(len(votes.videos), np.nan)
    given = votes.only(np.isin(votes.kind, (VIDEO, REPEAT))).per_video()
    std, low, high = unknown, -np.inf, np.inf
    if isinstance(votes, Votes):
        std, low, high = deviations(votes), votes.low, votes.high
    excluded = given - votes.counted().per_video()
    known = [unknown] * 3 if found is None else [found.mos, found.low, found.high]
    mos = [np.clip(values, low, high).tolist() for values in known]
    counts = [0] * len(votes.videos) if found is None else found.votes.tolist()
    columns = (votes.videos, *mos, std.tolist(), counts, excluded.tolist())
    return [list(row) for row in zip(*columns, strict=True)]


def deviations(votes: Votes) -> Floats:
    """Standard deviation of the votes on each video that count, shape (videos,); NaN of fewer than two."""
    counted = votes.counted()
    n = counted.per_video()
    mean = np.bincount(counted.video, counted.vote, len(n)) / np.maximum(n, 1)
    square = np.bincount(counted.video, (counted.vote - mean[counted.video]) ** 2, len(n))
    variance: Floats = np.divide(square, n - 1, out=np.full(len(n), np.nan), where=n > 1)
    return np.sqrt(variance)

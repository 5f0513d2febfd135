"""Tables of votes that people hand in: long or wide, of votes or of pairs, as CSV, TSV, JSONL, Parquet or JSON."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.labeling.label_studio import read_label_studio
from mdsvqa.labeling.votes import ACR, KINDS, METHODS, REPEAT, VIDEO, PairVotes, Votes
from mdsvqa.runtime.arrays import Flags, Floats
from mdsvqa.runtime.user_tables import ColumnError, Columns, read_columns
from mdsvqa.videos.mos_scale import MosScale

AUTO, LONG, WIDE, PAIRS, LABEL_STUDIO, P910 = "auto", "long", "wide", "pairs", "label-studio", "p910"
FORMATS = (AUTO, LONG, WIDE, PAIRS, LABEL_STUDIO, P910)
FIVE_LEVELS = MosScale(1.0, 5.0)
# Names that columns go by, in lower case; the first is ours.
VIDEO_COLUMNS = ("video", "id", "name", "stimulus", "pvs", "file")
RATER_COLUMNS = ("rater", "participant", "subject", "observer", "worker", "workerid", "annotator")
VOTE_COLUMNS = ("vote", "rating", "score", "opinion")
FIRST_COLUMNS, SECOND_COLUMNS = ("first", "left"), ("second", "right")
# Of votes_per_worker files: the name without folders, and the whole.
SHORT_NAME, WHOLE_NAME = "short_file_name", "file"
PREFERENCES = {"first": 1.0, "left": 1.0, "second": 0.0, "right": 0.0, "equal": 0.5}
# Who answered pairs where the table does not say.
NAMELESS = "unnamed"
YES, NO = ("1", "true", "yes"), ("0", "false", "no", "")
# What `escaped` wrote before a cell that a spreadsheet would run.
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class _Sheet:
    """A table with its columns found by any of their names.

    Attributes:
        columns: as read.
        text: whether apostrophes before = + - @ were written for a spreadsheet.
    """

    columns: Columns
    text: bool

    def name_of(self, names: Sequence[str]) -> str | None:
        """The table's column that goes by one of these names."""
        lower = {name.lower(): name for name in reversed(list(self.columns.cells))}
        return next((lower[name] for name in names if name in lower), None)

    def distinct(self, column: str) -> dict[Any, None]:
        """The different cells of a column, in their order; millions of rows have few."""
        cells = self.columns.column(column)
        try:
            return dict.fromkeys(cells)
        except TypeError:
            row = next(row for row, cell in enumerate(cells, 1) if isinstance(cell, list | dict))
            raise ColumnError(
                f"{self.columns.path}, row {row}, column {column}: found {cells[row - 1]!r}, expected text or a number."
            ) from None

    def names(self, column: str) -> list[str]:
        """A column of names, none of which may be empty."""
        cells = self.columns.column(column)
        known = {cell: "" if cell is None else self.plain(str(cell)) for cell in self.distinct(column)}
        if "" in known.values() or any(name.isspace() for name in known.values()):
            row = next(row for row, cell in enumerate(cells, 1) if not known[cell].strip())
            raise ColumnError(f"{self.columns.path}, row {row}, column {column}: is empty; expected a name.")
        return [known[cell] for cell in cells]

    def numbers(self, column: str) -> Floats:
        """A column of numbers, NaN where it is empty."""
        cells = self.columns.column(column)
        distinct = list(self.distinct(column))
        try:
            known = dict(zip(distinct, Columns(self.columns.path, {column: distinct}).numbers(column), strict=True))
        except ColumnError:
            # Says in which row.
            return self.columns.numbers(column)
        return np.fromiter((known[cell] for cell in cells), np.float64, len(cells))

    def plain(self, cell: str) -> str:
        """A name without the apostrophe that keeps a spreadsheet from running it."""
        return cell[1:] if self.text and _ESCAPED.match(cell) else cell

    def words(self, column: str, default: str) -> list[str]:
        """A column of words, the default where it is empty or absent."""
        name = self.name_of([column])
        if name is None:
            return [default] * len(self.columns)
        cells = self.columns.column(name)
        words = {cell: default if cell in ("", None) else self.plain(str(cell).strip()) for cell in self.distinct(name)}
        return [words[cell] for cell in cells]


def read_votes(
    path: Path, *, form: str = AUTO, scale: MosScale | None = None, question: str | None = None
) -> Votes | PairVotes:
    """Reads votes in any of the forms that we know.

    Long: columns video, rater, vote (or rating), and maybe scale, method, kind, expected, disturbed, excluded. Wide:
    the first column names the video, each further one is a rater; the other way round where the first is called
    rater. Pairs: better, worse, rater; or first, second, preference, rater. Label Studio: its JSON export. p910: the
    votes_per_worker CSV of microsoft/P.910.

    A rater's second vote on a video is a repeat: it tells of the rater, and does not count.

    Args:
        path: of the file.
        form: one of FORMATS; auto looks at the columns.
        scale: of the votes; by default what the file's column says, else 1-5.
        question: of Label Studio, which rating to take where an annotation has several.

    Raises:
        InputError: it cannot be read, or holds something else; the message names the row.
    """
    if form == LABEL_STUDIO or (form == AUTO and path.suffix.lower() == ".json"):
        annotations = read_label_studio(path, question)
        place = f"{path}, task"
        return _of_rows(place, *annotations, scale or FIVE_LEVELS)
    sheet = _Sheet(read_columns(path), path.suffix.lower() in (".csv", ".tsv"))
    form = _form(sheet) if form == AUTO else form
    if form == PAIRS:
        return _pairs(sheet)
    if form == WIDE:
        return _wide(sheet, scale or FIVE_LEVELS)
    return _long(sheet, scale, (SHORT_NAME, *VIDEO_COLUMNS) if form == P910 else VIDEO_COLUMNS)


def _form(sheet: _Sheet) -> str:
    if sheet.name_of(["better"]) or (sheet.name_of(FIRST_COLUMNS) and sheet.name_of(["preference"])):
        return PAIRS
    if sheet.name_of([SHORT_NAME]) and sheet.name_of(["workerid"]):
        return P910
    return LONG if sheet.name_of(RATER_COLUMNS) and sheet.name_of(VOTE_COLUMNS) else WIDE


def _needed(sheet: _Sheet, names: Sequence[str]) -> str:
    found = sheet.name_of(names)
    if found is None:
        raise ColumnError(
            f"{sheet.columns.path}: has no column {names[0]!r} (or {', '.join(names[1:])}); found "
            f"{', '.join(sheet.columns.cells)}."
        )
    return found


def _long(sheet: _Sheet, scale: MosScale | None, names: Sequence[str]) -> Votes:
    path = sheet.columns.path
    column = _needed(sheet, names)
    video = sheet.names(column)
    whole = sheet.name_of([WHOLE_NAME])
    if column.lower() == SHORT_NAME and whole is not None:
        video = _unambiguous(video, sheet.names(whole))
    rater, vote = sheet.names(_needed(sheet, RATER_COLUMNS)), sheet.numbers(_needed(sheet, VOTE_COLUMNS))
    method = _one(sheet, "method", ACR)
    if method not in METHODS:
        raise ColumnError(f"{path}, column method: found {method!r}, expected one of {', '.join(METHODS)}.")
    expected = sheet.name_of(["expected"])
    return _of_rows(
        f"{path}, row",
        video,
        rater,
        vote,
        [str(row) for row in range(1, len(vote) + 1)],
        scale or _scale(sheet),
        kind=_kinds(sheet),
        expected=np.full(len(vote), np.nan) if expected is None else sheet.numbers(expected),
        disturbed=_flags(sheet, "disturbed"),
        excluded=sheet.words("excluded", ""),
        method=method,
    )


def _wide(sheet: _Sheet, scale: MosScale) -> Votes:
    first, *others = sheet.columns.cells
    if not others or sheet.name_of(VOTE_COLUMNS):
        raise ColumnError(
            f"{sheet.columns.path}: expected columns video, rater and vote, or a first column of videos and one for "
            f"each rater; found {', '.join(sheet.columns.cells)}."
        )
    rows = sheet.names(first)
    votes = [sheet.numbers(name) for name in others]
    others = [sheet.plain(name) for name in others]
    by_row = [(row, other, votes[j][i]) for i, row in enumerate(rows) for j, other in enumerate(others)]
    one, two, value = zip(*by_row, strict=True)
    where = [f"{i}, column {other}" for i in range(1, len(rows) + 1) for other in others]
    video, rater = (two, one) if first.lower() in RATER_COLUMNS else (one, two)
    return _of_rows(f"{sheet.columns.path}, row", video, rater, np.array(value), where, scale)


def _pairs(sheet: _Sheet) -> PairVotes:
    if sheet.name_of(["better"]):
        first, second = (sheet.names(_needed(sheet, [name])) for name in ("better", "worse"))
        preference = np.ones(len(first))
    else:
        first, second = (sheet.names(_needed(sheet, names)) for names in (FIRST_COLUMNS, SECOND_COLUMNS))
        preference = _preferences(sheet, _needed(sheet, ["preference"]))
    for row, (one, other) in enumerate(zip(first, second, strict=True), 1):
        if one == other:
            raise ColumnError(f"{sheet.columns.path}, row {row}: found {one!r} on both sides, expected two videos.")
    rater = sheet.name_of(RATER_COLUMNS)
    given = np.isfinite(preference)
    expected = sheet.name_of(["expected"])
    found = PairVotes.of(
        first,
        second,
        [NAMELESS] * len(first) if rater is None else sheet.names(rater),
        preference,
        kind=_kinds(sheet),
        expected=np.nan if expected is None else sheet.numbers(expected),
        disturbed=_flags(sheet, "disturbed"),
        excluded=sheet.words("excluded", ""),
    )
    if not given.any():
        raise ColumnError(f"{sheet.columns.path}: no row has a preference; fill in first, second, equal or a number.")
    return found.only(given)


def _preferences(sheet: _Sheet, column: str) -> Floats:
    found = []
    for row, cell in enumerate(sheet.columns.column(column), 1):
        text = "" if cell is None else str(cell).strip().lower()
        try:
            value = np.nan if text == "" else PREFERENCES[text] if text in PREFERENCES else float(text)
        except ValueError:
            value = -1.0
        if value < 0 or value > 1:
            raise ColumnError(
                f"{sheet.columns.path}, row {row}, column {column}: found {cell!r}, expected first, second, equal (or "
                "left, right), or a number in [0, 1]."
            )
        found.append(value)
    return np.array(found, np.float64)


def _of_rows(
    place: str,
    video: Sequence[str],
    rater: Sequence[str],
    vote: Floats,
    where: Sequence[str],
    scale: MosScale,
    **columns: Any,
) -> Votes:
    """A table of the rows that have a vote, each of which lies on the scale; `where` says of each what to call it."""
    if scale.inverted:
        raise ColumnError(
            f"{place.rpartition(',')[0]}: its scale is one on which higher is worse; votes here rise with quality. "
            f"Write {scale.low:g} + {scale.high:g} - vote in place of each."
        )
    outside = np.flatnonzero((vote < scale.low) | (vote > scale.high))
    if len(outside):
        row = outside[0]
        raise ColumnError(
            f"{place} {where[row]}: found the vote {vote[row]:g}, expected {scale.low:g} to {scale.high:g}. Correct "
            "it, or state the scale with --scale, such as --scale 0-100."
        )
    votes = Votes.of(video, rater, vote, scale=(scale.low, scale.high), **columns)
    given = np.isfinite(vote)
    if not given.any():
        raise ColumnError(f"{place.rpartition(',')[0]}: holds no vote.")
    return with_repeats(votes.only(given))


def with_repeats(votes: Votes) -> Votes:
    """The same votes, where every further one that counts of the same rater on the same video becomes a repeat."""
    counts = np.flatnonzero(votes.counts)
    pair = votes.video[counts] * len(votes.raters) + votes.rater[counts]
    _, first = np.unique(pair, return_index=True)
    further = np.delete(counts, first)
    kind = np.array(votes.kind, dtype=f"U{max(len(name) for name in KINDS)}")
    kind[further] = REPEAT
    return replace(votes, kind=kind)


def _unambiguous(short: Sequence[str], whole: Sequence[str]) -> list[str]:
    """The short names, or the whole ones where two files share a short one."""
    files: dict[str, set[str]] = {}
    for name, file in zip(short, whole, strict=True):
        files.setdefault(name, set()).add(file)
    return list(short if all(len(found) == 1 for found in files.values()) else whole)


def _one(sheet: _Sheet, column: str, default: str) -> str:
    """The one value of a column that says the same in every row."""
    found = sheet.words(column, default)
    if len(set(found)) > 1:
        row = next(row for row, value in enumerate(found, 1) if value != found[0])
        raise ColumnError(
            f"{sheet.columns.path}, row {row}, column {column}: found {found[row - 1]!r} after {found[0]!r}; votes of "
            "one table are of one study. Split the table."
        )
    return found[0]


def _scale(sheet: _Sheet) -> MosScale:
    text = _one(sheet, "scale", "1-5")
    try:
        return MosScale.parse(text)
    except ValueError as error:
        raise ColumnError(f"{sheet.columns.path}, column scale: {error}") from None


def _kinds(sheet: _Sheet) -> list[str]:
    kinds = sheet.words("kind", VIDEO)
    for kind in set(kinds) - set(KINDS):
        row = kinds.index(kind) + 1
        raise ColumnError(
            f"{sheet.columns.path}, row {row}, column kind: found {kind!r}, expected one of {', '.join(KINDS)}."
        )
    return kinds


def _flags(sheet: _Sheet, column: str) -> Flags:
    words = sheet.words(column, "")
    for word in set(words):
        if word.lower() not in YES + NO:
            row = words.index(word) + 1
            raise ColumnError(f"{sheet.columns.path}, row {row}, column {column}: found {word!r}, expected 0 or 1.")
    yes = {word: word.lower() in YES for word in set(words)}
    return np.fromiter((yes[word] for word in words), np.bool_, len(words))

"""The list that goes out to raters, and the MOS that come back."""

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.cells import is_empty
from mdsvqa.runtime.user_tables import ColumnError, Columns, Names, read_columns
from mdsvqa.videos.manifest import Video, cell
from mdsvqa.videos.manifest_cells import RAW_COLUMNS, raw_cells
from mdsvqa.videos.mos_scale import MosScale

# In the folder of a round: the list that goes out to raters.
REQUEST = "to_label.csv"
# In the folder of a round: the labels that a rating study of its videos ended with.
ROUND_LABELS = "labels.csv"
FIVE_LEVELS = MosScale(1.0, 5.0)


@dataclass(frozen=True)
class Labels:
    """What raters said.

    Attributes:
        mos: on the 1-5 scale, by video id.
        unratable: videos whose row has no MOS: shown to raters, and nothing came back.
    """

    mos: Mapping[str, float]
    unratable: frozenset[str] = frozenset()

    def without(self, videos: Collection[str]) -> "Labels":
        """Those of other videos."""
        mos = {video: value for video, value in self.mos.items() if video not in videos}
        return Labels(mos, self.unratable - frozenset(videos))

    def over(self, others: "Labels") -> "Labels":
        """These, and those of other videos that others know."""
        mos = {**others.without(self.unratable).mos, **self.mos}
        return Labels(mos, (self.unratable | others.unratable) - mos.keys())


def write_label_request(path: Path, videos: Sequence[Video]) -> None:
    """Writes the videos to be rated, best first, as a CSV to fill in: id, path, mos, mos_std.

    What people filled in is never lost: a list that asks for these videos already stays as it is, and answers that are
    in the way of a new list stay in it, at its end.
    """
    answered: dict[str, tuple[str, ...]] = {}
    if path.is_file():
        table = read_columns(path)
        ids, names = table.ids(), [name for name in ("path", "mos", "mos_std") if name in table]
        rows = zip(ids, *(table.texts(name) for name in names), strict=True)
        said = {video: dict(zip(names, cells, strict=True)) for video, *cells in rows}
        if {video.id for video in videos} <= {video for video in said if not said[video].get("mos")}:
            return
        answered = {i: (c.get("path", ""), c["mos"], c.get("mos_std", "")) for i, c in said.items() if c.get("mos")}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    raw = any(video.raw is not None for video in videos)
    writer.writerow(["id", "path", "mos", "mos_std", *(RAW_COLUMNS if raw else ())])
    asked = [video for video in videos if video.id not in answered]
    writer.writerows([video.id, cell(video.path), "", "", *(raw_cells(video) if raw else ())] for video in asked)
    writer.writerows([video, *cells, *("" for _ in RAW_COLUMNS if raw)] for video, cells in answered.items())
    write_atomically(path, text.getvalue().encode())


def read_label_request(path: Path, scale: MosScale) -> Labels:
    """What people filled into such a list where it lies.

    Args:
        path: of the list.
        scale: of the MOS in it.

    Returns:
        An empty mos is one that nobody has come to yet; NA, or a dash, says that the video could not be rated.

    Raises:
        ColumnError: it cannot be used, or a MOS is not on the scale.
    """
    table = read_columns(path)
    name = table.mos_column()
    if name is None:
        return Labels({})
    left = {video for video, cell in zip(table.ids(), table.column(name), strict=True) if is_empty(cell)}
    found = read_labels(path, scale)
    return Labels(found.mos, found.unratable - left)


def newly_labeled(videos: Sequence[Video]) -> list[Video]:
    """Videos whose labels come from another study than any that the manifest holds: their data set says so."""
    return [replace(video, dataset=f"{video.dataset} (new labels)") for video in videos]


def write_training_set(
    path: Path, videos: Sequence[Video], new: Collection[str], held_out: Collection[str] = ()
) -> None:
    """Writes labeled videos as a manifest: id, path, dataset, mos on the 1-5 scale, new, held_out (1 or 0).

    Args:
        path: of the file.
        videos: in the order of the rows.
        new: ids of those that were labeled for this training.
        held_out: ids of those that only say when to stop.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    raw = any(video.raw is not None for video in videos)
    writer.writerow(["id", "path", "dataset", "mos", "new", "held_out", *(RAW_COLUMNS if raw else ())])
    for video in videos:
        flags = [int(video.id in new), int(video.id in held_out)]
        cells = [video.id, cell(video.path), video.dataset, video.mos, *flags]
        writer.writerow([*cells, *(raw_cells(video) if raw else ())])
    write_atomically(path, text.getvalue().encode())


def read_labels(path: Path, scale: MosScale, names: Names | None = None, *, ranked: bool = False) -> Labels:
    """Reads MOS that raters gave.

    Args:
        path: a table with ids and MOS, as `read_manifest` takes them. A row whose MOS is empty says that the video
            could not be rated.
        scale: of the file's MOS.
        names: of the manifest's columns of ids and MOS; where the table lacks them, it has the usual ones.
        ranked: whoever asks needs the order only: scores of pairs will do, spread from 1 to 5.

    Raises:
        ColumnError: the table cannot be used, has scores of pairs in place of MOS, or a MOS is not on the scale.
    """
    table = read_columns(path, names).or_usual()
    if "pairs" in table.cells.get("scale", ()):
        if not ranked:
            raise ColumnError(
                f"{path}: its scores come from pairs, whose scale has a unit but no levels, and MOS on the 1-5 scale "
                "are expected. Rate the videos by ACR, or fine-tune a vision-language model, which learns by ranking."
            )
        return _ranked(table)
    mos: dict[str, float] = {}
    unratable = set()
    for row, (video, value) in enumerate(zip(table.ids(), table.mos(), strict=True), 1):
        if np.isnan(value):
            unratable.add(video)
            continue
        try:
            mos[video] = scale.to_five(float(value))
        except ValueError as error:
            raise ColumnError(f"{path}, row {row}, id {video!r}: {error}") from None
    return Labels(mos, frozenset(unratable))


def _ranked(table: Columns) -> Labels:
    """Scores of pairs, moved so that they reach from 1 to 5; videos that nobody compared have none."""
    score = dict(zip(table.ids(), table.numbers("score"), strict=True))
    known = {video: float(value) for video, value in score.items() if np.isfinite(value)}
    low, high = min(known.values(), default=0.0), max(known.values(), default=0.0)
    step = 4 / (high - low) if high > low else 0.0
    return Labels({video: 1 + step * (value - low) for video, value in known.items()}, frozenset(score.keys() - known))


def differing(videos: Sequence[Video], labels: Labels) -> list[tuple[str, float, float]]:
    """The videos of which manifest and raters say different MOS: id, the manifest's, the raters'; 1-5."""
    pairs = ((video.id, video.mos, labels.mos.get(video.id)) for video in videos)
    return [(i, a, b) for i, a, b in pairs if a is not None and b is not None and not math.isclose(a, b, abs_tol=1e-6)]


def known_labels(videos: Sequence[Video], labels: Labels | None) -> Labels:
    """The MOS of the raters, and where there are none those of the manifest."""
    mos = {video.id: video.mos for video in videos if video.mos is not None}
    mos |= {} if labels is None else labels.mos
    unratable = frozenset() if labels is None else labels.unratable - mos.keys()
    return Labels(mos, unratable)

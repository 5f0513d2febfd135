"""The list that goes out to raters, and the MOS that come back."""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdsvqa.runtime.results import write_atomically
from mdsvqa.runtime.user_tables import ColumnError, read_columns
from mdsvqa.videos.folder import plain_name
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.manifest_formats import RAW_COLUMNS
from mdsvqa.videos.mos_scale import MosScale
from mdsvqa.videos.raw_columns import raw_cells


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


def write_label_request(path: Path, videos: Sequence[Video]) -> None:
    """Writes the videos to be rated, best first, as a CSV to fill in: id, path, mos, mos_std."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    raw = any(video.raw is not None for video in videos)
    writer.writerow(["id", "path", "mos", "mos_std", *(RAW_COLUMNS if raw else ())])
    writer.writerows([video.id, _place(video), "", "", *(raw_cells(video) if raw else ())] for video in videos)
    write_atomically(path, text.getvalue().encode())


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
        cells = [video.id, _place(video), video.dataset, video.mos, *flags]
        writer.writerow([*cells, *(raw_cells(video) if raw else ())])
    write_atomically(path, text.getvalue().encode())


def _place(video: Video) -> str:
    return "" if video.path is None else plain_name(str(video.path))


def read_labels(path: Path, scale: MosScale) -> Labels:
    """Reads MOS that raters gave.

    Args:
        path: a table with columns id (or name) and mos. A row whose mos is empty says that the video could not be
            rated.
        scale: of the file's MOS.

    Raises:
        ColumnError: the table cannot be used, or a MOS is not on the scale.
    """
    table = read_columns(path)
    mos: dict[str, float] = {}
    unratable = set()
    for row, (video, value) in enumerate(zip(table.ids(), table.numbers("mos"), strict=True), 1):
        if np.isnan(value):
            unratable.add(video)
            continue
        try:
            mos[video] = scale.to_five(float(value))
        except ValueError as error:
            raise ColumnError(f"{path}, row {row}, id {video!r}: {error}") from None
    return Labels(mos, frozenset(unratable))


def known_labels(videos: Sequence[Video], labels: Labels | None) -> Labels:
    """The MOS of the manifest, and where it has none those of the raters."""
    mos = {} if labels is None else dict(labels.mos)
    mos |= {video.id: video.mos for video in videos if video.mos is not None}
    unratable = frozenset() if labels is None else labels.unratable - mos.keys()
    return Labels(mos, unratable)

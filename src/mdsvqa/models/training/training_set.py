"""What a vision-language model is fine-tuned on: any number of data sets, each compared within itself only."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import write_atomically
from mdsvqa.videos.video import Video

Floats = NDArray[np.float64]
# A data set of fewer videos gives none away: they are too few to be ranked, and it needs them.
LEAST_TO_HOLD_OUT = 30
FEWEST = 6


@dataclass(frozen=True)
class TrainingSet:
    """Labeled videos, source and new.

    Attributes:
        videos: n of them, with paths and MOS; a data set's MOS are all on one scale, whichever.
        dataset: integer code of each label's study, shape (n,).
        names: of the codes.
        new: whether a video was labeled for this training, shape (n,).
        held_out: whether it only says when to stop, shape (n,).
    """

    videos: Sequence[Video]
    dataset: NDArray[np.int64]
    names: Sequence[str]
    new: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    @property
    def mos(self) -> Floats:
        """Shape (n,)."""
        return np.array([video.mos for video in self.videos], np.float64)


def merge(source: Sequence[Video], new: Sequence[Video], held_out: float, seed: int) -> TrainingSet:
    """Joins source and new labels; a video that is in both counts as new.

    Args:
        source: labeled videos that f learned from.
        new: labeled since, with MOS of another study, whatever their `dataset` is called.
        held_out: share of each data set that is held out, where it has 30 videos or more.
        seed: of what is held out.

    Raises:
        InputError: nothing can be ranked, or too few are held out.
    """
    fresh = {video.id for video in new}
    videos = [*(video for video in source if video.id not in fresh), *new]
    keys = [(video.dataset, video.id in fresh) for video in videos]
    known = sorted(set(keys))
    old_names = {name for name, is_new in known if not is_new}
    names = [f"{name} (new labels)" if is_new and name in old_names else name for name, is_new in known]
    dataset = np.array([known.index(key) for key in keys], np.int64)
    is_new = np.array([is_new for _, is_new in keys], bool)
    kept = np.zeros(len(videos), bool)
    rng = np.random.default_rng(seed)
    for code in range(len(known)):
        members = np.flatnonzero(dataset == code)
        if len(members) >= LEAST_TO_HOLD_OUT:
            kept[rng.permutation(members)[: round(held_out * len(members))]] = True
    if kept.sum() < FEWEST:
        raise InputError(
            f"fine-tuning holds out videos of data sets with at least {LEAST_TO_HOLD_OUT} labels to stop by, and needs "
            f"{FEWEST} of them; found {int(kept.sum())} of {len(videos)} labeled videos."
        )
    return TrainingSet(videos, dataset, names, is_new, kept)


def write_training_set(found: TrainingSet, path: Path) -> None:
    """Writes the merge as CSV, sorted by data set and id, so that two of them can be compared line by line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "dataset", "mos", "new", "held_out"])
    rows = zip(found.videos, found.dataset.tolist(), found.new.tolist(), found.held_out.tolist(), strict=True)
    for video, code, is_new, kept in sorted(rows, key=lambda row: (row[1], row[0].id)):
        writer.writerow([video.id, video.path, found.names[code], video.mos, int(is_new), int(kept)])
    write_atomically(path, text.getvalue().encode())

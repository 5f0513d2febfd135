"""What a vision-language model is fine-tuned on: any number of data sets, each compared within itself only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.videos.labels import write_training_set
from mdsvqa.videos.video import Video

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
    dataset: Ints
    names: Sequence[str]
    new: Flags
    held_out: Flags

    @property
    def mos(self) -> Floats:
        """Shape (n,)."""
        return np.array([video.mos for video in self.videos], np.float64)

    def write(self, path: Path) -> None:
        """Writes it as CSV, sorted by data set and id, so that two of them can be compared line by line."""
        videos = [replace(v, dataset=self.names[code]) for v, code in zip(self.videos, self.dataset, strict=True)]
        order = sorted(range(len(videos)), key=lambda place: (self.dataset[place], videos[place].id))
        new, held_out = ({videos[place].id for place in np.flatnonzero(part)} for part in (self.new, self.held_out))
        write_training_set(path, [videos[place] for place in order], new, held_out)


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

"""Errors of an f that cannot be refitted: on videos that it did not learn from, where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Source, Videos
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.video import Video

Floats = NDArray[np.float64]

IN_SAMPLE = (
    "The failure predictor learned from the errors of the scores as they were handed in, on the videos of split train. "
    "If the model was trained on these, its errors on them are smaller than on others and predict less. Hand in scores "
    "of at least {least} videos of the source's data set that it was not trained on, as split test; there are {found}."
)
HELD_OUT = "The failure predictor learned from the errors on the {found} source videos of split test."

NAMED = "The failure predictor learns from the errors on the {found} labeled videos of split {split}."
LearnFrom = Literal["auto", "train", "test"]


@dataclass(frozen=True)
class Labeled:
    """Videos with labels and scores of f.

    Attributes:
        videos: n of them.
        mos: shape (n,), 1-5.
        dataset: integer code of each label's study, shape (n,).
    """

    videos: Videos
    mos: Floats
    dataset: NDArray[np.int64]


def external_source(
    train: Labeled, held_out: Labeled, settings: DifficultySettings, seed: int
) -> tuple[Source, str, bool]:
    """The errors that a failure predictor of any f may learn from.

    Args:
        train: the source's videos of split train, from which f may have learned.
        held_out: the source's videos of split test.
        settings, seed: of g.

    Returns:
        The source, a sentence that says which errors these are, and whether they are held out.
    """
    found = len(held_out.mos)
    if found < settings.held_out:
        source = Source.of(train.videos, train.mos, train.dataset, settings, seed)
        return source, IN_SAMPLE.format(least=settings.held_out, found=found), False
    known = train.videos.features
    source = Source.of(held_out.videos, held_out.mos, held_out.dataset, settings, seed, learned_from=known)
    return source, HELD_OUT.format(found=found), True


def videos_to_learn_from(
    videos: Sequence[Video], settings: DifficultySettings, split: LearnFrom = "auto"
) -> tuple[list[Video], str]:
    """The labeled videos whose errors a failure predictor of an f that cannot be refitted learns from.

    Args:
        videos: of a manifest.
        settings: say how many held-out videos are enough.
        split: of the source; "auto" takes those of split test, on which f was not trained, where there are enough.

    Returns:
        The videos, and a sentence that says which they are.
    """
    train, test = in_role(videos, "source"), in_role(videos, "source test")
    if split == "auto" and len(test) < settings.held_out:
        return train, IN_SAMPLE.format(found=len(test), least=settings.held_out)
    if split == "auto":
        return test, HELD_OUT.format(found=len(test))
    chosen = train if split == "train" else test
    return chosen, NAMED.format(found=len(chosen), split=split)

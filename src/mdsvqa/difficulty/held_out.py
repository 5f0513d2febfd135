"""Errors of an f that cannot be refitted: on videos that it did not learn from, where there are any."""

from collections.abc import Sequence
from typing import Literal

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.video import Video

IN_SAMPLE = (
    "The failure predictor learned from the errors of the scores as they were handed in, on the videos of split train. "
    "If the model was trained on these, its errors on them are smaller than on others and predict less. Hand in scores "
    "of at least {least} videos of the source's data set that it was not trained on, as split test; there are {found}."
)
HELD_OUT = "The failure predictor learned from the errors on the {found} source videos of split test."

NAMED = "The failure predictor learns from the errors on the {found} labeled videos of split {split}."
LearnFrom = Literal["auto", "train", "test"]


def unrefitted_errors(
    videos: Unlabeled,
    mos: Floats,
    dataset: Ints,
    train: Ints,
    held_out: Ints,
    settings: DifficultySettings,
    seed: int,
) -> KnownErrors:
    """The errors that a failure predictor of an f that cannot be refitted may learn from: held out, where enough are.

    Args:
        videos: n of them, with f's scores.
        mos: shape (n,), 1-5; NaN where there is none.
        dataset: integer code of each label's study, shape (n,).
        train: indices of the source's videos of split train, from which f may have learned.
        held_out: of those of split test.
        settings, seed: of g.
    """
    enough = len(held_out) >= settings.held_out
    known = held_out if enough else train
    learned_from = videos.take(train).features if enough else None
    return KnownErrors.of(videos.take(known), mos[known], dataset[known], settings, seed, learned_from=learned_from)


def where_from(held_out: int, settings: DifficultySettings) -> str:
    """A sentence that says which errors these are, for so many videos of split test."""
    said = HELD_OUT if held_out >= settings.held_out else IN_SAMPLE
    return said.format(found=held_out, least=settings.held_out)


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
    if split == "auto":
        return (test if len(test) >= settings.held_out else train), where_from(len(test), settings)
    chosen = train if split == "train" else test
    return chosen, NAMED.format(found=len(chosen), split=split)

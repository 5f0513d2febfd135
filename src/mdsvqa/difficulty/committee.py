"""Committee spread: where models trained on other halves of the labels disagree."""

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError


def committee(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Standard deviation over refitted models; see `DifficultyRule`.

    Raises:
        InputError: f cannot be refitted, so there is no committee.

    Source: Seung et al. (1992).
    """
    if not pool.spread.any():
        raise InputError("rule committee: needs an f that can be refitted (a saved statistical model, --model FILE).")
    return pool.spread


PREDICTORS = (
    Predictor("committee", committee, "disagreement of models trained on other halves of the labels", learns=False),
)

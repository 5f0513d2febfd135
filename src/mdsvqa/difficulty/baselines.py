"""What every predictor has to beat, and needs no label for."""

import numpy as np

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.arrays import Floats


def lowest_score(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Minus f's score: what f finds bad, it finds difficult; see `DifficultyRule`."""
    return -pool.score


def distance_to_source(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Mean distance to the nearest videos that f learned from; see `DifficultyRule`."""
    return source.distances(pool)


def random_difficulty(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Uniform numbers in the order of the pool; see `DifficultyRule`."""
    return np.random.default_rng(seed).random(len(pool))


PREDICTORS = (
    Predictor("lowest-score", lowest_score, "the lower f's score, the harder", learns=False),
    Predictor("distance", distance_to_source, "the farther from what f learned from, the harder", learns=False),
    Predictor("random", random_difficulty, "any order", learns=False),
)

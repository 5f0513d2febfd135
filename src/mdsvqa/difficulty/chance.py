"""Random: what every predictor has to beat."""

import numpy as np
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Source, Videos
from mdsvqa.study.config import DifficultySettings


def chance(source: Source, pool: Videos, settings: DifficultySettings, seed: int) -> NDArray[np.float64]:
    """Uniform numbers in the order of the pool; see `DifficultyRule`."""
    return np.random.default_rng(seed).random(len(pool))

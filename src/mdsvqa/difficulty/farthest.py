"""Distance to the source: what is unlike everything that f learned from."""

import numpy as np
from numpy.typing import NDArray

from mdsvqa.config import DifficultySettings
from mdsvqa.difficulty.base import Source, Videos


def farthest(source: Source, pool: Videos, settings: DifficultySettings, seed: int) -> NDArray[np.float64]:
    """Mean distance to the nearest videos that f learned from; see `DifficultyRule`."""
    return source.distances(pool)

"""Distance to the source: what is unlike everything that f learned from."""

import numpy as np
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Source, Videos
from mdsvqa.study.config import DifficultySettings


def farthest(source: Source, pool: Videos, settings: DifficultySettings, seed: int) -> NDArray[np.float64]:
    """Mean distance to the nearest videos that f learned from; see `DifficultyRule`."""
    return source.distances(pool)

"""Lowest score first: what f finds bad, it finds difficult."""

import numpy as np
from numpy.typing import NDArray

from mdsvqa.config import DifficultySettings
from mdsvqa.difficulty.base import Source, Videos


def lowest_score(source: Source, pool: Videos, settings: DifficultySettings, seed: int) -> NDArray[np.float64]:
    """Minus f's score; see `DifficultyRule`."""
    return -pool.score

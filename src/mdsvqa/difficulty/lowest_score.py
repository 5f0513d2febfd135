"""Lowest score first: what f finds bad, it finds difficult."""

import numpy as np
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Source, Videos
from mdsvqa.study.config import DifficultySettings


def lowest_score(source: Source, pool: Videos, settings: DifficultySettings, seed: int) -> NDArray[np.float64]:
    """Minus f's score; see `DifficultyRule`."""
    return -pool.score

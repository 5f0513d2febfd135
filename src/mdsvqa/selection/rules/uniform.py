"""Random selection: what every rule has to beat."""

import numpy as np

from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.eligible import Opening, in_order
from mdsvqa.study.config import SelectionSettings


def uniform(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Draws candidates uniformly without replacement."""
    order = np.random.default_rng(seed).permutation(pool.candidates())
    return [Pick(index, float(pool.difficulty[index])) for index in in_order(Opening(pool, budget), order)]

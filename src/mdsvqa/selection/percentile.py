"""Difficulties as readers see them: on one scale from 0 to 100."""

import numpy as np
from scipy.stats import rankdata

from mdsvqa.runtime.arrays import Floats


def percentiles(difficulty: Floats) -> Floats:
    """Where each video stands in the pool: 0 is the easiest for f, 100 the hardest; equal ones stand alike.

    Args:
        difficulty: as g gives them, of which only the order means anything, shape (n,).

    Returns:
        Shape (n,), 0 to 100; 50 where all are equal.

    >>> percentiles(np.array([-1.5, 0.0, 0.0, 7.0, -2.0])).tolist()
    [25.0, 62.5, 62.5, 100.0, 0.0]
    """
    if len(difficulty) < 2:
        return np.full(len(difficulty), 50.0)
    places: Floats = 100 * (rankdata(difficulty) - 1) / (len(difficulty) - 1)
    return places

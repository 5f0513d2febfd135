"""MDS: difficult for the model, and unlike what is chosen already."""

import numpy as np

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.selection.base import Floats, Pick, Pool

# Videos whose rows of distances estimate the mean distance of a pool.
SCALE_SAMPLE = 64


def greedy(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Starts with the most difficult video, then adds argmax of g(x) + (lambda / |D|) sum over y in D of d(x, y).

    Where `settings.scale` is "standard", g is the z-score over the pool and d is divided by the pool's mean distance;
    where it is "raw", both are taken as they are. Ties go to the first in the pool's order. `seed` is not used.

    Source: Zou et al. (2026), section 3, equation of the greedy rule.
    """
    standard = settings.scale == "standard"
    difficulty = z_scores(pool.difficulty) if standard else pool.difficulty
    unit = mean_distance(pool.content) if standard else 1.0
    total = np.zeros(len(pool))
    for index in pool.chosen:
        total += pool.content.distances_from(pool.content.of(index)) / unit
    open_ = np.zeros(len(pool), bool)
    open_[pool.candidates()] = True
    members = len(pool.chosen)
    picks: list[Pick] = []
    while len(picks) < budget and open_.any():
        diversity = total / max(members, 1)
        utility = np.where(open_, difficulty + settings.lambda_ * diversity, -np.inf)
        best = int(np.argmax(utility))
        picks.append(Pick(best, float(difficulty[best]), float(diversity[best]), float(utility[best])))
        open_[best] = False
        total += pool.content.distances_from(pool.content.of(best)) / unit
        members += 1
    return picks


def z_scores(values: Floats) -> Floats:
    """Values with mean 0 and standard deviation 1; zeros where they are all equal.

    >>> z_scores(np.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def mean_distance(content: Content) -> float:
    """The mean Chamfer distance of a pool, from the rows of at most 64 evenly spaced videos; 1 where all coincide."""
    n = len(content)
    if n < 2:
        return 1.0
    rows = np.unique(np.linspace(0, n - 1, min(n, SCALE_SAMPLE)).astype(int))
    sums = sum(float(content.distances_from(content.of(int(row))).sum()) for row in rows)
    mean = sums / (len(rows) * (n - 1))
    return mean if mean > 0 else 1.0

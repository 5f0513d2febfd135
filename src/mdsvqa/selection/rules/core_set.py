"""Core-set selection: no video of the pool far from a chosen one."""

import numpy as np

from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.settings import SelectionSettings


def core_set(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """k-center greedy: adds the candidate that is farthest from its nearest chosen video.

    Starts from what earlier rounds chose, or from a random candidate. Ties go to the first in the pool's order.

    Source: Sener and Savarese (2018), algorithm 1; greedy k-center by Gonzalez (1985).
    """
    eligible = Eligible(pool, budget)
    nearest = np.full(len(pool), np.inf)
    for index in pool.chosen:
        nearest = np.minimum(nearest, pool.content.distances_from(pool.content.of(index)))
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        if np.isinf(nearest).all():
            best, gap = int(np.random.default_rng(seed).choice(np.flatnonzero(mask))), None
        else:
            best = int(np.argmax(np.where(mask, nearest, -np.inf)))
            gap = float(nearest[best])
        if eligible.choose(best):
            picks.append(Pick(best, float(pool.difficulty[best]), gap, gap))
            nearest = np.minimum(nearest, pool.content.distances_from(pool.content.of(best)))
    return picks


RULES = (
    Rule(
        "core-set",
        core_set,
        label="core-set",
        takes="the video farthest from all chosen ones",
        use="where no kind of content may be missed, outliers included",
        every_pair=True,
    ),
)

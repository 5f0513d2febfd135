"""Facility location with a preference for difficult videos."""

import numpy as np
from scipy.stats import rankdata

from mdsvqa.runtime.arrays import Floats
from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.coverage import Coverage
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.parts import cover
from mdsvqa.selection.settings import SelectionSettings

# Of 3, 10 and 30 the best on the mean of YouTube-UGC to KoNViD-1k and back (20 seeds, 5% of the pool), though 30 is
# within the error. With gains in units of the mean distance, which shrink as the choice grows, the rule was no better
# than difficulty alone.
WEIGHT = 10.0


def difficulty_facility(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Adds the candidate of largest difficulty rank + 10 * gain of facility location.

    Difficulty is its rank in the pool, from 0 to 1 (`ranks`). The gain is that of `facility_location`, divided by the
    largest gain that any open video has at this step, so that it reaches 1 in every pool and at every step: of videos
    whose gain is within a tenth of the best, difficulty decides. `Pick.difficulty` and `Pick.diversity` are these two.
    Where no video has a gain, difficulty alone decides. Ties go to the first in the pool's order.
    """
    return cover(steps, pool, budget, settings, seed)[0]


def steps(pool: Pool, eligible: Eligible, coverage: Coverage) -> list[Pick]:
    """The rule's steps."""
    difficulty = ranks(pool.difficulty)
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        _, most = coverage.best(mask)
        unit = most if most > 0 else 1.0
        best, gain = coverage.best(mask, difficulty, WEIGHT / unit)
        if eligible.choose(best):
            diversity = gain / unit
            picks.append(Pick(best, float(difficulty[best]), diversity, float(difficulty[best]) + WEIGHT * diversity))
            coverage.add(best)
    return picks


def ranks(values: Floats) -> Floats:
    """Ranks from 0, the smallest, to 1; equal values share their mean rank, and a single one has 1/2.

    >>> ranks(np.array([5.0, 7.0, 7.0, 9.0])).tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    return (rankdata(values) - 1) / (len(values) - 1) if len(values) > 1 else np.full(len(values), 0.5)


RULES = (
    Rule(
        "difficulty-facility",
        difficulty_facility,
        steps=steps,
        label="difficulty + facility location",
        takes="as `facility-location`, the harder of about equal ones",
        use="where difficulty is predicted with some skill",
        difficulty="predicted",
    ),
)

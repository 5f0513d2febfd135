"""Facility location: every video of the pool near a chosen one, in the mean."""

from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.coverage import Coverage
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.parts import cover
from mdsvqa.selection.settings import SelectionSettings


def facility_location(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Adds the candidate that brings the pool's videos nearest to the chosen ones, in the mean over the pool.

    Maximises the sum over the pool's videos of the similarity to the nearest chosen one, where similarity is the
    largest distance in the pool minus the distance. `Pick.utility` is the gain of a step divided by the number of
    videos: by how much the mean distance to the nearest chosen video falls. Videos that earlier rounds chose count as
    chosen. Ties go to the first in the pool's order.

    Lazy greedy: the choice is that of the plain greedy rule, ties included.

    In a large pool only the distances to the nearest videos of each are known (see `neighbor_graph`): similarity is
    then the distance of the farthest of these minus the distance, and 0 for all others. `seed` is of the parts, where
    there are any.

    Own code, because no library chooses under limits on what may come next: neither submodlib-py 0.0.3, which also
    breaks ties otherwise, nor apricot-select, unmaintained since 2021.

    Source: Nemhauser, Wolsey and Fisher (1978) for the greedy rule; Minoux (1978) for the lazy one; Lindgren, Wu and
    Dimakis (2016) for the nearest ones.
    """
    return cover(steps, pool, budget, settings, seed)[0]


def steps(pool: Pool, eligible: Eligible, coverage: Coverage) -> list[Pick]:
    """The rule's steps."""
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        best, gain = coverage.best(mask)
        if eligible.choose(best):
            picks.append(Pick(best, float(pool.difficulty[best]), gain, gain))
            coverage.add(best)
    return picks


RULES = (
    Rule(
        "facility-location",
        facility_location,
        steps=steps,
        label="facility location",
        takes="what brings the pool nearest to the chosen videos",
        use="unless you know better: the default",
    ),
)

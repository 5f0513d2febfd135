"""Facility location: every video of the pool near a chosen one, in the mean."""

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats
from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.distances.matrices import distance_table
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.settings import SelectionSettings


def facility_location(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Adds the candidate that brings the pool's videos nearest to the chosen ones, in the mean over the pool.

    Maximises the sum over the pool's videos of the similarity to the nearest chosen one, where similarity is the
    largest distance in the pool minus the distance. `Pick.utility` is the gain of a step divided by the number of
    videos: by how much the mean distance to the nearest chosen video falls. Videos that earlier rounds chose count as
    chosen. Ties go to the first in the pool's order.

    Lazy greedy: a gain never rises from one step to the next, so an old one is a bound, and only candidates whose bound
    is the largest are looked at again. The choice is that of the plain greedy rule, ties included.

    In a large pool the mean is taken over a random sample of its videos, and distances are those of mean frames (see
    `distance_table`); any video may be chosen all the same. `seed` is of that sample.

    Own code, because no library chooses under limits on what may come next: neither submodlib-py 0.0.3, which also
    breaks ties otherwise, nor apricot-select, unmaintained since 2021.

    Source: Nemhauser, Wolsey and Fisher (1978) for the greedy rule; Minoux (1978) for the lazy one.
    """
    eligible, coverage = Eligible(pool, budget), Coverage(pool, seed)
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        best, gain = coverage.best(mask)
        if eligible.choose(best):
            picks.append(Pick(best, float(pool.difficulty[best]), gain, gain))
            coverage.add(best)
    return picks


class Coverage:
    """How near a pool's videos are to the nearest chosen one, and how much nearer another one would bring them.

    Args:
        pool: n videos; what earlier rounds chose is chosen.
        seed: of the sample that stands for a large pool.
    """

    def __init__(self, pool: Pool, seed: int) -> None:
        # From each video to the m that stand for the pool, shape (n, m), and the unit.
        self._distances, self._unit = distance_table(pool.content, seed)
        # From each of the m to the nearest chosen one; the largest distance where none is, which is similarity 0.
        self._nearest = np.full(self._distances.shape[1], self._distances.max(initial=0), self._distances.dtype)
        for video in pool.chosen:
            np.minimum(self._nearest, self._distances[video], out=self._nearest)
        # A gain never rises: what it was is a bound of what it is. Of the known ones it is just that.
        self._known: set[int] = set(range(len(pool)))
        self._bounds = np.array([self.gain(video) for video in range(len(pool))])

    def gain(self, video: int) -> float:
        """By how much the mean distance to the nearest chosen video falls if this one is chosen."""
        distances = self._distances[video]
        # Always summed in the same order, so that no gain rises by rounding from one step to the next.
        fall = (np.maximum(self._nearest, distances) - distances).sum()
        return self._unit * float(fall) / len(distances)

    def best(self, mask: Flags, prior: Floats | float = 0.0, weight: float = 1.0) -> tuple[int, float]:
        """The video of largest prior + weight * gain, the first among equals, and its gain.

        Args:
            mask: whether a video may be chosen, shape (n,); some are.
            prior: of each video, shape (n,), or of all.
            weight: at least 0.
        """
        priors = np.broadcast_to(prior, mask.shape)
        values = np.where(mask, priors + weight * self._bounds, -np.inf)
        while (best := int(values.argmax())) not in self._known:
            self._bounds[best] = self.gain(best)
            self._known.add(best)
            values[best] = priors[best] + weight * self._bounds[best]
        return best, float(self._bounds[best])

    def add(self, video: int) -> None:
        """Counts a video as chosen."""
        np.minimum(self._nearest, self._distances[video], out=self._nearest)
        self._known.clear()


RULES = (
    Rule(
        "facility-location",
        facility_location,
        label="facility location",
        takes="what brings the pool nearest to the chosen videos",
        use="as `k-means`; also in rounds, and under limits",
    ),
)

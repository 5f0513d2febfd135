"""V-optimal design: the videos whose labels leave least uncertain about the pool, the source left aside."""

import numpy as np

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.matrices import affordable, chamfer_table, mean_frames
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.settings import SelectionSettings

# Of what a label says beyond its content, where quality has variance 1.
NOISE = 0.3
# Entries of the table of covariances, half a gigabyte: all pairs of 8,192 videos.
MOST_ENTRIES = 1 << 26


def v_optimal(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Adds the candidate whose label lowers the summed variance of quality over the pool's videos the most.

    Quality is a Gaussian process with K = exp(-2 (d / median d)^2) of the Chamfer distance d. The label of x lowers the
    sum by sum over t of K_tx^2 / (K_xx + NOISE), and K by K_:x K_x: / (K_xx + NOISE). `Pick.utility` is that fall,
    divided by the number of videos. Videos that earlier rounds chose count as labeled. Ties go to the first in the
    pool's order.

    In a large pool the sum is over a random sample of it, and distances are those of mean frames; `seed` is of that
    sample. Any video may be chosen all the same.

    Source: Yu, Bi and Tresp (2006), sequential transductive design.
    """
    eligible, uncertain = Eligible(pool, budget), Uncertain(pool.content, seed)
    for video in pool.chosen:
        uncertain.label(int(video))
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        falls = uncertain.falls()
        best = int(np.where(mask, falls, -np.inf).argmax())
        if eligible.choose(best):
            picks.append(Pick(best, float(pool.difficulty[best]), float(falls[best]), float(falls[best])))
            uncertain.label(best)
    return picks


class Uncertain:
    """What is not known of a pool's quality, and what a label would tell of it.

    Args:
        content: of n videos.
        seed: of the sample that stands for a large pool.
    """

    def __init__(self, content: Content, seed: int) -> None:
        n = len(content)
        most = max(1, MOST_ENTRIES // n)
        self._content = affordable(content, n) if n <= most else mean_frames(content)
        # Those over which variance is summed: m of the n.
        self._sample: Ints = np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, False))
        if n <= most:
            distances = np.asarray(chamfer_table(self._content), np.float64)
        else:
            columns = [self._content.distances_from(self._content.of(int(video))) for video in self._sample]
            distances = np.stack(columns, axis=1)
        apart = np.ones_like(distances, bool)
        apart[self._sample, np.arange(len(self._sample))] = False
        middle = float(np.median(distances[apart])) if apart.any() else 0.0
        self._unit = middle if middle > 0 else 1.0
        # Shape (n, m), and the variance of each video.
        self._covariance = self._of(distances)
        self._covariance[self._sample, np.arange(len(self._sample))] = 1.0
        self._variance = np.ones(n)
        # What labels took away, as the columns of a factor: K = K before labels - sum of their outer products.
        self._taken: list[Floats] = []

    def _of(self, distances: Floats) -> Floats:
        return np.exp(-2 * (distances / self._unit) ** 2)

    def falls(self) -> Floats:
        """By how much each video's label would lower the mean variance of the pool, shape (n,)."""
        squares = np.einsum("ij,ij->i", self._covariance, self._covariance)
        return np.asarray(squares / (np.maximum(self._variance, 0) + NOISE) / len(self._sample), np.float64)

    def label(self, video: int) -> None:
        """Takes a video's label for known."""
        column = self._of(self._content.distances_from(self._content.of(video)).astype(np.float64))
        column[video] = 1.0
        for taken in self._taken:
            column -= taken[video] * taken
        told = column / np.sqrt(column[video] + NOISE)
        self._taken.append(told)
        self._covariance -= told[:, None] * told[self._sample][None, :]
        self._variance -= told**2


RULES = (
    Rule(
        "v-optimal",
        v_optimal,
        label="V-optimal",
        takes="whose label leaves least uncertain about the pool",
        use="as `facility-location`; no better",
        every_pair=True,
    ),
)

"""MDS: difficult for the model, and unlike what is chosen already."""

import numpy as np
from scipy.stats import rankdata

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.devices import torch_device
from mdsvqa.runtime.threads import torch_threads
from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.dense_sums import DenseSums, TooMany
from mdsvqa.selection.distances.lazy_sums import LazySums
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.settings import SelectionSettings

# Videos whose rows of distances estimate the mean distance of a pool, and those at the other end.
SCALE_SAMPLE, SCALE_OTHERS = 64, 4096


def mds(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Starts with the most difficult video, then adds argmax of g(x) + (lambda / |D|) sum over y in D of d(x, y).

    `settings.scale` says on which scale g and d are added; see `scaled`. Utilities within 1e-10 of the best count as
    equal to it, and ties go to the first in the pool's order. `seed` is not used. Most distances are never computed;
    the choice is that of the plain rule in double precision (see `lazy_sums`).

    Source: Zou et al. (2026), section 3, equation of the greedy rule.
    """
    return mds_counted(pool, budget, settings)[0]


def mds_counted(pool: Pool, budget: int, settings: SelectionSettings) -> tuple[list[Pick], int]:
    """`mds`, and how many distances it computed."""
    eligible = Eligible(pool, budget)
    difficulty, unit = scaled(pool, settings)
    weight = settings.lambda_ / unit
    picks: list[Pick] = []
    added = [int(index) for index in pool.chosen]
    with torch_threads(settings.threads):
        sums = _sums(pool.content, difficulty, weight, settings)
        for index in added:
            sums.add(index)
        while (mask := eligible.mask).any():
            try:
                best, mean, utility = sums.best(mask)
            except TooMany:
                sums = LazySums(pool.content, difficulty, weight, settings.device, settings.memory)
                for index in added:
                    sums.add(index)
                continue
            if eligible.choose(best):
                picks.append(Pick(best, float(difficulty[best]), mean / unit, utility))
                sums.add(best)
                added.append(best)
    return picks, sums.computed


def _sums(content: Content, difficulty: Floats, weight: float, settings: SelectionSettings) -> DenseSums | LazySums:
    """What finds the best video fastest: on a GPU one comparison of all that may be it, on a CPU few of them."""
    device = torch_device(settings.device)
    if device.type == "cuda" and weight > 0 and len(content) and (content.counts == content.counts[0]).all():
        return DenseSums(content, difficulty, weight, device, settings.memory)
    return LazySums(content, difficulty, weight, settings.device, settings.memory)


def scaled(pool: Pool, settings: SelectionSettings) -> tuple[Floats, float]:
    """Difficulty, and what distances are divided by, on one scale.

    "standard": z-scores over the pool, and the pool's mean distance. "rank": the same of the ranks of difficulty, so
    that a few very difficult videos do not outweigh all else. "raw": both as they are.
    """
    if settings.scale == "raw":
        return pool.difficulty, 1.0
    values = rankdata(pool.difficulty) if settings.scale == "rank" else pool.difficulty
    return z_scores(values), mean_distance(pool.content)


def z_scores(values: Floats) -> Floats:
    """Values with mean 0 and standard deviation 1; zeros where they are all equal.

    >>> z_scores(np.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def evenly(n: int, most: int) -> Ints:
    """At most `most` of n indices, at equal distances."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def mean_distance(content: Content) -> float:
    """The mean Chamfer distance of a pool; 1 where all coincide.

    From at most 64 videos to at most 4,096, both evenly spaced.
    """
    n = len(content)
    if n < 2:
        return 1.0
    rows, others = evenly(n, SCALE_SAMPLE), evenly(n, SCALE_OTHERS)
    there = content.take(others)
    total = sum(float(there.distances_from(content.of(int(row))).sum()) for row in rows)
    # A video's distance to itself is not counted.
    mean = total / (len(rows) * len(others) - len(np.intersect1d(rows, others)))
    return mean if mean > 0 else 1.0


RULES = (
    Rule(
        "mds",
        mds,
        label="MDS",
        takes="difficult videos that differ from what is chosen",
        use="for a large model that is fine-tuned by ranking: the paper's",
        difficulty="predicted",
        settings=("lambda_", "scale"),
    ),
)

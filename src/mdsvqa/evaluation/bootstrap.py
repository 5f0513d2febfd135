"""Correlations of many bootstrap samples at once.

A resample of n videos is n counts that sum to n. Ranks, moments and concordant pairs of the resample follow from the
whole sample and its counts, so thousands of draws are a few matrix operations instead of as many sorts and fits.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import kendalltau

from mdsvqa.runtime.arrays import Flags, Floats

# Numbers held at once for one block of draws: 64 MB in float64.
BLOCK = 8_000_000
# Above it the matrix of all pairs is larger than a sort for each draw is slow.
MOST_FOR_PAIRS = 4000


def resample_counts(n: int, draws: int, seed: int = 0) -> Floats:
    """How often each of n videos is in each bootstrap sample, shape (draws, n); rows sum to n."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def resampled_ranks(x: Floats, counts: Floats) -> Floats:
    """Mid-ranks within each resample of the values that are in it.

    Args:
        x: values, shape (n,).
        counts: of each value in each resample, shape (draws, n).

    Returns:
        Shape (draws, n): the average rank of x[i] among the resample's values; meaningless where the count is 0.

    >>> resampled_ranks(np.array([5.0, 7.0, 5.0]), np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 0.0]])).tolist()
    [[1.5, 3.0, 1.5], [1.5, 3.0, 1.5]]
    """
    values, group = np.unique(x, return_inverse=True)
    tied = np.zeros((len(counts), len(values)))
    order = np.argsort(group, kind="stable")
    tied += np.add.reduceat(counts[:, order], np.searchsorted(group[order], np.arange(len(values))), axis=1)
    below = np.cumsum(tied, axis=1) - tied
    ranks: Floats = (below + (tied + 1) / 2)[:, group]
    return ranks


def resampled_pearson(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Pearson's correlation in each resample, shape (draws,); NaN where a side is constant.

    Args:
        x, y: shape (n,), or (draws, n) where the values depend on the resample.
        counts: shape (draws, n).
    """
    n = counts.sum(1, keepdims=True)
    dx = x - (counts * x).sum(1, keepdims=True) / n
    dy = y - (counts * y).sum(1, keepdims=True) / n
    covariance = (counts * dx * dy).sum(1)
    norm = np.sqrt((counts * dx**2).sum(1) * (counts * dy**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(_constant(x, counts) | _constant(y, counts), np.nan, covariance / norm)


def _constant(x: Floats, counts: Floats) -> Flags:
    # Not by the norm, which has the unit of x and is rarely 0 in floating point.
    drawn = counts > 0
    return np.where(drawn, x, np.inf).min(1) == np.where(drawn, x, -np.inf).max(1)


def srcc_draws(score: Floats, mos: Floats, counts: Floats) -> Floats:
    """Spearman's correlation in each resample, shape (draws,)."""
    blocks = [
        resampled_pearson(resampled_ranks(score, block), resampled_ranks(mos, block), block)
        for block in _blocks(counts)
    ]
    return np.concatenate(blocks)


def krcc_draws(score: Floats, mos: Floats, counts: Floats) -> Floats:
    """Kendall's tau-b in each resample, shape (draws,)."""
    if len(score) > MOST_FOR_PAIRS:
        return np.array([_tau(score, mos, row) for row in counts])
    x, y = np.sign(score[:, None] - score[None, :]), np.sign(mos[:, None] - mos[None, :])
    concordant, untied_x, untied_y = (_pair_sums(pairs, counts) for pairs in (x * y, np.abs(x), np.abs(y)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(untied_x * untied_y > 0, concordant / np.sqrt(untied_x * untied_y), np.nan)


def _pair_sums(pairs: Floats, counts: Floats) -> Floats:
    return ((counts @ pairs) * counts).sum(1)


def _tau(score: Floats, mos: Floats, row: Floats) -> float:
    chosen = np.repeat(np.arange(len(row)), row.astype(int))
    return float(kendalltau(score[chosen], mos[chosen]).statistic)


def _blocks(counts: Floats) -> Iterator[Floats]:
    rows = max(1, BLOCK // counts.shape[1])
    for start in range(0, len(counts), rows):
        yield counts[start : start + rows]

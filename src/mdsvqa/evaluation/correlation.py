"""Correlations of two columns of numbers."""

import numpy as np
from scipy.stats import kendalltau, rankdata

from mdsvqa.runtime.arrays import Floats, Ints


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's correlation; NaN where either side is constant or there are fewer than two values."""
    # Not by the norm: a constant minus its mean is not always 0 in floating point.
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1))


def srcc(score: Floats, mos: Floats) -> float:
    """Spearman's rank correlation, ties averaged; NaN when either side is constant.

    >>> srcc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 4.0, 3.0]))
    0.8
    """
    return pearson(rankdata(score), rankdata(mos))


def krcc(score: Floats, mos: Floats) -> float:
    """Kendall's rank correlation (tau-b, which allows for ties)."""
    return float(kendalltau(score, mos).statistic)


def srcc_within(score: Floats, mos: Floats, groups: Ints) -> float:
    """Mean SRCC within groups, by their sizes; groups of which none can be said do not count. NaN where all are such.

    >>> x, y = np.array([1.0, 2.0, 9.0, 8.0]), np.array([1.0, 2.0, 3.0, 4.0])
    >>> srcc_within(x, y, np.array([0, 0, 1, 1]))
    0.0
    """
    total, weight = 0.0, 0
    for group in np.unique(groups):
        members = groups == group
        found = srcc(score[members], mos[members])
        if not np.isnan(found):
            total, weight = total + found * int(members.sum()), weight + int(members.sum())
    return total / weight if weight else float("nan")

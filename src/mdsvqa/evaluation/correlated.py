"""Do two models correlate with the same MOS to a different degree? Tests for correlations that share a variable."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t


@dataclass(frozen=True)
class Test:
    """A statistic and its two-sided p-value; both NaN where undefined.

    Attributes:
        statistic: positive where the first of the two models agrees better, unless said otherwise.
        p: in [0, 1].
    """

    # Not a test of this package, whatever pytest makes of the name.
    __test__ = False

    statistic: float
    p: float


UNDEFINED = Test(math.nan, math.nan)


def meng_test(first: float, second: float, between: float, n: int, *, ranks: bool = False) -> Test:
    """Z test of two correlations with one variable in common.

    Args:
        first, second: correlation of each model's scores with MOS, in [-1, 1].
        between: correlation of the two models' scores with each other, of the same kind.
        n: videos, at least 4.
        ranks: they are Spearman's; Z is divided by the root of `rank_variance`.

    Returns:
        Undefined where a correlation is NaN, -1 or 1; statistic 0 and p 1 where the two correlations are equal, such as
        those of one model handed in twice.

    Source: Meng, Rosenthal and Rubin (1992), Comparing correlated correlation coefficients, equations 1 to 3.

    >>> round(meng_test(0.63, -0.03, -0.19, 15).statistic, 2)
    1.68
    """
    if _undefined(first, second, between, n):
        return UNDEFINED
    if first == second:
        return Test(0.0, 1.0)
    mean_square = (first**2 + second**2) / 2
    f = min(1.0, (1 - between) / (2 * (1 - mean_square)))
    h = (1 - f * mean_square) / (1 - mean_square)
    z = (math.atanh(first) - math.atanh(second)) * math.sqrt((n - 3) / (2 * (1 - between) * h))
    z /= math.sqrt(rank_variance(first, second)) if ranks else 1
    return Test(z, two_sided(z))


def williams_test(first: float, second: float, between: float, n: int, *, ranks: bool = False) -> Test:
    """Williams' t test of two correlations with one variable in common, which Steiger (1980) recommends.

    Args:
        first, second, between, n, ranks: as in `meng_test`.

    Returns:
        t with n - 3 degrees of freedom. Undefined as in `meng_test`.

    Source: Williams (1959); Steiger (1980), Tests for comparing elements of a correlation matrix, equation 7.

    >>> williams = williams_test(0.5, 0.4, 0.1, 103)
    >>> round(williams.statistic, 2), round(williams.p, 2)
    (0.89, 0.37)
    """
    if _undefined(first, second, between, n):
        return UNDEFINED
    if first == second:
        return Test(0.0, 1.0)
    determinant = 1 - first**2 - second**2 - between**2 + 2 * first * second * between
    mean = (first + second) / 2
    below = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - between) ** 3
    if below <= 0:
        return UNDEFINED
    statistic = (first - second) * math.sqrt((n - 1) * (1 + between) / below)
    statistic /= math.sqrt(rank_variance(first, second)) if ranks else 1
    return Test(statistic, float(2 * t.sf(abs(statistic), n - 3)))


def rank_variance(first: float, second: float) -> float:
    """How much larger the variance of Fisher's z is for Spearman's correlations than for Pearson's of normal variables.

    Without it the tests call too much significant: 7% of true nulls where they promise 5%, at SRCC of 0.75
    (benchmarks/coverage.py). With it they are a little cautious: about 4%.

    Args:
        first, second: Spearman's correlations; their mean square counts.

    Source: Bonett and Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations: 1 + r**2 / 2 for one correlation.

    >>> rank_variance(0.8, 0.8)
    1.32
    """
    return 1 + (first**2 + second**2) / 4


def _undefined(first: float, second: float, between: float, n: int) -> bool:
    # NaN is not below 1.
    alike = first == second
    return n < 4 or not (abs(first) < 1 and abs(second) < 1 and (alike or abs(between) < 1))


def stouffer(tests: Sequence[Test]) -> Test:
    """One Z test from those of independent data sets, all of one weight.

    Args:
        tests: whose statistics are standard normal under the null hypothesis.

    Source: Stouffer et al. (1949), The American Soldier, volume 1.

    >>> round(stouffer([Test(1.5, 0.134), Test(1.5, 0.134)]).statistic, 3)
    2.121
    """
    z = float(sum(test.statistic for test in tests) / math.sqrt(len(tests)))
    return Test(z, two_sided(z))


def two_sided(z: float) -> float:
    """The two-sided p-value of a standard normal statistic."""
    return float(2 * norm.sf(abs(z)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being several, by Holm's step-down procedure: reject where they are below the level.

    Args:
        p: one for each comparison; NaN ones are not counted as comparisons, and stay NaN.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> holm([0.01, 0.04, 0.03, 0.005])
    [0.03, 0.06, 0.06, 0.02]
    """
    values = np.asarray(p, np.float64)
    counted = np.flatnonzero(~np.isnan(values))
    order = counted[np.argsort(values[counted], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return [float(value) for value in adjusted]

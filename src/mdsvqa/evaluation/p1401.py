"""The significance tests of ITU-T P.1401, as that recommendation states them.

They take the figures of two models as independent, as if each model had been measured on videos of its own. Where both
are measured on the same videos, as here, this is not so: the tests are then too cautious, the more so the more the
errors of the two models agree; the one on RMSE also leans on normal errors. The recommendation asks for them, so they
are here; to decide, use `correlated.meng_test` and the paired bootstrap.
"""

import math

import numpy as np
from scipy.stats import f, norm, t

from mdsvqa.evaluation.correlated import UNDEFINED, Test, two_sided
from mdsvqa.runtime.arrays import Floats

# Coefficients of the map from scores to MOS, by which the degrees of freedom of an error are reduced.
COEFFICIENTS = {"logistic": 4, "linear": 2}
# With fewer ratings than that the interval of a MOS is by Student's t, otherwise by the normal distribution.
FEW_RATINGS = 30


def prediction_rmse(predicted: Floats, mos: Floats, coefficients: int) -> float:
    """Root mean square error with the degrees of freedom of the map taken off, MOS points.

    Args:
        predicted: scores mapped to MOS, shape (n,).
        mos: shape (n,).
        coefficients: of the map, d in the recommendation.

    Returns:
        NaN where n is not above d.

    Source: ITU-T P.1401 (2020), 7.5.1.
    """
    if len(mos) <= coefficients:
        return math.nan
    return float(np.sqrt(((predicted - mos) ** 2).sum() / (len(mos) - coefficients)))


def mos_interval(std: Floats, ratings: Floats, confidence: float = 0.95) -> Floats:
    """Half the width of the confidence interval of each MOS, MOS points.

    Args:
        std: standard deviation of the ratings of each video (not of their mean), shape (n,).
        ratings: how many each MOS is the mean of, shape (n,).

    Returns:
        Shape (n,): infinite where there is one rating only, which says nothing about its own error.

    Source: ITU-T P.1401 (2020), 7.4.
    """
    tail = (1 + confidence) / 2
    few = t.ppf(tail, np.maximum(ratings - 1, 1))
    quantile = np.where(ratings < FEW_RATINGS, few, norm.ppf(tail))
    return np.where(ratings > 1, quantile * std / np.sqrt(ratings), np.inf)


def outlier_ratio(predicted: Floats, mos: Floats, std: Floats, ratings: Floats) -> float:
    """The share of videos whose error is beyond the 95% confidence interval of their MOS, in [0, 1].

    Args:
        predicted: scores mapped to MOS, shape (n,).
        mos, std, ratings: shape (n,); as in `mos_interval`.

    Source: ITU-T P.1401 (2020), 7.5.2.2.
    """
    return float((np.abs(predicted - mos) > mos_interval(std, ratings)).mean())


def correlation_test(first: float, second: float, n: int) -> Test:
    """Fisher's z test of two correlations, taken as independent (see the caveat of this file).

    Args:
        first, second: correlations with MOS, in [-1, 1].
        n: videos, the same for both.

    Returns:
        Undefined where a correlation is NaN, -1 or 1, or n is below 4.

    Source: ITU-T P.1401 (2020), 7.6.1.

    >>> round(correlation_test(0.9, 0.8, 103).statistic, 3)
    2.642
    """
    if n < 4 or not (abs(first) < 1 and abs(second) < 1):
        return UNDEFINED
    z = (math.atanh(first) - math.atanh(second)) / math.sqrt(2 / (n - 3))
    return Test(z, two_sided(z))


def outlier_test(first: float, second: float, n: int) -> Test:
    """Test of two outlier ratios, taken as independent binomial proportions (see the caveat of this file).

    Args:
        first, second: outlier ratios, in [0, 1].
        n: videos, the same for both.

    Returns:
        A statistic that is positive where the first model has fewer outliers; 0, with p 1, where both have the same
        ratio.

    Source: ITU-T P.1401 (2020), 7.6.2.
    """
    if first == second:
        return Test(0.0, 1.0)
    z = (second - first) / math.sqrt((first * (1 - first) + second * (1 - second)) / n)
    return Test(z, two_sided(z))


def rmse_test(first: float, second: float, first_freedom: int, second_freedom: int) -> Test:
    """F test of two RMSE, taken as independent (see the caveat of this file).

    The recommendation compares the larger over the smaller squared RMSE with the 95% quantile of F. As it is not known
    beforehand which is the larger, that rejects a true null twice as often as it says. The p-value here is two-sided,
    so that 0.05 means 5%; the recommendation's own decision is p < 0.10.

    Args:
        first, second: RMSE as by `prediction_rmse`, at least 0.
        first_freedom, second_freedom: degrees of freedom: videos minus the coefficients of the map.

    Returns:
        F, the second squared RMSE over the first: above 1 where the first model errs less. Undefined where an RMSE is
        NaN, 0 or without a degree of freedom.

    Source: ITU-T P.1401 (2020), 7.6.4.
    """
    if not (first > 0 and second > 0 and first_freedom > 0 and second_freedom > 0):
        return UNDEFINED
    ratio = (second / first) ** 2
    one_sided = min(f.sf(ratio, second_freedom, first_freedom), f.cdf(ratio, second_freedom, first_freedom))
    return Test(ratio, float(min(1.0, 2 * one_sided)))

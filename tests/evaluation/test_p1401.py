"""The tests of ITU-T P.1401 against scipy, and against their formulas by hand."""

import math

import numpy as np
import pytest
from scipy.stats import f, norm, t

from mdsvqa.evaluation.p1401 import (
    correlation_test,
    mos_interval,
    outlier_ratio,
    outlier_test,
    prediction_rmse,
    rmse_test,
)


def test_rmse_takes_off_the_coefficients_of_the_map() -> None:
    predicted, mos = np.array([1.0, 2, 3, 4, 5, 6]), np.array([2.0, 2, 3, 4, 5, 5])
    assert prediction_rmse(predicted, mos, 4) == pytest.approx(math.sqrt(2 / 2))
    assert prediction_rmse(predicted, mos, 2) == pytest.approx(math.sqrt(2 / 4))
    assert math.isnan(prediction_rmse(predicted, mos, 6))


def test_f_test_is_scipy_s() -> None:
    found = rmse_test(0.4, 0.5, 96, 96)
    assert found.statistic == pytest.approx(1.5625)
    assert found.p == pytest.approx(2 * f.sf(1.5625, 96, 96))
    assert rmse_test(0.5, 0.4, 96, 96).p == pytest.approx(found.p)
    assert rmse_test(0.5, 0.5, 96, 96).p == pytest.approx(1)
    # The recommendation's decision: the larger over the smaller against the 95% quantile.
    for first in np.linspace(0.3, 0.8, 30):
        ratio = max(first / 0.5, 0.5 / first) ** 2
        assert (rmse_test(first, 0.5, 60, 60).p < 0.10) == (ratio > f.ppf(0.95, 60, 60))


def test_undefined_rmse() -> None:
    for arguments in ((0.0, 0.5, 9, 9), (math.nan, 0.5, 9, 9), (0.4, 0.5, 0, 9)):
        assert math.isnan(rmse_test(*arguments).p)


def test_correlations_by_hand() -> None:
    # z of .9 is 1.4722, of .8 1.0986; the difference has standard deviation sqrt(2 / 100).
    found = correlation_test(0.9, 0.8, 103)
    assert found.statistic == pytest.approx((1.4722 - 1.0986) / math.sqrt(0.02), abs=1e-3)
    assert found.p == pytest.approx(2 * norm.sf(found.statistic))
    assert math.isnan(correlation_test(1.0, 0.8, 103).p)
    assert math.isnan(correlation_test(0.9, math.nan, 103).p)


def test_interval_of_a_mos() -> None:
    std, ratings = np.array([0.8, 0.8, 0.8, 0.0]), np.array([16.0, 64.0, 1.0, 20.0])
    assert mos_interval(std, ratings).tolist() == pytest.approx([t.ppf(0.975, 15) * 0.2, 1.959964 * 0.1, math.inf, 0.0])


def test_outliers() -> None:
    mos, std, ratings = np.full(4, 3.0), np.full(4, 1.0), np.full(4, 100.0)
    # Beyond 0.196 on either side.
    predicted = np.array([3.1, 2.85, 3.2, 2.5])
    assert outlier_ratio(predicted, mos, std, ratings) == 0.5
    assert outlier_ratio(predicted, mos, std, np.ones(4)) == 0.0
    found = outlier_test(0.2, 0.3, 100)
    assert found.statistic == pytest.approx(0.1 / math.sqrt((0.16 + 0.21) / 100))
    assert outlier_test(0.0, 0.0, 100).p == 1.0

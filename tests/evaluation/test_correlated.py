"""Tests of correlations that share a variable, against worked examples and against other authors' formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mdsvqa.evaluation.correlated import Test, holm, meng_test, rank_variance, stouffer, williams_test

CORRELATION = st.floats(-0.95, 0.95)


def dunn_and_clark(first: float, second: float, between: float, n: int) -> float:
    """Another test of the same hypothesis: Dunn and Clark (1969), as in Steiger (1980), equation 12."""
    left = between * (1 - first**2 - second**2)
    left -= 0.5 * first * second * (1 - first**2 - second**2 - between**2)
    covariance = left / ((1 - first**2) * (1 - second**2))
    return (math.atanh(first) - math.atanh(second)) * math.sqrt(n - 3) / math.sqrt(2 - 2 * covariance)


def test_worked_example_of_meng_rosenthal_and_rubin() -> None:
    # Meng et al. (1992), page 173: Z = 1.68, p = .047, one-tailed.
    found = meng_test(0.63, -0.03, -0.19, 15)
    assert round(found.statistic, 2) == 1.68
    assert round(found.p / 2, 3) == 0.047


def test_worked_example_of_steiger() -> None:
    # As printed by r.test(103, .4, .5, .1) of the R package psych, after Steiger (1980): t = -0.89, p < 0.37.
    found = williams_test(0.4, 0.5, 0.1, 103)
    assert round(found.statistic, 2) == -0.89
    assert round(found.p, 2) == 0.37


@pytest.mark.parametrize(("first", "second", "between"), [(0.2, 0.5, 0.1), (0.75, 0.7, 0.9), (0.6, 0.55, 0.3)])
def test_tests_agree_in_large_samples(first: float, second: float, between: float) -> None:
    expected = dunn_and_clark(first, second, between, 400)
    assert meng_test(first, second, between, 400).statistic == pytest.approx(expected, rel=0.03)
    assert williams_test(first, second, between, 400).statistic == pytest.approx(expected, rel=0.04)


@given(CORRELATION, CORRELATION, CORRELATION, st.integers(4, 1000), st.booleans())
def test_order_of_the_models_is_the_sign(first: float, second: float, between: float, n: int, ranks: bool) -> None:
    for test in (meng_test, williams_test):
        one, other = test(first, second, between, n, ranks=ranks), test(second, first, between, n, ranks=ranks)
        if math.isnan(one.statistic):
            # No three variables have such correlations.
            assert math.isnan(other.p)
            continue
        assert one.statistic == pytest.approx(-other.statistic)
        assert one.p == pytest.approx(other.p)
        assert 0 <= one.p <= 1
        assert (one.statistic > 0) == (first > second)


def test_equal_and_undefined_correlations() -> None:
    for test in (meng_test, williams_test):
        assert test(0.7, 0.7, 1.0, 50) == Test(0.0, 1.0)
        assert test(0.7, 0.7, 0.3, 50) == Test(0.0, 1.0)
        for arguments in ((math.nan, 0.5, 0.5, 50), (1.0, 0.5, 0.5, 50), (0.6, 0.5, 1.0, 50), (0.6, 0.5, 0.5, 3)):
            assert math.isnan(test(*arguments).statistic)
            assert math.isnan(test(*arguments).p)


def test_rank_correlations_vary_more() -> None:
    plain, ranks = meng_test(0.8, 0.7, 0.8, 100), meng_test(0.8, 0.7, 0.8, 100, ranks=True)
    assert ranks.statistic == pytest.approx(plain.statistic / math.sqrt(rank_variance(0.8, 0.7)))
    # Bonett and Wright's variance of Fisher's z, (1 + r^2 / 2) / (n - 3), against simulation.
    rng = np.random.default_rng(0)
    r, n = 0.8, 100
    latent = 2 * math.sin(math.pi * r / 6)
    x = rng.normal(size=(4000, n))
    y = latent * x + math.sqrt(1 - latent**2) * rng.normal(size=x.shape)
    ranked = [side.argsort(1).argsort(1) - (n - 1) / 2 for side in (x, y)]
    found = (ranked[0] * ranked[1]).sum(1) / (ranked[0] ** 2).sum(1)
    assert np.arctanh(found).var() * (n - 3) == pytest.approx(rank_variance(r, r), rel=0.12)


def test_holm_by_hand() -> None:
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_holm_does_not_count_what_is_undefined() -> None:
    found = holm([math.nan, 0.02, 0.03])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.04, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_its_definition(p: list[float]) -> None:
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3):
        rejected = 0
        while rejected < len(p) and sorted(p)[rejected] * (len(p) - rejected) < level:
            rejected += 1
        assert sum(value < level for value in adjusted) == rejected


def test_stouffer() -> None:
    found = stouffer([Test(1.0, 0.3), Test(2.0, 0.04), Test(3.0, 0.002)])
    assert found.statistic == pytest.approx(6 / math.sqrt(3))
    assert found.p == pytest.approx(2 * norm.sf(6 / math.sqrt(3)))
    assert math.isnan(stouffer([Test(1.0, 0.3), Test(math.nan, math.nan)]).p)

"""Percentile intervals: quantiles by hand, and how often they hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.evaluation.bootstrap import resample_counts, srcc_draws
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.intervals import Interval, percentile_interval


@pytest.mark.parametrize(("confidence", "low", "high"), [(0.95, 25, 975), (0.9, 50, 950), (0.5, 250, 750)])
def test_quantiles_by_hand(confidence: float, low: float, high: float) -> None:
    draws = np.random.default_rng(0).permutation(1001).astype(float)
    found = percentile_interval(7.0, draws, confidence)
    assert (found.value, found.low, found.high) == pytest.approx((7.0, low, high))


def test_default_is_95_percent() -> None:
    # 2.5% of the way from 0 to 4.
    assert percentile_interval(0.0, np.arange(5.0)).low == pytest.approx(0.1)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=50), st.integers(1, 5))
def test_nan_draws_are_left_out(draws: list[float], holes: int) -> None:
    without = percentile_interval(0.0, np.array(draws))
    assert percentile_interval(0.0, np.array([*draws, *[math.nan] * holes])) == without
    assert min(draws) <= without.low <= without.high <= max(draws)


@pytest.mark.parametrize("draws", [[], [math.nan, math.nan]])
def test_no_draws(draws: list[float]) -> None:
    found = percentile_interval(0.5, np.array(draws, np.float64))
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.excludes_zero


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_excludes_zero(low: float, high: float, excludes: bool) -> None:
    assert Interval((low + high) / 2, low, high).excludes_zero == excludes


def test_format() -> None:
    assert f"{Interval(0.66549, 0.5, 0.75)}" == "0.665 [0.500, 0.750]"
    assert f"{Interval(0.66549, -0.5, 0.75):+.1f}" == "+0.7 [-0.5, +0.8]"


def test_95_percent_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    pearson = 0.8
    # Pearson (1907): Spearman's correlation of the bivariate normal distribution.
    truth = 6 / np.pi * np.arcsin(pearson / 2)
    held = 0
    for place in range(60):
        score, mos = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], 100).T
        draws = srcc_draws(score, mos, resample_counts(100, 400, place))
        found = percentile_interval(srcc(score, mos), draws)
        held += found.low <= truth <= found.high
    assert held >= 51

"""Correlations of resamples from counts: each equals scipy's on the resample written out."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from mdsvqa.evaluation import bootstrap
from mdsvqa.evaluation.bootstrap import (
    krcc_draws,
    resample_counts,
    resampled_pearson,
    resampled_ranks,
    srcc_draws,
)

Floats = NDArray[np.float64]
# Few distinct values, so that ties and constant resamples are common; with and without binary fractions.
VALUE = (
    st.integers(-3, 3).map(float) | st.sampled_from([0.1, 0.3, 1 / 3]) | st.floats(-100, 100).map(lambda v: round(v, 3))
)
PAIRS = st.lists(st.tuples(VALUE, VALUE), min_size=2, max_size=12)
SEED = st.integers(0, 2**32)


def resamples(pairs: list[tuple[float, float]], seed: int, draws: int = 8) -> tuple[Floats, Floats, Floats]:
    x, y = np.array(pairs).T
    return x.copy(), y.copy(), resample_counts(len(x), draws, seed)


def expanded(values: Floats, counts: Floats) -> Floats:
    return np.repeat(values, counts.astype(int))


def by_scipy(statistic: object, x: Floats, y: Floats, counts: Floats) -> list[float]:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input, where scipy too returns NaN
        for row in counts:
            a, b = expanded(x, row), expanded(y, row)
            found.append(float("nan") if np.ptp(a) == 0 or np.ptp(b) == 0 else statistic(a, b).statistic)  # type: ignore[operator]
    return found


@given(st.integers(1, 40), st.integers(1, 20), SEED)
def test_counts_are_those_of_a_resample(n: int, draws: int, seed: int) -> None:
    counts = resample_counts(n, draws, seed)
    assert counts.shape == (draws, n)
    assert (counts >= 0).all()
    assert (counts.sum(1) == n).all()
    np.testing.assert_array_equal(counts, resample_counts(n, draws, seed))


def test_counts_are_multinomial() -> None:
    n, draws = 20, 20_000
    counts = resample_counts(n, draws)
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.04)
    np.testing.assert_allclose(counts.var(0), 1 - 1 / n, atol=0.06)
    # The chance that a video is left out.
    assert (counts == 0).mean() == pytest.approx((1 - 1 / n) ** n, abs=0.005)


@settings(deadline=None)
@given(PAIRS, SEED)
def test_ranks(pairs: list[tuple[float, float]], seed: int) -> None:
    x, _, counts = resamples(pairs, seed)
    for row, ranks in zip(counts, resampled_ranks(x, counts), strict=True):
        np.testing.assert_array_equal(expanded(ranks, row), rankdata(expanded(x, row)))


@settings(deadline=None)
@given(PAIRS, SEED)
def test_srcc(pairs: list[tuple[float, float]], seed: int) -> None:
    x, y, counts = resamples(pairs, seed)
    np.testing.assert_allclose(srcc_draws(x, y, counts), by_scipy(spearmanr, x, y, counts), atol=1e-12)


@settings(deadline=None)
@given(PAIRS, SEED)
def test_krcc(pairs: list[tuple[float, float]], seed: int) -> None:
    x, y, counts = resamples(pairs, seed)
    np.testing.assert_allclose(krcc_draws(x, y, counts), by_scipy(kendalltau, x, y, counts), atol=1e-12)


@settings(deadline=None)
@given(PAIRS, SEED, st.sampled_from([1e-9, 1e-3, 1.0, 1e6]))
def test_pearson(pairs: list[tuple[float, float]], seed: int, unit: float) -> None:
    x, y, counts = resamples(pairs, seed)
    x = x * unit
    np.testing.assert_allclose(resampled_pearson(x, y, counts), by_scipy(pearsonr, x, y, counts), atol=1e-9)
    each_its_own = np.tile(x, (len(counts), 1))
    np.testing.assert_array_equal(resampled_pearson(each_its_own, y, counts), resampled_pearson(x, y, counts))


def test_constant_resamples_are_nan() -> None:
    # 0.1 has no exact binary fraction: minus its mean of 7 it is not 0.
    x, y = np.full(7, 0.1), np.arange(7.0)
    counts = np.array([np.ones(7), [7, 0, 0, 0, 0, 0, 0]])
    for draws in (resampled_pearson, srcc_draws, krcc_draws):
        assert np.isnan(draws(x, y, counts)).all()
        assert np.isnan(draws(y, x, counts)).all()
        assert np.isnan(draws(y, y, counts)).tolist() == [False, True]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    counts = resample_counts(30, 25)
    whole = srcc_draws(x, y, counts), krcc_draws(x, y, counts)
    monkeypatch.setattr(bootstrap, "BLOCK", 7 * 30)
    monkeypatch.setattr(bootstrap, "MOST_FOR_PAIRS", 10)
    np.testing.assert_array_equal(srcc_draws(x, y, counts), whole[0])
    np.testing.assert_allclose(krcc_draws(x, y, counts), whole[1], atol=1e-12)

"""SRCC, PLCC, KRCC and RMSE against scipy, on made-up and on real scores."""

import csv
import math
import warnings

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import kendalltau, pearsonr, spearmanr

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.correlation import krcc, srcc
from mdsvqa.evaluation.metrics import METRICS, Evaluation, evaluate, measured, paired_values, rmse
from mdsvqa.runtime.errors import InputError
from places import REAL_POOL as REAL

Floats = NDArray[np.float64]
VALUE = st.integers(-3, 3).map(float) | st.floats(-100, 100).map(lambda v: round(v, 3))


def vqeg(score: Floats, top: float, bottom: float, center: float, width: float) -> Floats:
    return bottom + (top - bottom) / (1 + np.exp(-(score - center) / abs(width)))


def fitted(score: Floats, mos: Floats) -> Floats:
    start = [mos.max(), mos.min(), score.mean(), score.std() / 4]
    parameters, _ = curve_fit(vqeg, score, mos, p0=start, maxfev=20_000)
    return vqeg(score, *parameters)


def sample(n: int = 100, noise: float = 0.5, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    score = rng.uniform(0, 100, n).round()
    return score, vqeg(score, 4.6, 1.3, 48, 11) + noise * rng.normal(size=n)


def test_by_hand() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 1.0, 4.0, 3.0, 5.0])
    assert srcc(x, y) == pytest.approx(1 - 6 * 4 / (5 * 24))  # four rank differences of 1
    assert krcc(x, y) == pytest.approx((8 - 2) / 10)  # two of ten pairs are swapped
    assert rmse(x, y) == pytest.approx(math.sqrt(4 / 5))
    # With one tie in x there are five concordant of six pairs, of which x can tell five apart.
    assert krcc(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(5 / math.sqrt(5 * 6))


def test_evaluation_is_scipy_s() -> None:
    score, mos = sample()
    found = evaluate(score, mos, draws=200)
    mapped = fitted(score, mos)
    assert (found.n, found.fit) == (100, "logistic")
    assert found.srcc.value == pytest.approx(spearmanr(score, mos).statistic)
    assert found.krcc.value == pytest.approx(kendalltau(score, mos).statistic)
    assert found.plcc.value == pytest.approx(pearsonr(mapped, mos).statistic, abs=1e-6)
    assert found.rmse.value == pytest.approx(math.sqrt(np.mean((mapped - mos) ** 2)), abs=1e-6)
    for name in METRICS:
        interval = getattr(found, name)
        assert interval.low < interval.value < interval.high


def test_refitted_draws_are_an_explicit_fit_of_each_resample() -> None:
    score, mos = sample()
    counts = resample_counts(len(score), 80, seed=4)
    found = measured(score, mos, counts)
    plcc, error = found.draws["plcc"], found.draws["rmse"]
    expected_plcc, expected_error = [], []
    for row in counts.astype(int):
        x, y = np.repeat(score, row), np.repeat(mos, row)
        mapped = fitted(x, y)
        expected_plcc.append(pearsonr(mapped, y).statistic)
        expected_error.append(math.sqrt(np.mean((mapped - y) ** 2)))
    np.testing.assert_allclose(plcc, expected_plcc, atol=1e-3)
    np.testing.assert_allclose(error, expected_error, atol=1e-3)
    found = evaluate(score, mos, draws=80, seed=4, confidence=0.9)
    assert [found.plcc.low, found.plcc.high] == pytest.approx(np.quantile(expected_plcc, [0.05, 0.95]), abs=1e-3)
    assert [found.rmse.low, found.rmse.high] == pytest.approx(np.quantile(expected_error, [0.05, 0.95]), abs=1e-3)


def test_raw_plcc_is_pearson_s_of_the_scores_themselves() -> None:
    score, mos = sample()
    found = evaluate(score, mos, draws=200, seed=4)
    assert list(METRICS)[-1] == "plcc_raw"
    assert found.plcc_raw.value == pytest.approx(pearsonr(score, mos).statistic)
    drawn = [
        pearsonr(np.repeat(score, row), np.repeat(mos, row)).statistic
        for row in resample_counts(len(score), 200, seed=4).astype(int)
    ]
    assert [found.plcc_raw.low, found.plcc_raw.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    # Nothing turns it round, as the fit does.
    assert evaluate(-score, mos, draws=5).plcc_raw.value == pytest.approx(-found.plcc_raw.value)


def test_an_outlier_widens_no_interval_below_zero() -> None:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 40)
    score = mos + 0.7 * rng.normal(size=40)
    score[3] = 1e6
    found = evaluate(score, mos, draws=300)
    assert found.plcc.value > 0.7
    assert found.plcc.low > 0.5
    # Without the fit one score is all there is.
    assert abs(found.plcc_raw.value) < 0.3


def test_linear_draws_are_polyfit_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("metrics", "logistic"):
        monkeypatch.setattr(f"mdsvqa.evaluation.{module}.fit_logistic", lambda score, mos: None)
    score, mos = sample(n=30)
    counts = resample_counts(30, 20)
    found = measured(score, mos, counts)
    plcc, error = found.draws["plcc"], found.draws["rmse"]
    for place, row in enumerate(counts.astype(int)):
        x, y = np.repeat(score, row), np.repeat(mos, row)
        line = np.polyval(np.polyfit(x, y, 1), x)
        assert plcc[place] == pytest.approx(pearsonr(line, y).statistic)
        assert error[place] == pytest.approx(rmse(line, y))


@pytest.mark.parametrize("unit", [1e-6, 1e-2, 1e6])
def test_units_of_the_scores_do_not_matter(unit: float) -> None:
    score, mos = sample()
    expected, found = evaluate(score, mos, draws=100), evaluate(score * unit - 3 * unit, mos, draws=100)
    for name in METRICS:
        for part in ("value", "low", "high"):
            assert getattr(getattr(found, name), part) == pytest.approx(
                getattr(getattr(expected, name), part), abs=1e-4
            )


def test_scores_that_fall_with_quality() -> None:
    score, mos = sample()
    up, down = evaluate(score, mos, draws=50), evaluate(-score, mos, draws=50)
    assert down.srcc.value == pytest.approx(-up.srcc.value)
    assert down.krcc.value == pytest.approx(-up.krcc.value)
    # The logistic falls, so that its PLCC does not.
    assert down.plcc.value == pytest.approx(up.plcc.value, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 3.3, 73.3])
@pytest.mark.parametrize("n", [5, 7, 100])
def test_constants_have_no_correlation(constant: float, n: int) -> None:
    varying = np.random.default_rng(0).uniform(1, 5, n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_scores = evaluate(np.full(n, constant), varying, draws=50)
        of_mos = evaluate(varying, np.full(n, constant), draws=50)
    for found in (of_scores, of_mos):
        assert found.fit == "linear"
        for name in ("srcc", "plcc", "krcc"):
            interval = getattr(found, name)
            assert np.isnan([interval.value, interval.low, interval.high]).all(), name
    # The best that a constant can say is the mean.
    assert of_scores.rmse.value == pytest.approx(varying.std())
    assert of_mos.rmse.value == pytest.approx(0, abs=1e-12)


def test_tiny_sets_with_ties_do_not_fail() -> None:
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            n = int(rng.integers(5, 9))
            found = evaluate(rng.integers(0, 4, n), rng.integers(1, 6, n) * 20.0, draws=40)
            for name in ("srcc", "plcc", "krcc"):
                value = getattr(found, name).value
                assert math.isnan(value) or -1 <= value <= 1


def test_one_seed_one_result() -> None:
    score, mos = sample()
    assert evaluate(score, mos, draws=50, seed=1) == evaluate(score, mos, draws=50, seed=1)
    assert evaluate(score, mos, draws=50, seed=1) != evaluate(score, mos, draws=50, seed=2)


@pytest.mark.parametrize(
    ("score", "mos", "message"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], "at least 5 videos with a score and a MOS; found 4"),
        ([], [], "found 0"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4], r"one length; found \(5,\) and \(4,\)"),
        ([[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5]], "two columns"),
        ([1, 2, 3, 4, math.nan], [1, 2, 3, 4, 5], "finite numbers; leave out rows without a score or a MOS"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, math.inf], "finite"),
    ],
)
def test_refused(score: list[float], mos: list[float], message: str) -> None:
    for check in (paired_values, evaluate):
        with pytest.raises(InputError, match=message):
            check(score, mos)


@pytest.fixture(scope="module")
def real() -> tuple[Floats, Floats, Evaluation]:
    if not REAL.exists():
        pytest.skip(f"real scores of YouTube-SFV (SDR) are not there: {REAL.name} in {REAL.parent.name}")
    with REAL.open(newline="") as file:
        rows = list(csv.DictReader(file))
    score, mos = (np.array([float(row[name]) for row in rows]) for name in ("base_score", "mos"))
    return score, mos, evaluate(score, mos, draws=100)


def test_real_srcc(real: tuple[Floats, Floats, Evaluation]) -> None:
    score, mos, found = real
    assert round(found.srcc.value, 3) == 0.665
    assert found.srcc.value == pytest.approx(spearmanr(score, mos).statistic)


def test_real_plcc(real: tuple[Floats, Floats, Evaluation]) -> None:
    score, mos, found = real
    assert found.plcc.value == pytest.approx(pearsonr(fitted(score, mos), mos).statistic, abs=0.002)


def test_real_krcc(real: tuple[Floats, Floats, Evaluation]) -> None:
    score, mos, found = real
    assert found.krcc.value == pytest.approx(kendalltau(score, mos).statistic)

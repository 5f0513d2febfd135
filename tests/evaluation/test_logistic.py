"""The logistic fit: known parameters come back, and scipy finds the same from the same start."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad, curve_fit

from mdsvqa.evaluation import logistic as module
from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.logistic import _gradient, fit_logistic, logistic, map_to_mos, refit_logistic

Floats = NDArray[np.float64]


def vqeg(score: Floats, top: float, bottom: float, center: float, width: float) -> Floats:
    """As printed in VQEG's report."""
    with np.errstate(over="ignore"):
        return bottom + (top - bottom) / (1 + np.exp(-(score - center) / abs(width)))


def vqeg_start(score: Floats, mos: Floats) -> list[float]:
    return [mos.max(), mos.min(), score.mean(), score.std() / 4]


def sample(n: int = 150, noise: float = 0.4, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    score = rng.uniform(0, 100, n)
    return score, vqeg(score, 4.6, 1.3, 48, 11) + noise * rng.normal(size=n)


def squared_error(score: Floats, mos: Floats, counts: Floats, parameters: Floats) -> float:
    return float((counts * (mos - vqeg(score, *parameters)) ** 2).sum())


def test_formula() -> None:
    score = np.linspace(-50, 150, 41)
    np.testing.assert_allclose(logistic(score, 4.6, 1.3, 48, 11), vqeg(score, 4.6, 1.3, 48, 11))
    np.testing.assert_allclose(logistic(score, 4.6, 1.3, 48, -11), logistic(score, 4.6, 1.3, 48, 11))
    assert logistic(np.array([48.0]), 4.6, 1.3, 48, 11).item() == pytest.approx((4.6 + 1.3) / 2)
    # Far out the exponential of the printed formula overflows; this one does not.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(logistic(np.array([-1e6, 1e6]), 4.6, 1.3, 48, 1), [1.3, 4.6])


@pytest.mark.parametrize("width", [7.0, -7.0])
@pytest.mark.parametrize("score", [-10.0, 40.0, 50.0, 90.0])
def test_gradient_by_finite_differences(score: float, width: float) -> None:
    at = np.array([4.6, 1.3, 48.0, width])
    one = np.array([score])
    error = check_grad(lambda p: float(logistic(one, *p)[0]), lambda p: _gradient(one, *p)[0], at)
    assert error < 1e-6


@pytest.mark.parametrize(
    ("top", "bottom", "center", "width"), [(4.6, 1.3, 48, 11), (1.2, 4.5, 50, 8), (100, 0, 20, 15), (0.9, 0.1, 60, 5)]
)
def test_known_parameters_come_back(top: float, bottom: float, center: float, width: float) -> None:
    score = np.linspace(0, 100, 60)
    mos = vqeg(score, top, bottom, center, width)
    parameters = fit_logistic(score, mos)
    assert parameters is not None
    assert [*parameters[:3], abs(parameters[3])] == pytest.approx([top, bottom, center, width], rel=1e-5, abs=1e-6)
    mapped, fit = map_to_mos(score, mos)
    assert fit == "logistic"
    np.testing.assert_allclose(mapped, mos, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_as_scipy_from_the_same_start(seed: int, noise: float) -> None:
    score, mos = sample(noise=noise, seed=seed)
    expected, _ = curve_fit(vqeg, score, mos, p0=vqeg_start(score, mos), maxfev=20_000)
    found = fit_logistic(score, mos)
    assert found is not None
    np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-3)
    assert abs(found[3]) == pytest.approx(abs(expected[3]), rel=1e-3)


@pytest.mark.parametrize("width", [0.0, -0.0, 5e-324, 1e-200])
def test_the_narrowest_is_a_step(width: float) -> None:
    score = np.array([1.0, 2.0, 3.0])
    with warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("error")
        assert logistic(score, 5.0, 1.0, 2.0, width).tolist() == [1.0, 3.0, 5.0]
        assert np.isfinite(_gradient(score, 5.0, 1.0, 2.0, width)).all()


def test_line_where_there_is_no_logistic() -> None:
    score = np.array([1.0, 2.0, 4.0, 7.0, 8.0])
    # Four parameters through two values have no unique best.
    step = np.array([1.0, 1.0, 5.0, 5.0, 5.0])
    mapped, fit = map_to_mos(score, step)
    if fit == "linear":
        np.testing.assert_allclose(mapped, np.polyval(np.polyfit(score, step, 1), score))
    assert ((mapped - step) ** 2).sum() <= ((np.polyval(np.polyfit(score, step, 1), score) - step) ** 2).sum() + 1e-9


def test_line_by_polyfit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fit_logistic", lambda score, mos: None)
    score, mos = sample()
    mapped, fit = map_to_mos(score, mos)
    assert fit == "linear"
    np.testing.assert_allclose(mapped, np.polyval(np.polyfit(score, mos, 1), score))


@pytest.mark.parametrize("constant", [0.0, 0.1, 3.3, 73.3])
@pytest.mark.parametrize("n", [5, 7, 100])
def test_constants(constant: float, n: int) -> None:
    varying = np.random.default_rng(0).uniform(1, 5, n)
    for score, mos in ((np.full(n, constant), varying), (varying, np.full(n, constant))):
        assert fit_logistic(score, mos) is None
        mapped, fit = map_to_mos(score, mos)
        assert fit == "linear"
        np.testing.assert_array_equal(mapped, np.full(n, mos.mean()))


def with_a_far_score(far: float, place: int = 0, n: int = 60) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(3)
    mos = rng.uniform(1, 5, n)
    score = mos + 0.5 * rng.normal(size=n)
    score[place] = far
    return score, mos


@pytest.mark.parametrize("far", [1e2, 1e6, -1e6, 1e12])
def test_one_far_score_does_not_ruin_the_fit(far: float) -> None:
    score, mos = with_a_far_score(far)
    parameters = fit_logistic(score, mos)
    assert parameters is not None
    found = squared_error(score, mos, np.ones(60), parameters)
    # Where scipy ends from a start that the far score has no part in.
    near = score[1:]
    start = [mos.max(), mos.min(), np.median(score), near.std() / 2]
    expected, _ = curve_fit(vqeg, score, mos, p0=start, maxfev=20_000)
    assert found <= squared_error(score, mos, np.ones(60), expected) * (1 + 1e-6)
    mapped, fit = map_to_mos(score, mos)
    assert fit == "logistic"
    # The other 59 agree with their MOS; from the mean and the deviation of the scores alone PLCC is below 0.3.
    assert np.corrcoef(mapped, mos)[0, 1] > 0.8


@pytest.mark.parametrize("seed", range(12))
def test_no_start_of_scipy_s_finds_less_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=40) * 10.0 ** rng.integers(-3, 4)
    mos = 3 + rng.choice([0.3, 1.0]) * score / score.std() + rng.choice([0.1, 0.5]) * rng.normal(size=40)
    least = np.inf
    for center in (score.mean(), np.median(score)):
        for width in score.std() * np.array([0.02, 0.25, 3.0]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found, _ = curve_fit(vqeg, score, mos, p0=[mos.max(), mos.min(), center, width], maxfev=2000)
                except RuntimeError:
                    continue
                least = min(least, squared_error(score, mos, np.ones(40), found))
    mapped, _ = map_to_mos(score, mos)
    assert ((mapped - mos) ** 2).sum() <= least * 1.002


@pytest.mark.parametrize("seed", range(6))
def test_no_resample_is_fitted_worse_than_by_a_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [with_a_far_score(1e6, n=12), with_a_far_score(-1e3, n=30), sample(20, noise=2.0, seed=seed)]
    samples.append((rng.normal(size=15), rng.uniform(1, 5, 15)))
    samples.append((np.exp(rng.normal(scale=4, size=25)), rng.uniform(1, 5, 25)))
    for score, mos in samples:
        start = fit_logistic(score, mos)
        if start is None:
            continue
        counts = resample_counts(len(score), 60, seed)
        for row, parameters in zip(counts, refit_logistic(score, mos, counts, start), strict=True):
            if (row > 0).sum() < 3:
                continue
            x, y = (np.repeat(values, row.astype(int)) for values in (score, mos))
            centered = x - x.mean()
            line = y.mean() + (centered @ y) / (centered @ centered) * centered
            fitted = ((logistic(x, *parameters) - y) ** 2).sum()
            assert fitted <= ((line - y) ** 2).sum() * (1 + 1e-6) + 1e-9


def test_refits_as_scipy_on_each_resample() -> None:
    score, mos = sample(n=100)
    start = fit_logistic(score, mos)
    assert start is not None
    counts = resample_counts(100, 60)
    at_infinity = 0
    for row, found in zip(counts, refit_logistic(score, mos, counts, start), strict=True):
        x, y = (np.repeat(values, row.astype(int)) for values in (score, mos))
        expected, _ = curve_fit(vqeg, x, y, p0=vqeg_start(x, y), maxfev=20_000)
        ratio = squared_error(score, mos, row, found) / squared_error(score, mos, row, expected)
        # A floor of -50 on a scale of 1 to 5: the best curve is an exponential, which the logistic only approaches.
        if expected[1] > -50:
            assert ratio == pytest.approx(1, abs=1e-6)
        else:
            at_infinity += 1
            assert 1 <= ratio < 1.01
            of_both = [np.corrcoef(vqeg(x, *parameters), y)[0, 1] for parameters in (found, expected)]
            assert of_both[0] == pytest.approx(of_both[1], abs=1e-3)
    assert at_infinity < 5


def test_refits_never_do_worse_than_the_start_and_never_fail() -> None:
    rng = np.random.default_rng(0)
    refitted = 0
    for _ in range(60):
        # Resamples of a few tied videos have fewer distinct values than the logistic has parameters.
        n, unit = int(rng.integers(5, 9)), 10.0 ** rng.integers(-6, 7)
        score, mos = rng.normal(size=n).round(1) * unit, rng.uniform(1, 5, n).round(1)
        start = fit_logistic(score, mos)
        if start is None:
            continue
        refitted += 1
        counts = resample_counts(n, 40)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = refit_logistic(score, mos, counts, start)
        assert np.isfinite(found).all()
        for row, parameters in zip(counts, found, strict=True):
            before, after = (((mos - logistic(score, *p)) ** 2) @ row for p in (start, parameters))
            assert after <= before * (1 + 1e-12)
    assert refitted > 20


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    score, mos = sample(n=40)
    start = fit_logistic(score, mos)
    assert start is not None
    counts = resample_counts(40, 23)
    whole = refit_logistic(score, mos, counts, start)
    monkeypatch.setattr(module, "BLOCK", 5 * 4 * 40)
    np.testing.assert_allclose(refit_logistic(score, mos, counts, start), whole)

"""Variances of means over seeds: by covariances written out, by Student's t of scipy, and by simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_rel

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.correlated import holm
from mdsvqa.evaluation.crossed import Seeds, crossed
from mdsvqa.evaluation.intervals import Interval

VIDEOS = 60


def still(values: np.ndarray, draws: int = 50) -> Seeds:
    """Seeds whose figures no resample of the videos moves."""
    return Seeds(values, np.repeat(values[:, None], draws, axis=1))


def moving(seeds: int, videos: int, rng: np.random.Generator, parts: tuple[float, float, float]) -> Seeds:
    """Means of rows that differ by seed, by video and by both, with these standard deviations of their means."""
    of_seed, of_video, of_both = parts
    root = math.sqrt(videos)
    rows = of_seed * rng.normal(size=(seeds, 1)) + root * of_video * rng.normal(size=videos)
    rows = rows + root * of_both * rng.normal(size=(seeds, videos))
    counts = resample_counts(videos, 200, int(rng.integers(1 << 30))) / videos
    return Seeds(rows.mean(1), rows @ counts.T)


def test_without_videos_it_is_students_t() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 6), rng.normal(0, 1, 6)
    assert crossed([still(a)], VIDEOS).p == pytest.approx(ttest_1samp(a, 0).pvalue)
    assert crossed([still(a) - still(b)], VIDEOS).p == pytest.approx(ttest_rel(a, b).pvalue)
    expected = ttest_1samp(a, 0).confidence_interval(0.9)
    interval = crossed([still(a)], VIDEOS).interval(0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_variance_of_seeds_and_the_mean_covariance_of_two_over_resamples() -> None:
    seeds = moving(5, VIDEOS, np.random.default_rng(1), (0.5, 1.0, 0.7))
    covariance = np.cov(seeds.draws) * VIDEOS / (VIDEOS - 1)
    alone = covariance[~np.eye(5, dtype=bool)].mean()
    between = seeds.values.var(ddof=1) / 5
    found = crossed([seeds], VIDEOS)
    assert found.error == pytest.approx(math.sqrt(between + alone))
    factor = (between * student.ppf(0.95, 4) + alone * student.ppf(0.95, VIDEOS - 1)) / (between + alone)
    interval = found.interval(0.9)
    assert interval.high - interval.value == pytest.approx(factor * math.sqrt(between + alone))
    assert interval.value - interval.low == pytest.approx(interval.high - interval.value)


@given(st.floats(-3, 3), st.integers(2, 30), st.integers(0, 5))
def test_an_interval_of_confidence_1_minus_p_ends_at_zero(value: float, seeds: int, seed: int) -> None:
    part = moving(seeds, VIDEOS, np.random.default_rng(seed), (0.5, 0.5, 0.5))
    found = crossed([Seeds(part.values - part.values.mean() + value, part.draws)], VIDEOS)
    if 1e-9 < found.p < 1 - 1e-9:
        interval = found.interval(1 - found.p)
        assert min(abs(interval.low), abs(interval.high)) == pytest.approx(0, abs=1e-4)
    assert found.interval().excludes_zero == (found.p < 0.05)


def test_seeds_that_are_not_paired_bring_their_own_variances() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(0.3, 1, 6), rng.normal(0, 1, 4)
    found = crossed([still(a), still(b)], VIDEOS)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.error == pytest.approx(math.sqrt(a.var(ddof=1) / 6 + b.var(ddof=1) / 4))
    assert [freedom for _, freedom in found.variances] == [5, 3, VIDEOS - 1]


def test_seeds_that_are_alike_leave_the_videos() -> None:
    one = moving(1, VIDEOS, np.random.default_rng(2), (0.0, 1.0, 0.0))
    copies = Seeds(np.repeat(one.values, 4), np.repeat(one.draws, 4, axis=0))
    alone, together = crossed([one], VIDEOS), crossed([copies], VIDEOS)
    assert (
        together.error
        == pytest.approx(alone.error)
        == pytest.approx(one.draws.std(ddof=1) * math.sqrt(VIDEOS / (VIDEOS - 1)))
    )
    assert together.p == pytest.approx(alone.p)


def test_nothing_differs_from_itself() -> None:
    seeds = moving(4, VIDEOS, np.random.default_rng(3), (1.0, 1.0, 1.0))
    found = crossed([seeds - seeds], VIDEOS)
    assert (found.value, found.error, found.p) == (0, 0, 1)
    assert found.interval() == Interval(0, 0, 0)


def test_resamples_that_are_undefined_are_left_out_and_nothing_is_made_of_none() -> None:
    seeds = moving(4, VIDEOS, np.random.default_rng(4), (1.0, 1.0, 1.0))
    holes = seeds.draws.copy()
    holes[1, :7] = np.nan
    assert crossed([Seeds(seeds.values, holes)], VIDEOS) == crossed([Seeds(seeds.values, seeds.draws[:, 7:])], VIDEOS)
    nothing = crossed([Seeds(np.full(4, np.nan), seeds.draws)], VIDEOS)
    assert math.isnan(nothing.p)
    assert math.isnan(nothing.interval().low)


@pytest.mark.parametrize("seeds", [5, 10, 20])
@pytest.mark.parametrize("parts", [(0.2, 0.2, 1.0), (0.6, 0.6, 0.6), (1.0, 0.2, 0.2), (0.1, 1.0, 0.1)])
def test_coverage_and_false_claims_over_all_rules(seeds: int, parts: tuple[float, float, float]) -> None:
    # Four rules that gain nothing over the same random selection, 200 times: standard errors of 0.8 and 1.5%.
    rng = np.random.default_rng(seeds)
    covered, claimed, width = [], [], []
    for _ in range(200):
        rules = [moving(seeds, 40, rng, parts) for _ in range(4)]
        found = [crossed([rule], 40) for rule in rules]
        covered += [each.interval().low <= 0 <= each.interval().high for each in found]
        claimed.append(min(holm([each.p for each in found])) < 0.05)
        width += [each.error for each in found]
    assert 0.925 <= np.mean(covered) <= 0.985
    assert np.mean(claimed) <= 0.09
    of_seed, of_video, of_both = parts
    expected = math.sqrt((of_seed**2 + of_both**2) / seeds + of_video**2)
    assert np.mean(width) == pytest.approx(expected, rel=0.1)

"""Areas against scikit-learn, DeLong's test against its definition, the influence of videos against the bootstrap."""

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.krasula import (
    Area,
    Pairs,
    analyse_pairs,
    area_interval,
    delong_test,
    video_pairs,
    video_test,
)

Floats = NDArray[np.float64]


def sample(n: int = 40, seed: int = 0) -> tuple[Floats, Floats, Floats, Pairs]:
    """Two models' scores, one of them with ties, MOS and pairs of videos."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(3, 0.7, n)
    mos = quality + rng.normal(0, 0.15, n)
    first, second = quality + rng.normal(0, 0.4, n), (quality + rng.normal(0, 0.7, n)).round(1)
    return first, second, mos, video_pairs(mos, np.full(n, 0.8), np.full(n, 20.0), [np.arange(n)])


def test_pairs_by_hand() -> None:
    mos, std, ratings = np.array([3.0, 3.4, 4.0]), np.full(3, 1.0), np.full(3, 25.0)
    # Significant above 1.96 * sqrt(2 / 25) = 0.554.
    pairs = video_pairs(mos, std, ratings, [np.arange(3)])
    found = dict(zip(zip(pairs.higher.tolist(), pairs.lower.tolist(), strict=True), pairs.different, strict=True))
    assert found == {(1, 0): False, (2, 0): True, (2, 1): True}
    assert not video_pairs(mos, std, np.ones(3), [np.arange(3)]).different.any()


def test_no_pair_joins_two_data_sets() -> None:
    mos, std, ratings = np.arange(7.0), np.full(7, 0.1), np.full(7, 9.0)
    groups = [np.array([0, 2, 4]), np.array([1, 3, 5, 6])]
    pairs = video_pairs(mos, std, ratings, groups)
    found = {frozenset(pair) for pair in zip(pairs.higher.tolist(), pairs.lower.tolist(), strict=True)}
    assert found == {frozenset(pair) for group in groups for pair in combinations(group.tolist(), 2)}


def test_too_many_pairs_are_drawn() -> None:
    mos, std, ratings = np.random.default_rng(0).normal(size=60), np.full(60, 0.1), np.full(60, 9.0)
    groups = [np.arange(40), np.arange(40, 60)]
    found = video_pairs(mos, std, ratings, groups, most=300)
    drawn = {tuple(sorted(pair)) for pair in zip(found.higher.tolist(), found.lower.tolist(), strict=True)}
    assert 297 <= len(drawn) == len(found.higher) <= 300
    assert all((a < 40) == (b < 40) and a != b for a, b in drawn)
    assert (mos[found.higher] >= mos[found.lower]).all()


def test_areas_are_scikit_learn_s() -> None:
    for score in sample()[:2]:
        pairs = sample()[3]
        found = analyse_pairs(score, pairs)
        difference = score[pairs.higher] - score[pairs.lower]
        assert found.different_similar.value == pytest.approx(roc_auc_score(pairs.different, np.abs(difference)))
        told = difference[pairs.different]
        classes = np.repeat([1, 0], len(told))
        assert found.better_worse.value == pytest.approx(roc_auc_score(classes, np.concatenate([told, -told])))
        assert found.correct == pytest.approx((told > 0).mean())


def by_definition(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """DeLong's structural components, pair by pair."""
    kernel = np.array([[float(p > q) + 0.5 * (p == q) for q in negative] for p in positive])
    return kernel.mean(1), kernel.mean(0)


def test_delong_by_its_definition() -> None:
    first, second, _, pairs = sample(16)
    parts = []
    for score in (first, second):
        distance = np.abs(score[pairs.higher] - score[pairs.lower])
        parts.append(by_definition(distance[pairs.different], distance[~pairs.different]))
    (over_a, under_a), (over_b, under_b) = parts
    variance = sum(np.cov(a, b) / len(a) for a, b in ((over_a, over_b), (under_a, under_b)))
    z = (over_a.mean() - over_b.mean()) / math.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])
    areas = [analyse_pairs(score, pairs).different_similar for score in (first, second)]
    found = delong_test(*areas)
    assert found.statistic == pytest.approx(z)
    assert found.p == pytest.approx(2 * norm.sf(abs(z)))


def weighted_area(score: Floats, pairs: Pairs, weights: Floats) -> float:
    distance = np.abs(score[pairs.higher] - score[pairs.lower])
    weight = weights[pairs.higher] * weights[pairs.lower]
    return float(roc_auc_score(pairs.different, distance, sample_weight=weight))


def test_influence_is_the_derivative_by_weight() -> None:
    _, score, _, pairs = sample(20)
    found = analyse_pairs(score, pairs).different_similar.influence
    for video in range(20):
        step = np.zeros(20)
        step[video] = 1e-4
        slope = weighted_area(score, pairs, 1 + step) - weighted_area(score, pairs, 1 - step)
        assert found[video] == pytest.approx(slope / 2e-4, abs=1e-6)


def test_intervals_are_those_of_the_bootstrap_over_videos() -> None:
    first, second, _, pairs = sample(120)
    counts = resample_counts(120, 400)
    draws = np.array([[weighted_area(score, pairs, row) for score in (first, second)] for row in counts])
    areas = [analyse_pairs(score, pairs).different_similar for score in (first, second)]
    interval = area_interval(areas[0])
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * draws[:, 0].std(), rel=0.15)
    z = video_test(*areas).statistic
    assert z == pytest.approx((areas[0].value - areas[1].value) / (draws[:, 0] - draws[:, 1]).std(), rel=0.15)
    # Counting pairs as if each had videos of its own exaggerates.
    assert abs(delong_test(*areas).statistic) > 2 * abs(z)


@pytest.mark.parametrize("value", [0.5, 0.97, 0.999, 0.02])
def test_intervals_stay_in_0_to_1_whatever_their_width(value: float) -> None:
    one = np.ones(1)
    for error in (0.001, 0.05, 0.4):
        interval = area_interval(Area(value, one, one, np.array([error, 0.0])))
        assert 0 <= interval.low < value < interval.high <= 1
    narrow = area_interval(Area(value, one, one, np.array([1e-4, 0.0])))
    # A narrow one is that of the normal distribution.
    assert narrow.high - narrow.low == pytest.approx(2 * 1.959964e-4, rel=0.05)
    certain = area_interval(Area(1.0, one, one, np.zeros(2)))
    assert (certain.low, certain.high) == (1, 1)


def test_undefined_and_equal_areas() -> None:
    first, second, mos, pairs = sample()
    same = analyse_pairs(first, pairs).better_worse
    for test in (delong_test, video_test):
        assert test(same, same).p == 1.0
    n = len(mos)
    none_differs = video_pairs(mos, np.full(n, 99.0), np.full(n, 2.0), [np.arange(n)])
    areas = [analyse_pairs(score, none_differs) for score in (first, second)]
    assert all(math.isnan(area.better_worse.value) and math.isnan(area.correct) for area in areas)
    for test in (delong_test, video_test):
        assert math.isnan(test(areas[0].better_worse, areas[1].better_worse).p)
        assert math.isnan(test(areas[0].different_similar, areas[1].different_similar).p)

"""The pairs of a competition against all pairs written out, and its ranking against models of known quality."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from mdsvqa.evaluation.gmad.pairs import (
    Attack,
    CommonScale,
    common_scale,
    find_attacks,
    most_different_pairs,
    pairs_to_rate,
    quality_levels,
)
from mdsvqa.evaluation.gmad.ranking import (
    Answers,
    aggressiveness_and_resistance,
    global_scores,
    rank_models,
)
from mdsvqa.runtime.errors import InputError

Floats = NDArray[np.float64]


def slow_pairs(attacker: Floats, defender: Floats, priority: NDArray[np.int64], tolerance: float, count: int):
    """All pairs in the order in which they would be taken, each unless one of its videos is gone."""
    allowed = [
        (-abs(attacker[i] - attacker[j]), *sorted((priority[i], priority[j])), i, j)
        for i, j in combinations(range(len(attacker)), 2)
        if abs(defender[i] - defender[j]) <= tolerance < abs(attacker[i] - attacker[j])
    ]
    gone: set[int] = set()
    chosen = []
    for *_, i, j in sorted(allowed):
        if len(chosen) < count and not gone & {i, j}:
            chosen.append((i, j) if attacker[i] > attacker[j] else (j, i))
            gone |= {i, j}
    return chosen


# Eighths are exact, so that sums and differences round nowhere; few values, so that there are ties.
EIGHTHS = st.integers(0, 24).map(lambda n: n / 8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=2, max_size=24), st.integers(0, 12), st.integers(1, 5), st.data())
def test_chosen_pairs_are_those_of_a_search_of_all(videos, tolerance, count, data) -> None:
    attacker, defender = np.array(videos).T
    priority = np.array(data.draw(st.permutations(range(len(videos)))))
    limit = tolerance / 8
    found = most_different_pairs(attacker, defender, priority, limit, count)
    assert found == slow_pairs(attacker, defender, priority, limit, count)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 2))
def test_attacks_are_those_of_a_search_of_all_on_every_level(seed: int, levels: int, per_level: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [f"v{i:02d}" for i in range(20)]
    scale = CommonScale({m: rng.integers(0, 81, 20) / 8 for m in "abc"}, 10.0, "MOS")
    priority = np.random.default_rng(seed).permutation(20)
    expected = []
    for attacker in "abc":
        for defender in (m for m in "abc" if m != attacker):
            a, d = scale.values[attacker], scale.values[defender]
            low, high = d.min(), d.max()
            for level in range(1, levels + 1):
                inside = [min(int((x - low) / (high - low) * levels), levels - 1) == level - 1 for x in d]
                at = np.flatnonzero(inside)
                for x, y in slow_pairs(a[at], d[at], priority[at], 10 * (0.05 + 1e-9), per_level):
                    expected.append((attacker, defender, level, len(at) / 20, ids[at[x]], ids[at[y]]))
    found = find_attacks(ids, scale, levels=levels, per_level=per_level, tolerance=0.05, seed=seed)
    assert [(a.attacker, a.defender, a.level, a.weight, a.better, a.worse) for a in found] == expected
    for attack in found:
        at = [ids.index(video) for video in (attack.better, attack.worse)]
        for model, difference in (
            (attack.attacker, attack.attacker_difference),
            (attack.defender, attack.defender_difference),
        ):
            assert difference == scale.values[model][at[0]] - scale.values[model][at[1]]


def random_scale(n: int, models: int, seed: int = 0) -> tuple[list[str], dict[str, Floats]]:
    rng = np.random.default_rng(seed)
    return [f"v{i:03d}" for i in rng.permutation(n)], {f"m{k}": rng.normal(size=n) for k in range(models)}


def test_attacks_depend_on_the_seed_only_where_pairs_are_equal_and_never_on_the_order_of_videos() -> None:
    ids, scores = random_scale(60, 3)
    scale = common_scale({m: np.round(s) for m, s in scores.items()})
    found = find_attacks(ids, scale, seed=4)
    assert find_attacks(ids, scale, seed=4) == found
    assert find_attacks(ids, scale, seed=5) != found
    order = np.random.default_rng(1).permutation(60)
    shuffled = CommonScale({m: s[order] for m, s in scale.values.items()}, scale.span, scale.unit)
    assert find_attacks([ids[i] for i in order], shuffled, seed=4) == found
    no_ties = CommonScale(scores, 5.0, "MOS")
    assert find_attacks(ids, no_ties, seed=4) == find_attacks(ids, no_ties, seed=5)


def test_within_a_duel_no_video_is_in_two_pairs() -> None:
    ids, scores = random_scale(200, 4)
    found = find_attacks(ids, common_scale(scores), levels=3, per_level=4)
    assert len(found) == 4 * 3 * 3 * 4
    for duel in {(attack.attacker, attack.defender) for attack in found}:
        videos = [v for a in found if (a.attacker, a.defender) == duel for v in (a.better, a.worse)]
        assert len(set(videos)) == len(videos) == 24


def test_common_scale_by_rank_ignores_units_and_turns_what_falls() -> None:
    score = np.array([3.0, 1.0, 2.0, 2.0])
    scale = common_scale({"f": score, "cubed": score**3 + 7, "errors": -score}, falling={"errors"})
    for values in scale.values.values():
        assert values.tolist() == [100.0, 0.0, 50.0, 50.0]
    assert (scale.span, scale.unit) == (100.0, "percentile")


def test_common_scale_by_mos_turns_what_falls_and_gives_a_blind_model_a_small_range() -> None:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 400)
    scale = common_scale({"good": 10 * mos + rng.normal(size=400), "bad": -mos, "blind": rng.normal(size=400)}, mos)
    assert np.corrcoef(scale.values["bad"], mos)[0, 1] > 0.99
    assert np.sqrt(np.mean((scale.values["good"] - mos) ** 2)) < 0.15
    assert np.std(scale.values["blind"]) < 0.2 * np.std(scale.values["good"])
    assert scale.span == np.ptp(mos)


def test_levels_on_ranks_hold_equally_many_videos() -> None:
    levels = quality_levels(np.random.default_rng(0).permutation(100).astype(float), 5)
    assert np.bincount(levels).tolist() == [0, 20, 20, 20, 20, 20]


@pytest.mark.parametrize(
    ("scores", "levels", "reason"),
    [
        ({"a": np.arange(30.0)}, 5, "at least two models; found a"),
        ({"a": np.arange(30.0), "b": np.full(30, 2.0)}, 5, "'b' are all 2: a model that never differs"),
        ({"a": np.arange(30.0), "b": np.arange(30.0) ** 2}, 5, "a, b differ by less than the tolerance everywhere"),
        ({"a": np.arange(30.0), "b": -np.arange(30.0)}, 8, "at least 32 videos that every model scored; found 30"),
    ],
)
def test_what_cannot_compete_says_why(scores: dict[str, Floats], levels: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        find_attacks([f"v{i}" for i in range(30)], common_scale(scores), levels=levels)


def test_constant_mos_cannot_be_a_scale() -> None:
    with pytest.raises(InputError, match="MOS are all 3"):
        common_scale({"a": np.arange(9.0), "b": -np.arange(9.0)}, np.full(9, 3.0))


def attack(attacker: str, defender: str, better: str, worse: str, level: int = 1, weight: float = 1.0) -> Attack:
    return Attack(attacker, defender, level, weight, better, worse, 1.0, 0.0)


def test_pairs_to_rate_are_distinct_and_tell_nothing_of_who_found_them() -> None:
    found = [attack("f", "g", f"v{i:03d}", f"v{i + 500:03d}") for i in range(400)]
    again = [attack("f", "h", a.worse, a.better) for a in found[:50]]
    rows = pairs_to_rate(found + again, seed=1)
    assert len(rows) == 400
    assert {frozenset((row.left, row.right)) for row in rows} == {a.videos for a in found}
    assert [row.name for row in rows[:2]] == ["p001", "p002"]
    # 400 fair coins: 200 +- 10, and no run of the order in which they were found.
    assert 150 < sum(row.left < row.right for row in rows) < 250
    place = [min(row.left, row.right) for row in rows]
    assert abs(np.corrcoef(np.argsort(np.argsort(place)), np.arange(400))[0, 1]) < 0.2
    assert pairs_to_rate(again + found, seed=1) == rows
    assert pairs_to_rate(found, seed=2) != rows


def test_aggressiveness_and_resistance_by_hand() -> None:
    # Model 0 attacks 1 twice, with weights 3 and 1; 1 attacks 0 once; 2 takes no part.
    agreement, weight = np.array([1.0, 0.4, 0.3]), np.array([3.0, 1.0, 0.2])
    a, r = aggressiveness_and_resistance(agreement, weight, np.array([0, 0, 1]), np.array([1, 1, 0]), 3)
    # s = 1, -0.2, -0.4.
    assert a[0, 1] == pytest.approx((3 * 1 - 1 * 0.2) / 4)
    assert a[1, 0] == pytest.approx(-0.4)
    assert r[1, 0] == pytest.approx((3 * 0 + 1 * 0.8) / 4)
    assert r[0, 1] == pytest.approx(0.6)
    rest = [(i, j) for i in range(3) for j in range(3) if {i, j} != {0, 1}]
    assert all(np.isnan(a[cell]) and np.isnan(r[cell]) for cell in rest)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_global_scores_maximise_thurstones_likelihood(models: int, seed: int) -> None:
    strength = np.random.default_rng(seed).uniform(-0.3, 1, (models, models))
    count = np.maximum(strength, 0) * (1 - np.eye(models))

    def loss(mu: Floats) -> float:
        return 0.005 * np.sum(mu**2) - np.sum(count * norm.logcdf(mu[:, None] - mu[None, :]))

    mu = global_scores(strength)
    assert mu.sum() == pytest.approx(0, abs=1e-9)
    slow = minimize(loss, np.zeros(models), method="BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose(mu, slow, atol=2e-4)
    np.testing.assert_array_equal(global_scores(np.stack([strength, strength.T]))[0].round(8), mu.round(8))
    # Another order of the models changes nothing but the order.
    np.testing.assert_allclose(global_scores(strength[::-1, ::-1]), mu[::-1], atol=1e-8)


def test_global_scores_are_finite_where_one_model_was_never_beaten_and_equal_where_none_beat_any() -> None:
    mu = global_scores(np.array([[np.nan, 1.0], [-0.5, np.nan]]))
    assert 1 < mu[0] == -mu[1] < 2
    assert global_scores(np.full((3, 3), np.nan)).tolist() == [0, 0, 0]
    assert global_scores(np.full((3, 3), 0.4)) == pytest.approx(np.zeros(3))


def test_the_ranking_of_models_of_known_quality_comes_out() -> None:
    rng = np.random.default_rng(3)
    mos = rng.uniform(1, 5, 1500)
    noise = {"fair": 0.8, "best": 0.2, "worst": 2.5, "good": 0.45}
    ids = [f"v{i}" for i in range(1500)]
    found = find_attacks(ids, common_scale({m: mos + s * rng.normal(size=1500) for m, s in noise.items()}))
    truth = dict(zip(ids, mos.tolist(), strict=True))
    # 15 raters, each with Gaussian noise of their own on each video.
    votes = [
        (i, i, rater, float(truth[a.better] - truth[a.worse] + 0.8 * math.sqrt(2) * rng.normal() > 0))
        for i, a in enumerate(found)
        for rater in range(15)
    ]
    result = rank_models(found, Answers(*map(np.array, zip(*votes, strict=True))), draws=200)
    expected = ["best", "good", "fair", "worst"]
    assert result.aggressiveness.order() == result.resistance.order() == expected
    assert (result.pairs, result.raters) == (len(found), 15)
    for standing in (result.aggressiveness, result.resistance):
        best, worst = standing.score["best"], standing.score["worst"]
        assert worst.high < best.low
        assert all(s.low <= s.value <= s.high for s in standing.score.values())


def answers(*rows: tuple[int, int, int, float]) -> Answers:
    return Answers(*map(np.array, zip(*rows, strict=True)))


def test_pairs_of_a_level_share_its_weight_and_raters_are_averaged() -> None:
    found = [
        attack("f", "g", "a", "b", 1, 0.75),
        attack("f", "g", "c", "d", 1, 0.75),
        attack("f", "g", "e", "h", 2, 0.25),
        attack("g", "f", "i", "j", 1, 1.0),
    ]
    given = answers((0, 0, 0, 1.0), (0, 0, 1, 0.5), (1, 1, 0, 0.0), (2, 2, 1, 1.0), (3, 3, 0, 0.5))
    result = rank_models(found, given, draws=300)
    # s = 0.5, -1, 1 with weights 0.375, 0.375, 0.25.
    duel = result.aggressiveness.matrix[("f", "g")]
    assert duel is not None
    assert duel.value == pytest.approx(0.375 * 0.5 - 0.375 + 0.25)
    assert -1 < duel.low < duel.value < duel.high < 1
    resists = result.resistance.matrix[("g", "f")]
    assert resists is not None
    assert resists.value == pytest.approx(0.375 * 0.5)
    assert result.resistance.matrix[("f", "g")] is not None
    assert rank_models(found, given, draws=300) == result
    assert rank_models(found, given, draws=300, seed=1).aggressiveness.matrix[("f", "g")] != duel


def test_raters_who_disagree_widen_an_interval_that_has_one_pair() -> None:
    found = [attack("f", "g", "a", "b"), attack("g", "f", "c", "d")]
    one = rank_models(found, answers((0, 0, 0, 0.7), (1, 1, 0, 0.5)), draws=100).aggressiveness.matrix[("f", "g")]
    many = rank_models(found, answers(*((0, 0, r, float(r % 10 < 7)) for r in range(10)), (1, 1, 0, 0.5)), draws=400)
    wide = many.aggressiveness.matrix[("f", "g")]
    assert one is not None
    assert wide is not None
    assert one.low == pytest.approx(one.high)
    assert one.value == pytest.approx(wide.value) == pytest.approx(0.4)
    # Rubin's posterior of a share: standard deviation sqrt(p (1 - p) / (n + 1)), here of 2p - 1.
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * 2 * math.sqrt(0.21 / 11), rel=0.15)


def test_a_duel_that_nobody_rated_has_no_figure() -> None:
    found = [attack("f", "g", "a", "b"), attack("g", "f", "c", "d")]
    result = rank_models(found, answers((0, 0, 0, 1.0)), draws=10)
    assert result.aggressiveness.matrix[("g", "f")] is None
    assert result.resistance.matrix[("f", "g")] is None
    assert result.aggressiveness.order() == ["f", "g"]

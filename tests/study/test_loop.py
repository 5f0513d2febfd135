"""The loop on arrays: a source, a pool where something else makes quality, and two small test sets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.kernel_model import LabeledFeatures, fit_statistical
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import ComparisonSettings, StudyConfig
from mdsvqa.study.loop import (
    EVERYTHING,
    Pool,
    Setting,
    State,
    Trial,
    budget_by_round,
    choose,
    learn,
    rate_difficulty,
    run_trials,
    simulate,
)

RULES = ("mds", "random", "difficulty", "core-set", "k-means")
Floats = NDArray[np.float64]


def config(rule: str = "mds", rounds: int = 1, pool_share: float = 0.8, seed: int = 0) -> StudyConfig:
    return StudyConfig(
        videos=Path("videos.csv"),
        rounds=rounds,
        seed=seed,
        difficulty=DifficultySettings(folds=2, committee=4, steps=30),
        selection=SelectionSettings(rule=rule),
        comparison=ComparisonSettings(pool_share=pool_share),
    )


def source(size: int, seed: int) -> LabeledFeatures:
    features = np.random.default_rng(seed).normal(size=(size, 4))
    return LabeledFeatures(features, 3 + np.tanh(features[:, 0]), np.zeros(size, np.int64))


def target(size: int, seed: int) -> Pool:
    """Elsewhere in the space, and the second feature makes quality there."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(size, 4)) + np.array([0, 0, 2, 0])
    content = Content.stack([features[i] + 0.1 * rng.normal(size=(2, 4)) for i in range(size)])
    ids = [f"v{i:02d}" for i in range(size)]
    return Pool(ids, features, content, 3 + np.tanh(features[:, 1]), np.ones(size, np.int64))


@pytest.fixture(scope="module")
def start() -> State:
    labeled = source(40, seed=0)
    base = fit_statistical(labeled, cost=10.0, gamma=0.1)
    return State(base, base, labeled)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return target(30, seed=1)


def setting(start: State, pool: Pool, **settings: object) -> Setting:
    return Setting(start, pool, target(40, 2).features, source(40, 3).features, config(**settings), budget=4)


def assert_same(first: Trial, second: Trial) -> None:
    assert (first.rule, first.seed, tuple(first.selected)) == (second.rule, second.seed, tuple(second.selected))
    np.testing.assert_array_equal(first.target_scores, second.target_scores)
    np.testing.assert_array_equal(first.source_scores, second.source_scores)


@given(st.integers(0, 500), st.integers(1, 20))
def test_budget_by_round(budget: int, rounds: int) -> None:
    parts = budget_by_round(budget, rounds)
    assert len(parts) == rounds
    assert sum(parts) == budget
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


@pytest.mark.parametrize("rule", RULES)
def test_two_rounds_choose_different_videos(rule: str, start: State, pool: Pool) -> None:
    first = np.linspace(0, 1, len(pool))
    after = simulate(start, pool, config(rule, rounds=2), budget=9, seed=0, first=first)
    assert len(after.chosen) == len(set(after.chosen)) == 9
    alone = choose(start, pool, first, config(rule), 5, 0)
    assert [pool.ids[pick.index] for pick in alone] == list(after.chosen[:5])


def test_rounds_spend_a_pool_that_is_smaller_than_the_budget(start: State) -> None:
    few = target(5, seed=1)
    after = simulate(start, few, config("difficulty", rounds=3), budget=9, seed=0, first=np.arange(5.0))
    assert sorted(after.chosen) == few.ids


def test_learn_uses_the_labels(start: State, pool: Pool) -> None:
    rated = np.arange(20)
    test = target(200, seed=2)
    before = spearmanr(start.model.predict(test.features), test.mos).statistic
    after = learn(start, pool, rated, pool.mos[rated], config(), seed=0)
    upside_down = learn(start, pool, rated, 6 - pool.mos[rated], config(), seed=0)
    right, wrong = (spearmanr(s.model.predict(test.features), test.mos).statistic for s in (after, upside_down))
    assert right > before + 0.3
    assert wrong < before - 0.3


def test_learn_keeps_books(start: State, pool: Pool) -> None:
    once = learn(start, pool, np.array([3, 7]), np.array([2.0, 4.0]), config(), seed=0)
    twice = learn(once, pool, np.array([5]), np.array([3.0]), config(), seed=0)
    assert twice.chosen == ("v03", "v07", "v05")
    assert twice.base is start.base
    assert len(start.labeled) == 40
    np.testing.assert_array_equal(twice.labeled.mos[40:], [2, 4, 3])
    np.testing.assert_array_equal(twice.labeled.dataset[40:], [1, 1, 1])
    np.testing.assert_array_equal(twice.labeled.features[40:], pool.features[[3, 7, 5]])
    # From the base on all labels, not from the last model: the way there leaves no trace.
    at_once = learn(start, pool, np.array([3, 7, 5]), np.array([2.0, 4.0, 3.0]), config(), seed=0)
    np.testing.assert_array_equal(at_once.model.weights, twice.model.weights)


def test_difficulty_does_not_see_the_pool_s_labels(start: State, pool: Pool) -> None:
    found = rate_difficulty(start, pool, config(), seed=0).difficulty
    assert found.shape == (30,)
    assert np.isfinite(found).all()
    hidden = replace(pool, mos=np.full(30, np.nan))
    np.testing.assert_array_equal(rate_difficulty(start, hidden, config(), seed=0).difficulty, found)


def test_new_labels_change_difficulty(start: State, pool: Pool) -> None:
    after = learn(start, pool, np.arange(10), pool.mos[:10], config(), seed=0)
    first, second = (rate_difficulty(state, pool, config(), seed=0).difficulty for state in (start, after))
    assert spearmanr(first, second).statistic < 0.999


def test_ten_source_videos_are_enough_for_difficulty_too(pool: Pool) -> None:
    # As many as the regression asks for; the folds of the cross-fitting train on fewer.
    few = source(10, seed=0)
    base = fit_statistical(few)
    assert np.isfinite(rate_difficulty(State(base, base, few), pool, config(), seed=0).difficulty).all()


def test_trials_are_deterministic_and_independent_of_each_other(start: State, pool: Pool) -> None:
    shared = setting(start, pool, rounds=2)
    rules = [*RULES, EVERYTHING]
    together = {trial.rule: trial for trial in run_trials(shared, rules, seed=5)}
    assert list(together) == rules
    for trial in run_trials(shared, rules[::-1], seed=5):
        assert_same(trial, together[trial.rule])
    for rule in rules:
        assert_same(run_trials(shared, [rule], seed=5)[0], together[rule])


def test_trials_choose_from_the_same_part_of_the_pool(start: State, pool: Pool) -> None:
    shared = setting(start, pool, pool_share=0.5)
    part = None
    for trial in run_trials(shared, [EVERYTHING, "random", "core-set"], seed=1):
        if trial.rule == EVERYTHING:
            part = set(trial.selected)
            assert len(part) == 15
        else:
            assert len(trial.selected) == 4
            assert set(trial.selected) < part
        assert trial.target_scores.shape == trial.source_scores.shape == (40,)


def test_another_seed_is_another_part(start: State, pool: Pool) -> None:
    def part(config_seed: int, seed: int) -> frozenset[str]:
        shared = setting(start, pool, pool_share=0.5, seed=config_seed)
        return frozenset(run_trials(shared, [EVERYTHING], seed)[0].selected)

    assert len({part(0, 0), part(0, 1), part(1, 0)}) == 3


def test_a_part_holds_the_budget_at_least(start: State, pool: Pool) -> None:
    shared = replace(setting(start, pool, pool_share=0.01), budget=6)
    assert len(run_trials(shared, ["random"], seed=0)[0].selected) == 6


def test_pool_take() -> None:
    pool = target(6, seed=0)
    taken = pool.take(np.array([4, 1]))
    assert taken.ids == ["v04", "v01"]
    np.testing.assert_array_equal(taken.features, pool.features[[4, 1]])
    np.testing.assert_array_equal(taken.content.of(0), pool.content.of(4))
    np.testing.assert_array_equal(taken.mos, pool.mos[[4, 1]])
    labeled = pool.labeled(np.array([2]), np.array([4.5]))
    assert (labeled.mos.tolist(), labeled.dataset.tolist()) == ([4.5], [1])

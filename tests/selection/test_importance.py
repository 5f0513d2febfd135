"""Importance sampling: the draws have the odds of the difficulty ranks."""

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import chisquare

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.importance import importance

SETTINGS = SelectionSettings(rule="importance")
FREE = Limits()


def pool_of(difficulty: Sequence[float], chosen: tuple[int, ...] = (), limits: Limits = FREE) -> Pool:
    content = Content.stack([np.zeros((1, 1))] * len(difficulty))
    return Pool([str(i) for i in range(len(difficulty))], np.array(difficulty, float), content, chosen, limits)


def picked(pool: Pool, budget: int, seed: int) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [pick.index for pick in importance(pool, budget, SETTINGS, seed)]


def test_the_first_is_drawn_with_the_odds_of_its_rank() -> None:
    # Ranks from the easiest: 0, 1, 2.5, 2.5 and 4, a quarter of it each.
    pool = pool_of([7, 5, 100, 7, 1])
    counts = np.bincount([picked(pool, 1, seed)[0] for seed in range(4000)], minlength=5)
    assert counts[4] == 0
    assert chisquare(counts[:4], 4000 * np.array([2.5, 1, 4, 2.5]) / 10).pvalue > 1e-3
    assert {importance(pool, 1, SETTINGS, seed)[0].difficulty for seed in range(50)} == {0.25, 0.625, 1.0}


def test_orders_are_those_of_draws_one_after_the_other() -> None:
    # Weights of 1, 2 and 3, beside an easiest video without any: 1 / 6 * 2 / 5 for the first two in this order, and so
    # on; what is left comes third, and the one without weight last.
    weight = {1: 1, 2: 2, 3: 3}
    counts = Counter(tuple(picked(pool_of([1, 2, 3, 4]), 4, seed)) for seed in range(4000))
    odds = {
        (*order, 0): weight[order[0]] * weight[order[1]] / 6 / (6 - weight[order[0]]) for order in permutations(weight)
    }
    assert sum(odds.values()) == pytest.approx(1)
    assert counts.keys() <= odds.keys()
    assert chisquare([counts[order] for order in odds], [4000 * p for p in odds.values()]).pvalue > 1e-3


def test_candidates_of_a_later_round_keep_their_rank_in_the_pool() -> None:
    # Of ranks 0 to 5 those of 1 and 4 are left, besides that of 0.
    pool = pool_of(range(6), chosen=(2, 3, 5))
    counts = np.bincount([picked(pool, 1, seed)[0] for seed in range(2000)], minlength=6)
    assert counts[[0, 2, 3, 5]].sum() == 0
    assert chisquare(counts[[1, 4]], [400, 1600]).pvalue > 1e-3


def test_equal_difficulty_is_uniform() -> None:
    orders = Counter(tuple(picked(pool_of([3, 3, 3]), 3, seed)) for seed in range(3000))
    assert len(orders) == 6
    assert chisquare(list(orders.values())).pvalue > 1e-3


def test_a_single_candidate_is_drawn_whatever_its_rank() -> None:
    assert picked(pool_of([4]), 3, 0) == [0]
    assert picked(pool_of([1, 2, 3], chosen=(1, 2)), 3, 0) == [0]
    assert picked(pool_of([1, 2, 3], chosen=(0, 1, 2)), 3, 0) == []


def test_only_the_order_of_difficulty_counts() -> None:
    difficulty = np.random.default_rng(0).normal(size=30)
    for seed in range(5):
        there = picked(pool_of(difficulty.tolist()), 10, seed)
        assert picked(pool_of((1e6 * np.exp(difficulty)).tolist()), 10, seed) == there


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 14), st.integers(0, 3), st.integers(0, 99))
def test_spends_the_budget_and_a_seed_has_one_order(
    difficulty: list[int], budget: int, earlier: int, seed: int
) -> None:
    chosen = tuple(range(min(earlier, len(difficulty))))
    found = picked(pool_of(difficulty, chosen), budget, seed)
    assert len(set(found)) == len(found) == min(budget, len(difficulty) - len(chosen))
    assert set(found).isdisjoint(chosen)
    # Another call, and a larger budget, begin the same way.
    assert picked(pool_of(difficulty, chosen), 99, seed)[:budget] == found


def test_limits_are_kept() -> None:
    rng = np.random.default_rng(3)
    videos, difficulty = rng.normal(size=(60, 3)), rng.normal(size=60)
    content, group, seconds = Content.stack(videos[:, None]), np.arange(60) % 8, rng.uniform(1, 3, 60)

    def under(limits: Limits, budget: int, chosen: tuple[int, ...] = ()) -> list[int]:
        return picked(Pool([str(i) for i in range(60)], difficulty, content, chosen, limits), budget, 0)

    # Group 0 has its video from the earlier round.
    assert sorted(group[under(Limits(group=group, most=1), 20, (0,))]) == list(range(1, 8))
    assert set(group[under(Limits(group=group, least=1), 8)]) == set(range(8))
    assert seconds[under(Limits(seconds=seconds, most_seconds=10.0), 60)].sum() <= 10
    far = under(Limits(apart=1.5), 20)
    assert len(far) > 2
    assert cdist(videos[far], videos[far])[np.triu_indices(len(far), 1)].min() >= 1.5

"""Rules between covering the pool and finding failures: weighted-k-means, difficult-k-means, importance, split,
two-rounds."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.difficult_k_means import difficult_k_means
from mdsvqa.selection.difficulty_facility import ranks
from mdsvqa.selection.facility_location import facility_location
from mdsvqa.selection.greedy import greedy
from mdsvqa.selection.importance import importance
from mdsvqa.selection.k_means import k_means
from mdsvqa.selection.rules import select
from mdsvqa.selection.split import split
from mdsvqa.selection.two_rounds import two_rounds
from mdsvqa.selection.weighted_k_means import weighted_k_means

SETTINGS = SelectionSettings()
RULES = (weighted_k_means, difficult_k_means, importance, split, two_rounds)


def pool_of(n: int = 30, seed: int = 0, **changes: object) -> Pool:
    rng = np.random.default_rng(seed)
    content = Content.stack(list(rng.normal(size=(n, 1, 3))))
    return replace(Pool([f"{i:02d}" for i in range(n)], rng.normal(size=n), content), **changes)  # type: ignore[arg-type]


def indices(picks: list) -> list[int]:
    return [pick.index for pick in picks]


@pytest.mark.parametrize("rule", RULES)
@given(st.integers(1, 25), st.integers(0, 99), st.integers(1, 30))
def test_different_videos_until_the_budget_is_spent(rule, n: int, seed: int, budget: int) -> None:
    picked = indices(rule(pool_of(n, seed), budget, SETTINGS, seed))
    assert len(set(picked)) == len(picked) == min(budget, n)


@pytest.mark.parametrize("rule", RULES)
def test_equal_difficulties(rule) -> None:
    flat = pool_of(difficulty=np.zeros(30))
    assert len(set(indices(rule(flat, 6, SETTINGS, 0)))) == 6


def test_weighted_k_means_with_equal_weights_is_k_means() -> None:
    flat = pool_of(difficulty=np.zeros(30))
    assert indices(weighted_k_means(flat, 5, SETTINGS, 3)) == indices(k_means(flat, 5, SETTINGS, 3))


def test_weighted_k_means_moves_its_center_to_the_difficult() -> None:
    """One cluster on a line at 0, 1, 2, 3, 4: ranks 0, 1/4, 1/2, 3/4, 1 put its center at 3, and the mean is at 2."""
    content = Content.stack([np.array([[float(i)]]) for i in range(5)])
    line = Pool(list("abcde"), np.arange(5.0), content)
    assert indices(weighted_k_means(line, 1, SETTINGS, 0)) == [3]
    assert indices(k_means(line, 1, SETTINGS, 0)) == [2]


@given(st.integers(0, 99), st.integers(1, 10))
def test_difficult_k_means_stays_in_the_difficult_half(seed: int, budget: int) -> None:
    pool = pool_of(20, seed)
    half = set(np.argsort(-pool.difficulty, kind="stable")[:10].tolist())
    assert set(indices(difficult_k_means(pool, budget, SETTINGS, seed))) <= half


def test_difficult_k_means_is_k_means_of_the_half() -> None:
    pool = pool_of(20)
    half = np.sort(np.argsort(-pool.difficulty, kind="stable")[:10])
    alone = Pool([pool.ids[i] for i in half], pool.difficulty[half], pool.content.take(half))
    assert indices(difficult_k_means(pool, 4, SETTINGS, 1)) == half[indices(k_means(alone, 4, SETTINGS, 1))].tolist()


def test_difficult_k_means_goes_on_where_limits_close_the_half() -> None:
    """The difficult half is one group, of which one video may be taken."""
    group = np.where(np.arange(10) >= 5, 0, -1)
    pool = pool_of(10, difficulty=np.arange(10.0), limits=Limits(group=group, most=1))
    picked = indices(difficult_k_means(pool, 4, SETTINGS, 0))
    assert sum(index >= 5 for index in picked) == 1
    assert len(picked) == 4


def test_importance_draws_in_proportion_to_the_rank() -> None:
    """Ranks 0, 1/3, 2/3, 1: chances 0, 1/6, 1/3, 1/2 of being the first."""
    pool = pool_of(4, difficulty=np.array([5.0, 6.0, 7.0, 80.0]))
    drawn = Counter(indices(importance(pool, 1, SETTINGS, seed))[0] for seed in range(3000))
    assert drawn[0] == 0
    for index, chance in ((1, 1 / 6), (2, 1 / 3), (3, 1 / 2)):
        assert drawn[index] / 3000 == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 3000))


def test_importance_takes_the_easiest_when_nothing_else_is_left() -> None:
    pool = pool_of(4, difficulty=np.array([5.0, 6.0, 7.0, 80.0]))
    assert all(indices(importance(pool, 4, SETTINGS, seed))[-1] == 0 for seed in range(20))


@pytest.mark.parametrize(("budget", "first"), [(9, 6), (4, 3), (1, 1)])
def test_split_covers_with_two_thirds_and_then_follows_the_paper(budget: int, first: int) -> None:
    pool = pool_of()
    found = indices(split(pool, budget, SETTINGS, 0))
    covering = indices(facility_location(pool, budget, SETTINGS, 0))[:first]
    assert found[:first] == covering
    rest = replace(pool, chosen=tuple(covering))
    assert found[first:] == indices(greedy(rest, budget - first, SETTINGS, 0))


@given(st.integers(0, 99), st.floats(5, 60))
def test_split_keeps_to_the_time_and_to_the_fewest_of_each_group(seed: int, time: float) -> None:
    rng = np.random.default_rng(seed)
    seconds, group = rng.uniform(0.5, 2.0, 30), rng.integers(0, 2, 30)
    pool = pool_of(30, seed, limits=Limits(group=group, least=1, seconds=seconds, most_seconds=time))
    picked = indices(split(pool, 30, SETTINGS, seed))
    assert seconds[picked].sum() <= time * (1 + 1e-9)
    assert {0, 1} & set(group.tolist()) <= set(group[picked].tolist())


def test_two_rounds_covers_first_and_then_follows_the_paper() -> None:
    pool = pool_of()
    assert indices(two_rounds(pool, 5, SETTINGS, 0)) == indices(facility_location(pool, 5, SETTINGS, 0))
    later = replace(pool, chosen=(3, 4), first_round=False)
    assert indices(two_rounds(later, 5, SETTINGS, 0)) == indices(greedy(later, 5, SETTINGS, 0))


def test_an_audit_is_no_round() -> None:
    pool = pool_of()
    setting = SelectionSettings(rule="two-rounds")
    picks = select(pool.ids, pool.difficulty, pool.content, 5, setting, audit=3)
    audited = tuple(pick.index for pick in picks[:3])
    assert indices(picks[3:]) == indices(facility_location(replace(pool, chosen=audited), 5, SETTINGS, 0))
    labeled = select(pool.ids, pool.difficulty, pool.content, 5, setting, chosen=["03", "04"])
    assert indices(labeled) == indices(greedy(replace(pool, chosen=(3, 4)), 5, SETTINGS, 0))


def test_ranks_of_equals_are_shared() -> None:
    assert ranks(np.array([2.0, 2.0, 2.0])).tolist() == [0.5, 0.5, 0.5]

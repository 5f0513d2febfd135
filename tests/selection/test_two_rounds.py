"""Two rounds: coverage as long as nothing is labeled, then the rule of the paper; the audit is no round."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.base import Limits, Pick, Pool
from mdsvqa.selection.facility_location import facility_location
from mdsvqa.selection.greedy import greedy
from mdsvqa.selection.rules import select
from mdsvqa.selection.two_rounds import two_rounds

SETTINGS = SelectionSettings(rule="two-rounds")
FREE = Limits()


def pool_of(size: int = 30, chosen: tuple[int, ...] = (), limits: Limits = FREE, first_round: bool = True) -> Pool:
    """Of one frame a video; ids in the order of the videos."""
    rng = np.random.default_rng(0)
    content = Content.stack(rng.normal(size=(size, 1, 3)))
    return Pool([f"{i:02d}" for i in range(size)], rng.normal(size=size), content, chosen, limits, first_round)


def selected(pool: Pool, budget: int, chosen: list[str], audit: float = 0.0) -> list[Pick]:
    return select(pool.ids, pool.difficulty, pool.content, budget, SETTINGS, chosen=chosen, audit=audit)


def covering(pool: Pool, budget: int) -> list[Pick]:
    return facility_location(pool, budget, SETTINGS, 0)


def difficult(pool: Pool, budget: int) -> list[Pick]:
    return greedy(pool, budget, SETTINGS, 0)


def test_first_coverage_then_the_rule_of_the_paper() -> None:
    pool = pool_of()
    # On a pool where the two differ from the first video on.
    assert covering(pool, 1) != difficult(pool, 1)
    first = selected(pool, 6, [])
    assert first == covering(pool, 6)
    places = tuple(pick.index for pick in first)
    later = replace(pool, chosen=places)
    assert covering(later, 6) != difficult(later, 6)
    assert selected(pool, 6, [pool.ids[place] for place in places]) == difficult(later, 6)


def test_by_hand() -> None:
    # At 0, 1, 2 and 9 the one at 1 brings the pool nearest. Once that is labeled, the raw sums of difficulty and lambda
    # 1 times the distance are 5 + 1, 4.5 + 1 and -3 + 8; facility location would take the one at 9, for its 8.
    content = Content.stack([np.array([[place]]) for place in (0.0, 1.0, 2.0, 9.0)])
    raw = SelectionSettings.model_validate({"rule": "two-rounds", "scale": "raw", "lambda": 1.0})
    ids, difficulty = ["a", "b", "c", "d"], np.array([5, 0, 4.5, -3])
    assert [pick.index for pick in select(ids, difficulty, content, 1, raw)] == [1]
    assert [(pick.index, pick.utility) for pick in select(ids, difficulty, content, 1, raw, chosen=["b"])] == [(0, 6.0)]
    assert [pick.index for pick in facility_location(Pool(ids, difficulty, content, (1,)), 1, raw, 0)] == [3]


def test_the_audit_of_the_first_round_is_no_round() -> None:
    pool = pool_of()
    picks = selected(pool, 5, [], audit=3)
    assert [pick.rule for pick in picks] == [AUDIT] * 3 + [""] * 5
    audited = replace(pool, chosen=tuple(pick.index for pick in picks[:3]))
    assert picks[3:] == covering(audited, 5) != difficult(audited, 5)


def test_labels_on_videos_that_left_the_pool_are_a_round() -> None:
    pool = pool_of()
    assert selected(pool, 4, ["elsewhere"]) == difficult(pool, 4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 3), st.booleans())
def test_spends_the_budget_on_different_candidates(size: int, budget: int, earlier: int, first_round: bool) -> None:
    chosen = tuple(range(min(earlier, size)))
    picks = two_rounds(pool_of(size, chosen, first_round=first_round), budget, SETTINGS, 0)
    found = {pick.index for pick in picks}
    assert len(found) == len(picks) == min(budget, size - len(chosen))
    assert found.isdisjoint(chosen)


@pytest.mark.parametrize("first_round", [True, False])
def test_limits_are_kept(first_round: bool) -> None:
    group, seconds = np.arange(60) % 8, np.random.default_rng(4).uniform(1, 3, 60)

    def under(limits: Limits, budget: int, chosen: tuple[int, ...] = ()) -> list[int]:
        pool = pool_of(60, chosen, limits, first_round)
        return [pick.index for pick in two_rounds(pool, budget, SETTINGS, 0)]

    # Group 0 has its video from before.
    assert sorted(group[under(Limits(group=group, most=1), 20, (0,))]) == list(range(1, 8))
    assert set(group[under(Limits(group=group, least=1), 8)]) == set(range(8))
    assert seconds[under(Limits(seconds=seconds, most_seconds=10.0), 60)].sum() <= 10
    far = under(Limits(apart=1.5), 20)
    videos = pool_of(60).content.means()[far]
    assert len(far) > 2
    assert cdist(videos, videos)[np.triu_indices(len(far), 1)].min() >= 1.5

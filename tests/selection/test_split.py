"""A budget in two parts: each is what its own rule chooses, and together they keep to one budget."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.errors import InputError
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.facility_location import facility_location
from mdsvqa.selection.greedy import greedy
from mdsvqa.selection.split import split

SETTINGS = SelectionSettings(rule="split")
FREE = Limits()


def pool_of(
    videos: NDArray[np.float64], difficulty: Sequence[float], chosen: Sequence[int] = (), limits: Limits = FREE
) -> Pool:
    """One frame a video; videos of shape (n, dims)."""
    ids = [str(i) for i in range(len(videos))]
    return Pool(ids, np.array(difficulty, float), Content.stack(videos[:, None]), tuple(chosen), limits)


def random_pool(size: int, seed: int = 0, chosen: Sequence[int] = (), limits: Limits = FREE) -> Pool:
    rng = np.random.default_rng(seed)
    return pool_of(rng.normal(size=(size, 3)), rng.normal(size=size).tolist(), chosen, limits)


def picked(pool: Pool, budget: int) -> list[int]:
    return [pick.index for pick in split(pool, budget, SETTINGS, 0)]


def test_by_hand() -> None:
    # At 0, 1, 2 and 9 facility location takes 1, the first of the two in the middle, then 9; by both it has 1 left to
    # gain at 0 and at 2. The third goes by difficulty and the mean distance: 0 + (1 + 9) / 2 or 2 + (1 + 7) / 2.
    pool = pool_of(np.array([[0.0], [1.0], [2.0], [9.0]]), [0, 0, 2, 0])
    raw = SelectionSettings.model_validate({"rule": "split", "scale": "raw", "lambda": 1.0})
    assert [pick.index for pick in facility_location(pool, 3, raw, 0)] == [1, 3, 0]
    picks = split(pool, 3, raw, 0)
    assert [pick.index for pick in picks] == [1, 3, 2]
    assert (picks[2].difficulty, picks[2].diversity, picks[2].utility) == (2.0, 4.0, 6.0)


@pytest.mark.parametrize(
    ("budget", "covering"), [(1, 1), (2, 1), (3, 2), (4, 3), (6, 4), (7, 5), (12, 8), (15, 10), (99, 25)]
)
def test_two_thirds_cover_and_the_rest_is_greedy(budget: int, covering: int) -> None:
    # 38 of 40 are left, two thirds of which are 25.3.
    pool = random_pool(40, chosen=(5, 8))
    picks = split(pool, budget, SETTINGS, 0)
    assert len({pick.index for pick in picks}) == len(picks) == min(budget, 38)
    assert picks[:covering] == facility_location(pool, budget, SETTINGS, 0)[:covering]
    rest = replace(pool, chosen=(5, 8, *(pick.index for pick in picks[:covering])))
    assert picks[covering:] == greedy(rest, len(picks) - covering, SETTINGS, 0)


def test_the_second_part_looks_for_failures() -> None:
    pool = random_pool(200, seed=1)
    picks = picked(pool, 30)
    assert pool.difficulty[picks[20:]].mean() > np.quantile(pool.difficulty, 0.8) > pool.difficulty[picks[:20]].mean()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=12),
    st.integers(1, 14),
    st.integers(0, 3),
)
def test_spends_the_budget_on_different_candidates(videos: list[tuple[int, int]], budget: int, earlier: int) -> None:
    places, difficulty = np.array(videos, float).T
    chosen = range(min(earlier, len(videos)))
    found = picked(pool_of(places[:, None], difficulty.tolist(), chosen), budget)
    assert len(set(found)) == len(found) == min(budget, len(videos) - len(chosen))
    assert set(found).isdisjoint(chosen)


@pytest.mark.parametrize("seed", range(10))
def test_seconds_are_one_budget(seed: int) -> None:
    seconds = np.random.default_rng(seed).uniform(1, 9, 60)
    limits = Limits(seconds=seconds, most_seconds=60.0)
    pool = random_pool(60, seed, limits=limits)
    found = picked(pool, 60)
    # Nothing that is left would fit.
    assert 60 - np.delete(seconds, found).min() < seconds[found].sum() <= 60
    covering = [pick.index for pick in facility_location(pool, 60, SETTINGS, 0)]
    kept = round(2 / 3 * len(covering))
    assert found[:kept] == covering[:kept]


def test_a_budget_of_seconds_that_is_spent_to_the_last() -> None:
    # Thirty times a tenth is not quite 3 in floating point; each group needs the video that the last tenth pays.
    limits = Limits(np.arange(30), least=1, seconds=np.full(30, 0.1), most_seconds=3.0)
    assert sorted(picked(random_pool(30, limits=limits), 30)) == list(range(30))


@pytest.mark.parametrize("seed", range(10))
def test_fewest_of_each_group_in_videos_and_in_seconds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group, seconds = rng.permutation(np.arange(60) % 6), rng.uniform(1, 3, 60)
    found = picked(random_pool(60, seed, limits=Limits(group=group, least=2)), 12)
    assert np.bincount(group[found]).tolist() == [2] * 6
    # The cheapest two of each group, and a second more.
    fewest = sum(np.sort(seconds[group == number])[:2].sum() for number in range(6)) + 1
    limits = Limits(group=group, least=2, seconds=seconds, most_seconds=float(fewest))
    found = picked(random_pool(60, seed, limits=limits), 60)
    assert np.bincount(group[found], minlength=6).min() >= 2
    assert seconds[found].sum() <= fewest


def test_most_of_each_group_and_least_distance_over_both_parts() -> None:
    group = np.arange(60) % 8
    # Group 0 has its video from the earlier round.
    assert sorted(group[picked(random_pool(60, 3, (0,), Limits(group=group, most=1)), 20)]) == list(range(1, 8))
    pool = random_pool(60, 3, limits=Limits(apart=1.5))
    videos = pool.content.means()
    far = picked(pool, 20)
    assert len(far) > 2
    assert cdist(videos[far], videos[far])[np.triu_indices(len(far), 1)].min() >= 1.5


def test_too_small_a_budget_for_the_groups_is_told() -> None:
    with pytest.raises(InputError, match="need 6 videos"):
        picked(random_pool(12, limits=Limits(group=np.arange(12) % 6, least=1)), 5)


def test_a_group_of_near_duplicates_is_given_up_in_both_parts() -> None:
    # Four seconds for groups 0, 1 and 2. The one video of group 1 coincides with the one at 7 that is taken, so what
    # was kept for it buys the one at 0; with two thirds taken, a second left cannot pay groups 1 and 2.
    places, seconds = np.array([[1.0], [10.0], [0.0], [3.0], [7.0], [7.0]]), np.array([4.0, 1.0, 1.0, 1.0, 1.0, 2.0])
    limits = Limits(np.array([-1, 2, -1, 0, 2, 1]), least=1, apart=2.0, seconds=seconds, most_seconds=4.0)
    pool = pool_of(places, [1, 3, 0, 0, 1, 2], limits=limits)
    found = picked(pool, 6)
    assert found == [pick.index for pick in facility_location(pool, 6, SETTINGS, 0)] == [3, 4, 2, 1]


@given(st.integers(0, 99), st.floats(5, 60))
def test_any_time_is_kept_with_the_fewest_of_each_group(seed: int, time: float) -> None:
    rng = np.random.default_rng(seed)
    seconds, group = rng.uniform(0.5, 2.0, 30), rng.integers(0, 2, 30)
    found = picked(random_pool(30, seed, limits=Limits(group=group, least=1, seconds=seconds, most_seconds=time)), 30)
    assert seconds[found].sum() <= time * (1 + 1e-9)
    assert set(group[found].tolist()) == set(group.tolist())

"""k-means among the difficult half: which half that is, and when the rule may leave it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.difficult_k_means import difficult_k_means
from mdsvqa.selection.k_means import k_means

SETTINGS = SelectionSettings(rule="difficult-k-means")
FREE = Limits()


def pool_of(
    videos: NDArray[np.float64], difficulty: NDArray[np.float64], chosen: tuple[int, ...] = (), limits: Limits = FREE
) -> Pool:
    """One frame a video; videos of shape (n, dims)."""
    return Pool([str(i) for i in range(len(videos))], difficulty, Content.stack(videos[:, None]), chosen, limits)


def picked(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    return [pick.index for pick in difficult_k_means(pool, budget, SETTINGS, seed)]


def random_pool(size: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 3)), rng.normal(size=size)


def test_by_hand() -> None:
    # The difficult half is at 0, 1, 2, 50 and 52.5, 50.5: two clusters of three, with means 1 and 51.
    places = np.array([0, 1, 2, 50, 52.5, 50.5, 200, 210, 220, 230, 240, 250])[:, None]
    picks = difficult_k_means(pool_of(places, np.repeat([8.0, 3.0], 6)), 2, SETTINGS, 0)
    assert sorted((pick.index, pick.difficulty) for pick in picks) == [(1, 8.0), (5, 8.0)]


@pytest.mark.parametrize(("size", "half"), [(40, 20), (41, 20), (43, 22)])
@pytest.mark.parametrize("budget", [1, 5, 20])
def test_is_k_means_as_if_there_were_no_other_half(size: int, half: int, budget: int) -> None:
    videos, difficulty = random_pool(size)
    hard = np.sort(np.argsort(-difficulty)[:half])
    alone = pool_of(videos[hard], difficulty[hard])
    expected = [int(hard[pick.index]) for pick in k_means(alone, budget, SETTINGS, 0)]
    assert picked(pool_of(videos, difficulty), budget) == expected


def test_half_is_of_what_is_left_and_ties_go_to_the_first() -> None:
    # Without the chosen 0 and 1 the candidates are 2 to 7, all equal: the half is 2, 3 and 4.
    videos, _ = random_pool(8)
    assert sorted(picked(pool_of(videos, np.ones(8), (0, 1)), 3)) == [2, 3, 4]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=14),
    st.integers(1, 16),
    st.integers(0, 3),
)
def test_the_difficult_before_the_others(videos: list[tuple[int, int]], budget: int, earlier: int) -> None:
    places, difficulty = np.array(videos, float).T
    chosen = tuple(range(min(earlier, len(places))))
    found = picked(pool_of(places[:, None], difficulty, chosen), budget)
    left = sorted(set(range(len(places))) - set(chosen), key=lambda i: (-difficulty[i], i))
    # A budget above half of the candidates takes the most difficult and leaves nothing to cluster.
    kept = left[: max(round(len(left) / 2), budget)]
    assert len(set(found)) == len(found) == min(budget, len(left))
    assert set(found) <= set(kept)


def test_a_budget_in_time_stays_in_the_difficult_half() -> None:
    # Such a budget counts the whole pool in videos: here 10 of 2 seconds are paid, and 30 are in the half.
    videos, difficulty = random_pool(60)
    limits = Limits(seconds=np.full(60, 2.0), most_seconds=20.0)
    found = picked(pool_of(videos, difficulty, (), limits), 60)
    assert len(found) == 10
    assert difficulty[found].min() >= np.sort(difficulty)[30]
    # The same as with 10 videos.
    assert found == picked(pool_of(videos, difficulty), 10)


def test_goes_on_with_the_others_where_limits_close_the_half() -> None:
    # The half is all of group 0, of which one video may be chosen.
    videos, difficulty = random_pool(20)
    group = np.where(difficulty >= np.sort(difficulty)[10], 0, np.arange(20) + 1)
    found = picked(pool_of(videos, difficulty, (), Limits(group=group, most=1)), 4)
    assert (group[found] == 0).tolist() == [True, False, False, False]


def test_limits_are_kept() -> None:
    videos, difficulty = random_pool(60, 3)
    group, seconds = np.arange(60) % 8, np.random.default_rng(4).uniform(1, 3, 60)
    one_each = picked(pool_of(videos, difficulty, (0,), Limits(group=group, most=1)), 20)
    # Group 0 has its video from the earlier round.
    assert sorted(group[one_each]) == list(range(1, 8))
    easy = np.argsort(np.argsort(difficulty)) // 8
    assert set(easy[picked(pool_of(videos, difficulty, (), Limits(group=easy, least=1)), 8)]) == set(range(8))
    timed = picked(pool_of(videos, difficulty, (), Limits(seconds=seconds, most_seconds=10.0)), 60)
    assert seconds[timed].sum() <= 10
    far = picked(pool_of(videos, difficulty, (), Limits(apart=1.5)), 20)
    assert len(far) > 2
    assert cdist(videos[far], videos[far])[np.triu_indices(len(far), 1)].min() >= 1.5

"""Typical clustering: the typical video of each group, measured by hand in the tests."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning

from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules import typiclust as module
from mdsvqa.selection.rules.typiclust import neighbour_distance, typiclust
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="typiclust")
FREE = Limits()


def pool_of(videos: NDArray[np.float64], chosen: tuple[int, ...] = (), limits: Limits = FREE) -> Pool:
    """One frame a video; videos of shape (n, dims)."""
    ids = [str(i) for i in range(len(videos))]
    return Pool(ids, np.zeros(len(videos)), Content.stack(videos[:, None]), chosen, limits)


def picked(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    return [pick.index for pick in typiclust(pool, budget, SETTINGS, seed)]


def groups(sizes: tuple[int, ...], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Far apart, in a random order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return 100 * np.eye(len(sizes))[group] + rng.normal(size=(len(group), len(sizes))), group


def typical(videos: NDArray[np.float64], members: NDArray[np.int64], nearest: int = 20) -> list[int]:
    """Members by one over the mean distance to their nearest neighbours, the largest first."""
    distances = np.sort(cdist(videos[members], videos[members]), axis=1)[:, 1 : nearest + 1]
    return [int(members[i]) for i in np.argsort(-1 / distances.mean(axis=1))]


def test_the_most_typical_of_each_group_the_largest_first() -> None:
    # The largest has more than the 20 neighbours that count, the others fewer.
    videos, group = groups((9, 40, 7, 12))
    expected = [typical(videos, np.flatnonzero(group == number))[0] for number in (1, 3, 0, 2)]
    assert picked(pool_of(videos), 4) == expected


def test_only_the_nearest_neighbours_count() -> None:
    # A tight core of 21 in a loose cloud of 60: far away from the middle, and all the same the most typical.
    rng = np.random.default_rng(1)
    videos = np.concatenate([rng.normal(0, 3, (60, 2)), rng.normal(8, 0.1, (21, 2))])
    assert picked(pool_of(videos), 1)[0] >= 60
    all_of_it = typical(videos, np.arange(81), nearest=80)
    assert all_of_it[0] < 60


def test_groups_that_earlier_rounds_chose_from_come_last() -> None:
    videos, group = groups((9, 30, 7, 12))
    chosen = (int(np.flatnonzero(group == 1)[0]), int(np.flatnonzero(group == 3)[0]))
    assert group[picked(pool_of(videos, chosen), 2)].tolist() == [0, 2]


def test_small_clusters_wait() -> None:
    videos, group = groups((5, 6, 20))
    assert group[picked(pool_of(videos), 3)].tolist() == [2, 1, 2]
    # Nothing else is left.
    assert group[picked(pool_of(videos, limits=Limits(group=group, most=1)), 3)].tolist() == [2, 1, 0]


def test_more_videos_than_clusters_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLUSTERS", 2)
    videos, group = groups((8, 10))
    first, second = (typical(videos, np.flatnonzero(group == number)) for number in (1, 0))
    assert picked(pool_of(videos), 5) == [first[0], second[0], first[1], second[1], first[2]]


def test_distance_to_neighbours_by_hand() -> None:
    # A cluster at 0, 1 and 3, and one video alone. Means of the distances to the two others: 2, 1.5 and 2.5.
    means = np.array([[0.0], [1.0], [50.0], [3.0]])
    assert neighbour_distance(means, np.array([0, 0, 1, 0])) == pytest.approx([2, 1.5, 0, 2.5])


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 8, 50])
def test_coinciding_videos_spend_the_budget(budget: int) -> None:
    videos = np.array([[0.0, 0.0]] * 5 + [[1.0, 0.0]] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        found = picked(pool_of(videos), budget)
    assert len(set(found)) == len(found) == min(budget, 8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=14), st.integers(1, 16), st.integers(0, 3))
def test_spends_the_budget_on_different_candidates(places: list[int], budget: int, earlier: int) -> None:
    chosen = tuple(range(min(earlier, len(places))))
    found = picked(pool_of(np.array(places, float)[:, None], chosen), budget)
    assert len(set(found)) == len(found) == min(budget, len(places) - len(chosen))
    assert set(found).isdisjoint(chosen)


def test_limits_are_kept() -> None:
    rng = np.random.default_rng(3)
    videos, group, seconds = rng.normal(size=(60, 3)), np.arange(60) % 8, rng.uniform(1, 3, 60)
    one_each = picked(pool_of(videos, (0,), Limits(group=group, most=1)), 20)
    # Group 0 has its video from the earlier round.
    assert sorted(group[one_each]) == list(range(1, 8))
    timed = picked(pool_of(videos, limits=Limits(seconds=seconds, most_seconds=10.0)), 20)
    assert seconds[timed].sum() <= 10
    far = picked(pool_of(videos, limits=Limits(apart=1.5)), 20)
    assert len(far) > 2
    assert cdist(videos[far], videos[far])[np.triu_indices(len(far), 1)].min() >= 1.5

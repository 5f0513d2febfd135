"""Difficulty-weighted k-means: centers by hand, and where nothing is more difficult the plain rule."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.k_means import k_means
from mdsvqa.selection.weighted_k_means import weighted_k_means

SETTINGS = SelectionSettings(rule="weighted-k-means")
FREE = Limits()


def pool_of(
    videos: NDArray[np.float64], difficulty: Sequence[float], chosen: tuple[int, ...] = (), limits: Limits = FREE
) -> Pool:
    """One frame a video; videos of shape (n, dims)."""
    ids = [str(i) for i in range(len(videos))]
    return Pool(ids, np.array(difficulty, float), Content.stack(videos[:, None]), chosen, limits)


def line(*places: float) -> NDArray[np.float64]:
    return np.array(places, float)[:, None]


def picked(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    return [pick.index for pick in weighted_k_means(pool, budget, SETTINGS, seed)]


def plain(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    return [pick.index for pick in k_means(pool, budget, SETTINGS, seed)]


def test_center_by_hand() -> None:
    # The plain mean is 3. Weights of 1, 2/3, 1/3 and 0 at 0, 1, 2 and 9 have their mean at (2/3 + 2/3) / 2 = 2/3.
    pool = pool_of(line(0, 1, 2, 9), [40, 30, 20, 10])
    assert plain(pool, 1) == [2]
    assert [(pick.index, pick.difficulty) for pick in weighted_k_means(pool, 1, SETTINGS, 0)] == [
        (1, pytest.approx(2 / 3))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_one_video_is_the_nearest_to_the_weighted_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    videos = rng.normal(size=(30, 3))
    # With ties; on one side of the pool, so that the plain mean is elsewhere.
    difficulty = np.round(videos[:, 0])
    mean = np.average(videos, axis=0, weights=rankdata(difficulty) - 1)
    assert picked(pool_of(videos, difficulty.tolist()), 1) == [np.linalg.norm(videos - mean, axis=1).argmin()]


@pytest.mark.parametrize("budget", [1, 4, 12, 30])
def test_equal_difficulty_is_k_means(budget: int) -> None:
    rng = np.random.default_rng(budget)
    videos, group = rng.normal(size=(40, 3)), np.arange(40) % 10
    for limits in (FREE, Limits(group=group, most=3)):
        pool = pool_of(videos, [2.5] * 40, (3, 7), limits)
        assert picked(pool, budget) == plain(pool, budget)


def test_the_heaviest_cluster_comes_first() -> None:
    # Ranks of the six add up to 0 + ... + 5 = 15, those of the four to 6 + ... + 9 = 30.
    pool = pool_of(line(0, 1, 2, 3, 4, 5, 100, 101, 102, 103), range(10))
    assert [video >= 6 for video in picked(pool, 2)] == [True, False]
    assert [video >= 6 for video in plain(pool, 2)] == [False, True]


def test_more_centers_where_the_difficult_are() -> None:
    # Pairs of spots at 0 and 10 and at 100 and 108, five videos each. One pair shares a center: about 10 * 5 ** 2 or
    # 10 * 4 ** 2, so the far spots do; by ranks 0 + ... + 9 = 45 and 10 + ... + 19 = 145, 45 * 25 or 145 * 16.
    places = line(*[0, 10] * 5, *[100, 108] * 5)
    pool = pool_of(places, range(20))
    assert sorted(set(places[plain(pool, 3), 0]) & {0, 10}) == [0, 10]
    assert sorted(set(places[picked(pool, 3), 0]) & {100, 108}) == [100, 108]
    assert len([video for video in picked(pool, 3) if video < 10]) == 1


def test_a_candidate_without_weight_is_taken_where_nothing_else_is_left() -> None:
    assert picked(pool_of(line(5), [3]), 2) == [0]
    # The least difficult has rank 0.
    assert picked(pool_of(line(0, 1, 2), [1, 2, 3], chosen=(1, 2)), 2) == [0]
    assert sorted(picked(pool_of(line(0, 1, 2), [1, 2, 3]), 3)) == [0, 1, 2]


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 8, 50])
def test_coinciding_videos_spend_the_budget(budget: int) -> None:
    videos = np.array([[0.0, 0.0]] * 5 + [[1.0, 0.0]] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        found = picked(pool_of(videos, range(8)), budget)
    assert len(set(found)) == len(found) == min(budget, 8)
    if budget >= 2:
        assert {int(videos[i, 0]) for i in found[:2]} == {0, 1}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12),
    st.integers(1, 14),
    st.integers(0, 3),
)
def test_spends_the_budget_on_different_candidates(videos: list[tuple[int, int]], budget: int, earlier: int) -> None:
    places, difficulty = zip(*videos, strict=True)
    chosen = tuple(range(min(earlier, len(places))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = picked(pool_of(line(*places), difficulty, chosen), budget)
    assert len(set(found)) == len(found) == min(budget, len(places) - len(chosen))
    assert set(found).isdisjoint(chosen)


def test_limits_are_kept() -> None:
    rng = np.random.default_rng(3)
    videos, difficulty = rng.normal(size=(60, 3)), rng.normal(size=60).tolist()
    group, seconds = np.arange(60) % 8, rng.uniform(1, 3, 60)
    one_each = picked(pool_of(videos, difficulty, (0,), Limits(group=group, most=1)), 20)
    # Group 0 has its video from the earlier round.
    assert sorted(group[one_each]) == list(range(1, 8))
    assert set(group[picked(pool_of(videos, difficulty, (), Limits(group=group, least=1)), 8)]) == set(range(8))
    timed = picked(pool_of(videos, difficulty, (), Limits(seconds=seconds, most_seconds=10.0)), 60)
    assert seconds[timed].sum() <= 10
    far = picked(pool_of(videos, difficulty, (), Limits(apart=1.5)), 20)
    assert len(far) > 2
    assert cdist(videos[far], videos[far])[np.triu_indices(len(far), 1)].min() >= 1.5

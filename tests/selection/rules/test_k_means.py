"""k-means medoids: every group is visited, and the budget is always spent."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.k_means import k_means
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="k-means")


def pool_of(videos: NDArray[np.float64], chosen: tuple[int, ...] = ()) -> Pool:
    """One frame a video; videos of shape (n, dims)."""
    return Pool([str(i) for i in range(len(videos))], np.zeros(len(videos)), Content.stack(videos[:, None]), chosen)


def groups(sizes: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    group = np.repeat(np.arange(len(sizes)), sizes)
    centers = 100 * np.eye(len(sizes))
    return centers[group] + np.random.default_rng(0).normal(size=(len(group), len(sizes))), group


def test_one_video_of_each_group_the_largest_first() -> None:
    videos, group = groups((5, 9, 3, 7))
    picked = [pick.index for pick in k_means(pool_of(videos), 4, SETTINGS, 0)]
    assert group[picked].tolist() == [1, 3, 0, 2]


def test_takes_the_video_nearest_the_center_of_its_group() -> None:
    videos, group = groups((5, 9, 3, 7))
    for pick in k_means(pool_of(videos), 4, SETTINGS, 0):
        members = np.flatnonzero(group == group[pick.index])
        gaps = np.linalg.norm(videos[members] - videos[members].mean(axis=0), axis=1)
        assert pick.index == members[gaps.argmin()]


def test_means_of_frames_count_not_frames() -> None:
    # The same mean, one from many frames: one cluster of two videos, and the one far away.
    content = Content.stack([np.array([[-1.0], [1.0]]), np.array([[0.0]]), np.array([[9.0]])])
    picks = k_means(Pool(["a", "b", "c"], np.zeros(3), content), 2, SETTINGS, 0)
    assert sorted(pick.index for pick in picks) in ([0, 2], [1, 2])


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 8, 50])
def test_coinciding_videos_spend_the_budget(budget: int) -> None:
    videos = np.array([[0.0, 0.0]] * 5 + [[1.0, 0.0]] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        picks = k_means(pool_of(videos), budget, SETTINGS, 0)
    picked = [pick.index for pick in picks]
    assert len(set(picked)) == len(picked) == min(budget, 8)
    if budget >= 2:
        assert {int(videos[i, 0]) for i in picked[:2]} == {0, 1}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 14), st.integers(0, 3))
def test_spends_the_budget_on_different_candidates(places: list[int], budget: int, earlier: int) -> None:
    chosen = tuple(range(min(earlier, len(places))))
    picks = k_means(pool_of(np.array(places, float)[:, None], chosen), budget, SETTINGS, 0)
    picked = {pick.index for pick in picks}
    assert len(picked) == len(picks) == min(budget, len(places) - len(chosen))
    assert picked.isdisjoint(chosen)

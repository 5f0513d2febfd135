"""Chamfer distance against scipy's cdist, on videos with different numbers of frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.selection.distances.chamfer import Content, chamfer_distance

Floats = NDArray[np.float64]


def by_scipy(x: Floats, y: Floats) -> float:
    distances = cdist(x, y)
    return float((distances.min(axis=1).mean() + distances.min(axis=0).mean()) / 2)


def ragged_videos(dims: int) -> st.SearchStrategy[list[Floats]]:
    numbers = st.floats(-1, 1, allow_subnormal=False, width=32)
    video = stnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(dims)), elements=numbers)
    return st.lists(video, min_size=1, max_size=8)


def test_by_hand() -> None:
    # Frames of x at 0 and 10, of y at 1: (1 + 9) / 2 one way, 1 the other; (5 + 1) / 2.
    assert chamfer_distance(np.array([[0.0], [10.0]]), np.array([[1.0]])) == 3.0


@given(st.integers(1, 6).flatmap(ragged_videos))
def test_every_pair_is_scipy_s(videos: list[Floats]) -> None:
    content = Content.stack(videos)
    for i, x in enumerate(videos):
        expected = [by_scipy(x, y) for y in videos]
        np.testing.assert_allclose([chamfer_distance(x, y) for y in videos], expected, atol=1e-12)
        # The matrix product costs half the digits where two frames coincide: sqrt(2e-16).
        np.testing.assert_allclose(content.distances_from(content.of(i)), expected, atol=1e-7)


@given(st.integers(1, 4).flatmap(ragged_videos))
def test_symmetric_and_zero_to_itself(videos: list[Floats]) -> None:
    x, y = videos[0], videos[-1]
    assert chamfer_distance(x, y) == pytest.approx(chamfer_distance(y, x), abs=1e-12)
    assert chamfer_distance(x, x) == 0.0
    assert chamfer_distance(x, x[::-1]) == 0.0


def test_repeating_a_frame_in_every_video_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    videos = [rng.normal(size=(count, 4)) for count in (1, 3, 2)]
    once, twice = Content.stack(videos), Content.stack([np.repeat(video, 2, axis=0) for video in videos])
    np.testing.assert_allclose(twice.distances_from(twice.of(1)), once.distances_from(once.of(1)), atol=1e-7)


@given(st.integers(1, 4).flatmap(ragged_videos), st.randoms(use_true_random=False))
def test_stack_take_and_means(videos: list[Floats], random) -> None:
    content = Content.stack(videos)
    assert len(content) == len(videos)
    for i, video in enumerate(videos):
        np.testing.assert_array_equal(content.of(i), video)
    np.testing.assert_allclose(content.means(), [video.mean(axis=0) for video in videos], atol=1e-12)
    order = random.choices(range(len(videos)), k=5)
    taken = content.take(np.array(order))
    for place, i in enumerate(order):
        np.testing.assert_array_equal(taken.of(place), videos[i])


def test_half_precision_stays_and_is_computed_in_single() -> None:
    videos = [np.random.default_rng(i).normal(size=(3, 40)).astype(np.float16) for i in range(4)]
    content = Content.stack(videos)
    assert content.frames.dtype == np.float16
    expected = [chamfer_distance(videos[0].astype(float), video.astype(float)) for video in videos]
    np.testing.assert_allclose(content.distances_from(videos[0]), expected, rtol=1e-5, atol=5e-3)


def test_taken_videos_are_not_copied() -> None:
    content = Content.stack([np.full((t, 2), float(t)) for t in (1, 2, 3)])
    some = content.take(np.array([2, 0]))
    assert some.frames is content.frames
    assert [len(some.of(0)), len(some.of(1))] == [3, 1]
    assert some.gathered(np.array([0, 1]))[:, 0].tolist() == [3, 3, 3, 1]
    assert some.means().tolist() == [[3, 3], [1, 1]]


def test_blocks_cover_all_videos_once() -> None:
    content = Content.stack([np.zeros((t, 1)) for t in (4, 1, 1, 9, 2)])
    parts = list(content.blocks(5))
    # As many as fit in 5 frames; the fourth alone has 9.
    assert [(part.start, part.stop) for part in parts] == [(0, 2), (2, 3), (3, 4), (4, 5)]

"""Tables of distances against scipy's, and what is done where a pool is too large for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mdsvqa.selection.distances import matrices as distances
from mdsvqa.selection.distances.chamfer import Content, chamfer_distance
from mdsvqa.selection.distances.matrices import affordable, chamfer_table, distance_table, mean_frames


def videos_of(counts: list[int], dims: int, dtype: type = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(len(counts))
    return [rng.normal(size=(count, dims)).astype(dtype) for count in counts]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.integers(1, 5),
    st.sampled_from([np.float64, np.float32, np.float16]),
    st.sampled_from([1, 20, 1 << 22]),
    st.sampled_from([1, 3, 1024]),
)
def test_table_equals_the_distance_of_each_pair(
    counts: list[int], dims: int, dtype: type, block: int, side: int
) -> None:
    videos = videos_of(counts, dims, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "BLOCK", block)
        patch.setattr(distances, "SIDE", side)
        table = chamfer_table(Content.stack(videos))
    assert table.dtype == (np.float64 if dtype is np.float64 else np.float32)
    expected = np.array([[chamfer_distance(x, y) for y in videos] for x in videos])
    # A squared distance is off by some units in the last place of the squares, a distance near 0 by their root.
    np.testing.assert_allclose(table, expected, atol=1e-6 if dtype is np.float64 else 4e-3)
    assert (table == table.T).all()


def test_some_of_a_pool_in_another_order() -> None:
    videos = videos_of([2, 1, 3, 2], 3)
    table = chamfer_table(Content.stack(videos).take(np.array([3, 0, 2])))
    assert table[0, 1] == pytest.approx(chamfer_distance(videos[3], videos[0]))
    assert table[2, 1] == pytest.approx(chamfer_distance(videos[2], videos[0]))


def test_many_pairs_of_frames_are_compared_by_their_means(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = videos_of([2, 4], 3)
    content = Content.stack(videos)
    # Six frames, each beside the three of a mean video.
    monkeypatch.setattr(distances, "MOST_PAIRS", 18)
    assert affordable(content, 1) is content
    means = affordable(content, 2)
    assert means.counts.tolist() == [1, 1]
    np.testing.assert_allclose(means.frames, [video.mean(0) for video in videos])
    table, unit = distance_table(content, 0)
    assert unit == 1
    assert table[0, 1] == pytest.approx(np.linalg.norm(videos[0].mean(0) - videos[1].mean(0)))


def test_mean_frames_keep_double_precision_and_nothing_else() -> None:
    assert mean_frames(Content.stack(videos_of([2], 3))).frames.dtype == np.float64
    assert mean_frames(Content.stack(videos_of([2], 3, np.float16))).frames.dtype == np.float32


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_large_pool_is_represented_by_a_sample(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    # Two bytes for each of 50 x 20 pairs; all 2,500 would not fit.
    monkeypatch.setattr(distances, "TABLE_BYTES", 2000)
    monkeypatch.setattr(distances, "SIDE", 16)
    videos = [scale * video for video in videos_of([3] * 50, 4)]
    table, step = distance_table(Content.stack(videos), 0)
    assert table.shape == (50, 20)
    means = np.array([video.mean(0) for video in videos])
    every = cdist(means, means)
    # Each column is that of a video of its own, to half a step.
    columns = [int(np.abs(every - step * column[:, None]).max(0).argmin()) for column in table.T]
    assert len(set(columns)) == 20
    assert np.abs(every[:, columns] - step * table).max() <= 0.501 * step
    assert step < every.max() / 30_000
    assert (distance_table(Content.stack(videos), 0)[0] == table).all()
    assert (distance_table(Content.stack(videos), 1)[0] != table).any()


def test_a_pool_that_fits_in_steps_is_represented_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    # 10 x 10 pairs are 800 bytes in double precision, and 200 in steps.
    monkeypatch.setattr(distances, "TABLE_BYTES", 400)
    videos = videos_of([1] * 10, 3)
    table, step = distance_table(Content.stack(videos), 0)
    frames = np.concatenate(videos)
    assert np.abs(cdist(frames, frames) - step * table).max() <= 0.501 * step


def test_a_large_pool_of_equal_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "TABLE_BYTES", 40)
    table, step = distance_table(Content.stack([np.ones((1, 2))] * 10), 0)
    assert table.tolist() == [[0, 0]] * 10
    assert step == 1

"""Tables of distances against scipy's, and what is done where a pool is too large for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    table = distance_table(content)
    assert table is not None
    assert table[0, 1] == pytest.approx(np.linalg.norm(videos[0].mean(0) - videos[1].mean(0)))


def test_mean_frames_keep_double_precision_and_nothing_else() -> None:
    assert mean_frames(Content.stack(videos_of([2], 3))).frames.dtype == np.float64
    assert mean_frames(Content.stack(videos_of([2], 3, np.float16))).frames.dtype == np.float32


def test_a_pool_whose_table_would_be_too_large_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = videos_of([1] * 10, 3, np.float16)
    monkeypatch.setattr(distances, "TABLE_BYTES", 400)
    table = distance_table(Content.stack(videos))
    assert table is not None
    assert table.shape == (10, 10)
    monkeypatch.setattr(distances, "TABLE_BYTES", 399)
    assert distance_table(Content.stack(videos)) is None

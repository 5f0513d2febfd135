"""The graph of neighbors against scipy's distances, written out."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.distances import neighbors
from mdsvqa.selection.distances.chamfer import Content, chamfer_distance
from mdsvqa.selection.distances.neighbors import Graph, nearest, neighbor_graph, neighbors_wanted, pair_distances


def videos_of(counts: list[int], dims: int, dtype: type, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=dims) + 0.2 * rng.normal(size=(count, dims))).astype(dtype) for count in counts]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=15),
    st.integers(1, 20),
    st.sampled_from([np.float64, np.float32, np.float16]),
    st.sampled_from([1, 200, 1 << 23]),
    st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_each_video_is_near_to_those_of_the_nearest_mean_frames(
    counts: list[int], k: int, dtype: type, block: int, scale: float
) -> None:
    videos = videos_of(counts, 4, np.float64)
    videos = [(scale * video).astype(dtype) for video in videos]
    n, k = len(videos), min(k, len(videos))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbors, "BLOCK_CPU", block)
        graph = neighbor_graph(Content.stack(videos), k)
    means = np.array([video.astype(np.float64).mean(0) for video in videos])
    between = np.linalg.norm(means[:, None] - means[None], axis=2)
    found: dict[int, dict[int, float]] = {video: {} for video in range(n)}
    for candidate in range(n):
        covers, distances = graph.of(candidate)
        assert (np.diff(covers) > 0).all()
        for video, distance in zip(covers.tolist(), distances.tolist(), strict=True):
            found[video][candidate] = distance * graph.unit
    for video, near in found.items():
        assert len(near) == k
        assert near[video] == 0
        # The k nearest means, to the rounding of half precision.
        assert max(between[video, other] for other in near) <= np.sort(between[video])[k - 1] + 5e-3 * scale
        for other, distance in near.items():
            if other != video:
                assert distance == pytest.approx(
                    chamfer_distance(videos[video], videos[other]), rel=2e-3, abs=1e-3 * scale
                )
        assert graph.radius[video] * graph.unit == pytest.approx(max(near.values()))


def test_pairs_of_videos_with_any_number_of_frames() -> None:
    videos = videos_of([3, 1, 5, 2], 6, np.float32)
    found = pair_distances(Content.stack(videos), np.array([2, 0]), np.array([[0, 1, 3], [2, 2, 1]]))
    expected = [[chamfer_distance(videos[i], videos[j]) for j in row] for i, row in ((2, (0, 1, 3)), (0, (2, 2, 1)))]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_video_is_its_own_neighbor_however_many_coincide_with_it() -> None:
    points = np.ones((30, 2), np.float32)
    found = nearest(points, points, 3, own=True)
    assert all(video in row for video, row in enumerate(found.tolist()))
    graph = neighbor_graph(Content.stack([point[None] for point in points]), 3)
    assert len(graph.covers) == 90
    assert (graph.radius == 0).all()


def test_only_some_may_be_chosen_and_all_are_covered() -> None:
    graph = neighbor_graph(Content.stack(videos_of([2] * 12, 3, np.float32)), 4)
    members = np.array([1, 2, 7, 11])
    part = graph.among(members)
    assert len(part) == 12
    for video in range(12):
        covers, distances = part.of(video)
        if video in members:
            np.testing.assert_array_equal(covers, graph.of(video)[0])
            np.testing.assert_array_equal(distances, graph.of(video)[1])
        else:
            assert len(covers) == 0


def test_as_many_neighbors_as_the_budget_asks_for() -> None:
    assert neighbors_wanted(100_000, 5000) == 80
    assert neighbors_wanted(100_000, 50_000) == 64
    assert neighbors_wanted(100_000, 10) == 512
    assert neighbors_wanted(30, 10) == 30


def test_an_inverted_file_finds_nearly_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="needs FAISS")
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 16))
    videos = [center + 0.5 * rng.normal(size=(2, 16)) for center in centers[rng.integers(0, 20, 1500)]]
    content = Content.stack([video.astype(np.float16) for video in videos])
    exact = neighbor_graph(content, 16)
    monkeypatch.setattr(neighbors, "MOST_EXACT_CPU", 100)
    found = neighbor_graph(content, 16, threads=1)

    def edges(graph: Graph) -> set[tuple[int, int]]:
        whose = np.repeat(np.arange(len(graph)), np.diff(graph.starts))
        return set(zip(whose.tolist(), graph.covers.tolist(), strict=True))

    assert {(video, video) for video in range(1500)} <= edges(found)
    assert len(edges(exact) & edges(found)) > 0.95 * len(edges(exact))


def test_without_faiss_a_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(neighbors, "find_spec", lambda name: None)
    monkeypatch.setattr(neighbors, "MOST_EXACT_CPU", 10)
    with pytest.raises(InputError, match=r"11 videos: .*pip install 'mdsvqa\[large\]'"):
        neighbor_graph(Content.stack([np.ones((1, 2))] * 11), 3)

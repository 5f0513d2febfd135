"""The bounds hold for any videos, and the products are within the error that they state, by double-precision cdist."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvqa.selection.distances.bounds import SumBounds, summarise
from mdsvqa.selection.distances.chamfer import Content, chamfer_distance
from mdsvqa.selection.distances.chosen_frames import ChosenFrames

CPU = torch.device("cpu")
KINDS = {"half": np.float16, "single": np.float32, "double": np.float64}


def videos_of(seed: int, kind: str, size: int = 9) -> Content:
    """Videos of 1 to 5 frames that look alike more or less, some of them twice, at a random scale."""
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(1, 130))
    scale = float(10 ** rng.uniform(-2, 2))
    spread = float(10 ** rng.uniform(-3, 0.5))
    middle = rng.normal(size=dims) * rng.choice([0, 1, 10])
    videos = []
    for _ in range(size):
        shape = (int(rng.integers(1, 6)), dims)
        video = middle + rng.normal(size=dims) + spread * rng.normal(size=shape)
        videos.append((scale * video / np.linalg.norm(video, axis=1, keepdims=True)).astype(KINDS[kind]))
    videos.append(videos[0][::-1])
    return Content.stack([*videos, videos[1]])


def distances(content: Content) -> np.ndarray:
    n = len(content)
    return np.array([[chamfer_distance(content.of(i), content.of(j)) for j in range(n)] for i in range(n)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory", [1 << 30, 1])
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sums_and_caps_are_upper_bounds(kind: str, memory: int, seed: int) -> None:
    content = videos_of(seed, kind)
    summaries = summarise(content, CPU, memory)
    assert summaries.centers.dtype == (torch.float16 if memory == 1 else torch.float32)
    true = distances(content)
    assert (true <= summaries.caps[:, None] * (1 + 1e-12)).all()
    bounds = SumBounds(summaries)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(content))[:6]
    everyone = np.arange(len(content))
    known = np.zeros(len(content), np.int64)
    for length, video in enumerate(order, 1):
        bounds.add(int(video))
        seen = rng.random(len(content)) < 0.3
        bounds.products[seen] = bounds.dot(everyone[seen])
        known[seen] = length
        found = bounds.since(everyone, known)
        for x in everyone:
            rest = true[x, order[known[x] : length]].sum()
            assert found[x] >= rest - 1e-12 * max(rest, 1e-3)


def test_the_bound_is_reached_by_single_frames_that_point_the_same_way() -> None:
    content = Content.stack([np.array([[float(x), 0.0]]) for x in (0, 3, 3)])
    bounds = SumBounds(summarise(content, CPU, 1 << 30))
    bounds.add(1)
    bounds.add(2)
    assert bounds.since(np.array([0]), np.array([0]))[0] == pytest.approx(6, rel=1e-4)


@pytest.mark.parametrize("frames", [1, 12, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_products_are_within_their_error(kind: str, frames: int) -> None:
    # 60 frames of 128 numbers are compared in single precision, fewer in double.
    rng = np.random.default_rng(0)
    videos = rng.normal(size=(7, frames, 128)) * 0.3 + rng.normal(size=(7, 1, 128))
    videos /= np.linalg.norm(videos, axis=2, keepdims=True)
    ragged = [*videos.astype(KINDS[kind]), videos[0, : frames // 2 + 1].astype(KINDS[kind])]
    for content in (Content.stack(ragged[:7]), Content.stack(ragged)):
        chosen = ChosenFrames(content, 1.001, CPU, 1 << 14)
        for video in (3, 0, 5):
            chosen.add(video)
        everyone = np.arange(len(content))
        true = distances(content)[:, [0, 5]]
        begins = 1 + everyone % 2
        wanted = np.where(begins == 1, true.sum(1), true[:, 1])
        found, error = chosen.sums(everyone, begins)
        assert (np.abs(found - wanted) <= error + 1e-12).all()
        # Videos that are not the same are told apart.
        assert error[true.min(1) > 0.1].max() < 1e-4
        for video in everyone:
            total = chosen.exact_sum(int(video), 1, 0.5)
            assert total - 0.5 == pytest.approx(true[video].sum(), abs=1e-10)
        assert chosen.computed == 2 * len(content)


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        summarise(Content.stack([np.array([[np.nan, 1.0]])]), CPU, 1 << 20)

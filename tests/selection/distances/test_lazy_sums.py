"""The lazy greedy rule chooses what a plain one chooses, on features as encoders make them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.mds import mds_counted
from mdsvqa.selection.settings import SelectionSettings

LEVELS = np.array([2.0, 2.5, 2.8, 3.0, 4.0])


def encoded(rng: np.random.Generator, n: int, frames: int, dims: int, within: float) -> NDArray[np.float16]:
    """Unit-norm frames of n videos around a few centers."""
    centers = rng.normal(size=(6, dims))
    videos = centers[rng.integers(0, 6, n)] + 0.5 * rng.normal(size=(n, dims))
    made = videos[:, None] + within * rng.normal(size=(n, frames, dims))
    made /= np.linalg.norm(made, axis=2, keepdims=True)
    return made.astype(np.float16)


def plain(videos: list[np.ndarray], difficulty: np.ndarray, budget: int, weight: float) -> list[int]:
    chosen = [int(np.argmax(difficulty))]
    total = np.zeros(len(videos))
    while len(chosen) < budget:
        last = videos[chosen[-1]].astype(float)
        for index, video in enumerate(videos):
            distances = cdist(video.astype(float), last)
            total[index] += (distances.min(1).mean() + distances.min(0).mean()) / 2
        utility = difficulty + weight / len(chosen) * total
        utility[chosen] = -np.inf
        # Rounding of the sums aside, the first of the best.
        chosen.append(int(np.flatnonzero(utility >= utility.max() - 1e-11)[0]))
    return chosen


@pytest.mark.parametrize("scale", ["levels", "alike", "spread"])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 2.0]), st.sampled_from([0.25, 3.0]))
def test_equal_to_plain(scale: str, seed: int, within: float, weight: float) -> None:
    rng = np.random.default_rng(seed)
    n, frames, dims = 40, int(rng.integers(1, 7)), int(rng.integers(2, 60))
    made = list(encoded(rng, n, frames, dims, within))
    if rng.random() < 0.5:
        made = [video[: int(rng.integers(1, frames + 1))] for video in made]
    # The same video under two ids, and its frames in another order.
    made[7] = made[3]
    made[21] = made[11][::-1]
    difficulty = {"levels": rng.choice(LEVELS, n), "alike": np.full(n, 2.0), "spread": rng.normal(size=n)}[scale]
    difficulty[[7, 21]] = difficulty[[3, 11]]
    pool = Pool([f"{i:03d}" for i in range(n)], difficulty, Content.stack(made))
    picks, _ = mds_counted(pool, 25, SelectionSettings(lambda_=weight, scale="raw"))
    assert [pick.index for pick in picks] == plain(made, difficulty, 25, weight)


@pytest.mark.parametrize(("frames", "dims"), [(8, 128), (60, 64)])
def test_few_distances_are_computed(frames: int, dims: int) -> None:
    # 60 x 60 x 64 products a distance are more than what is compared in double precision.
    rng = np.random.default_rng(0)
    made = encoded(rng, 300, frames, dims, 0.4)
    difficulty = rng.choice(LEVELS, 300, p=[0.7, 0.15, 0.08, 0.05, 0.02])
    pool = Pool([f"{i:03d}" for i in range(300)], difficulty, Content.stack(list(made)))
    picks, computed = mds_counted(pool, 20, SelectionSettings(lambda_=0.25, scale="raw"))
    assert [pick.index for pick in picks] == plain(list(made), difficulty, 20, 0.25)
    assert computed < 0.15 * 300 * 20


def test_memory_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    made = encoded(rng, 200, 8, 64, 0.4)
    difficulty = rng.choice(LEVELS, 200)
    pool = Pool([f"{i:03d}" for i in range(200)], difficulty, Content.stack(list(made)))
    much, little = (
        mds_counted(pool, 30, SelectionSettings(memory=memory, lambda_=1.0, scale="raw"))[0]
        for memory in (1 << 30, 1 << 20)
    )
    assert [pick.index for pick in much] == [pick.index for pick in little]


def test_videos_that_are_all_the_same_come_in_order() -> None:
    content = Content.stack([np.ones((3, 4), np.float16) / 2] * 12)
    picks, _ = mds_counted(Pool([str(i) for i in range(12)], np.ones(12), content), 8, SelectionSettings(scale="raw"))
    assert [pick.index for pick in picks] == list(range(8))

"""Core-set selection against farthest-first by brute force."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.core_set import core_set
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="core-set")


def pool_of(videos: list[np.ndarray], chosen: tuple[int, ...] = ()) -> Pool:
    return Pool([str(i) for i in range(len(videos))], np.zeros(len(videos)), Content.stack(videos), chosen)


def chamfer(x: np.ndarray, y: np.ndarray) -> float:
    distances = cdist(x, y)
    return float((distances.min(axis=1).mean() + distances.min(axis=0).mean()) / 2)


# On a line at whole numbers with 1 or 2 frames: distances are exact, and so are ties.
points = st.lists(st.sampled_from([1, 2]).flatmap(lambda t: st.lists(st.integers(0, 9), min_size=t, max_size=t)))


@settings(max_examples=150)
@given(points.filter(len), st.integers(1, 12), st.integers(0, 3), st.integers(0, 5))
def test_equals_farthest_first(rows: list[list[int]], budget: int, earlier: int, seed: int) -> None:
    videos = [np.array(row, float)[:, None] for row in rows]
    chosen = tuple(range(min(earlier, len(videos))))
    picks = core_set(pool_of(videos, chosen), budget, SETTINGS, seed)
    members = list(chosen)
    assert len(picks) == min(budget, len(videos) - len(chosen))
    for pick in picks:
        if members:
            gaps = {
                i: min(chamfer(video, videos[j]) for j in members) for i, video in enumerate(videos) if i not in members
            }
            assert pick.index == min(gaps, key=lambda i: (-gaps[i], i))
            assert pick.diversity == pick.utility == gaps[pick.index]
        else:
            assert pick.diversity is None
        members.append(pick.index)
    assert len(set(members)) == len(members)


def test_covers_within_twice_the_optimum() -> None:
    # Gonzalez (1985): the greedy radius is at most twice the smallest. Three tight groups can be covered at 0.1.
    rng = np.random.default_rng(0)
    centers = np.repeat([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], 5, axis=0)
    shift = rng.normal(size=(15, 2))
    videos = centers + 0.1 * shift / np.linalg.norm(shift, axis=1, keepdims=True)
    for seed in range(5):
        picked = [pick.index for pick in core_set(pool_of(list(videos[:, None])), 3, SETTINGS, seed)]
        assert cdist(videos, videos[picked]).min(axis=1).max() <= 2 * 0.1 + 1e-9


def test_the_first_is_drawn() -> None:
    pool = pool_of(list(np.arange(10.0)[:, None, None]))
    assert len({core_set(pool, 1, SETTINGS, seed)[0].index for seed in range(30)}) > 5

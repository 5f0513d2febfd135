"""The greedy rule against METHOD.md's formula, written out with scipy's cdist and plain loops."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.mds import SCALE_SAMPLE, mds, mean_distance, z_scores
from mdsvqa.selection.select import select
from mdsvqa.selection.settings import SelectionSettings

Floats = NDArray[np.float64]


def chamfer(x: Floats, y: Floats) -> float:
    distances = cdist(x, y)
    return float((distances.min(axis=1).mean() + distances.min(axis=0).mean()) / 2)


def all_distances(videos: Sequence[Floats]) -> Floats:
    return np.array([[chamfer(x, y) for y in videos] for x in videos])


def on_standard_scale(difficulty: Floats, distances: Floats) -> tuple[Floats, Floats]:
    n = len(difficulty)
    mean = sum(distances[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) if n > 1 else 1.0
    spread = np.sqrt(((difficulty - difficulty.mean()) ** 2).mean())
    g = (difficulty - difficulty.mean()) / spread if spread > 0 else np.zeros(n)
    return g, distances / (mean if mean > 0 else 1.0)


def utilities(g: Floats, distances: Floats, chosen: Sequence[int], weight: float) -> dict[int, float]:
    """g(x) + (lambda / |D|) sum over y in D of d(x, y), of every x that is not in D."""
    size = max(len(chosen), 1)
    return {
        x: g[x] + weight * sum(distances[y, x] for y in chosen) / size for x in range(len(g)) if x not in set(chosen)
    }


# Points on a line at whole numbers, 1, 2 or 4 frames each: every distance is a whole number of eighths, so that equal
# utilities are equal to the last bit, whoever adds them up.
exact_video = st.sampled_from([1, 2, 4]).flatmap(lambda t: st.lists(st.integers(-4, 4), min_size=t, max_size=t))
exact_pool = st.lists(st.tuples(st.integers(0, 3), exact_video), min_size=1, max_size=12)


@settings(max_examples=200)
@given(exact_pool, st.integers(1, 14), st.sampled_from([0.0, 0.25, 1.0, 2.0]), st.data())
def test_raw_scale_equals_the_formula_and_the_smallest_id_wins(
    pool: list[tuple[int, list[int]]], budget: int, weight: float, data: st.DataObject
) -> None:
    g = np.array([difficulty for difficulty, _ in pool], float)
    videos = [np.array(frames, float)[:, None] for _, frames in pool]
    distances = all_distances(videos)
    earlier = data.draw(st.lists(st.integers(0, len(pool) - 1), unique=True, max_size=3))
    expected = list(earlier)
    while len(expected) - len(earlier) < budget and len(expected) < len(pool):
        value = utilities(g, distances, expected, weight)
        # A third of a whole number is rounded: what is equal is so within 1e-10, as the rule says.
        expected.append(min(x for x in value if value[x] >= max(value.values()) - 1e-10))
    setting = SelectionSettings(rule="mds", lambda_=weight, scale="raw")
    ids = [f"v{i:02d}" for i in range(len(pool))]
    picks = select(ids, g, Content.stack(videos), budget, setting, chosen=[ids[i] for i in earlier])
    assert [pick.index for pick in picks] == expected[len(earlier) :]


numbers = st.floats(-3, 3, allow_subnormal=False, width=32)
dims3 = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=4)


@pytest.mark.parametrize("scale", ["raw", "standard"])
@settings(max_examples=60)
@given(
    st.lists(st.tuples(numbers, dims3), min_size=2, max_size=9),
    st.integers(1, 10),
    st.sampled_from([0.25, 3.0]),
    st.integers(0, 2),
)
def test_each_step_takes_the_largest_utility(
    scale: str, pool: list[tuple[float, list[list[float]]]], budget: int, weight: float, earlier: int
) -> None:
    difficulty = np.array([g for g, _ in pool])
    videos = [np.array(frames) for _, frames in pool]
    g, distances = difficulty, all_distances(videos)
    if scale == "standard":
        g, distances = on_standard_scale(difficulty, distances)
    setting = SelectionSettings(rule="mds", lambda_=weight, scale=scale)
    chosen = list(range(earlier))
    content = Content.stack(videos)
    picks = mds(Pool([str(i) for i in range(len(pool))], difficulty, content, chosen), budget, setting, 0)
    assert len(picks) == min(budget, len(pool) - earlier)
    # Where all videos nearly coincide, dividing by their mean distance turns the last digits into the first.
    slack = 1e-5 if scale == "raw" else 1e-5 + 1e-6 * np.abs(distances).max() / max(all_distances(videos).max(), 1e-9)
    for pick in picks:
        value = utilities(g, distances, chosen, weight)
        assert value[pick.index] >= max(value.values()) - slack
        assert pick.utility == pytest.approx(value[pick.index], abs=slack)
        assert pick.difficulty == pytest.approx(g[pick.index], abs=1e-9)
        assert pick.utility == pytest.approx(pick.difficulty + weight * pick.diversity)
        chosen.append(pick.index)


def test_by_hand() -> None:
    # Raw, lambda 1. First the hardest, at 0. Then 1 + 5 = 6 beats 2 + 1 = 3. Then 2 + (1 + 4) / 2 = 4.5.
    content = Content.stack([np.array([[0.0]]), np.array([[1.0]]), np.array([[5.0]])])
    pool = Pool(["a", "b", "c"], np.array([3.0, 2.0, 1.0]), content)
    picks = mds(pool, 3, SelectionSettings(rule="mds", lambda_=1.0, scale="raw"), 0)
    assert [(p.index, p.difficulty, p.diversity, p.utility) for p in picks] == [
        (0, 3.0, 0.0, 3.0),
        (2, 1.0, 5.0, 6.0),
        (1, 2.0, 2.5, 4.5),
    ]


def test_earlier_rounds_count_in_diversity() -> None:
    # All equally difficult, the earlier round chose 0: the farthest comes first, at its distance of 5.
    content = Content.stack([np.array([[0.0]]), np.array([[1.0]]), np.array([[5.0]])])
    pool = Pool(["a", "b", "c"], np.ones(3), content, chosen=[0])
    picks = mds(pool, 2, SelectionSettings(rule="mds", lambda_=1.0, scale="raw"), 0)
    assert [(p.index, p.diversity) for p in picks] == [(2, 5.0), (1, 2.5)]


def test_standard_scale_forgets_the_units() -> None:
    rng = np.random.default_rng(1)
    videos = [rng.normal(size=(2, 5)) for _ in range(30)]
    difficulty = rng.normal(size=30)
    ids = [str(i) for i in range(30)]
    there = mds(Pool(ids, difficulty, Content.stack(videos)), 10, SelectionSettings(rule="mds"), 0)
    other = Content.stack([7 * video for video in videos])
    back = mds(Pool(ids, 100 + 20 * difficulty, other), 10, SelectionSettings(rule="mds"), 0)
    assert [p.index for p in there] == [p.index for p in back]
    np.testing.assert_allclose([p.utility for p in there], [p.utility for p in back], rtol=1e-6)


def test_z_scores_of_equal_values_are_zero() -> None:
    assert z_scores(np.full(4, 2.5)).tolist() == [0, 0, 0, 0]


def test_mean_distance_is_exact_for_small_pools() -> None:
    rng = np.random.default_rng(2)
    videos = [rng.normal(size=(rng.integers(1, 4), 3)) for _ in range(SCALE_SAMPLE)]
    distances = all_distances(videos)
    expected = distances[np.triu_indices(len(videos), 1)].mean()
    assert mean_distance(Content.stack(videos)) == pytest.approx(expected, rel=1e-6)


def test_mean_distance_of_a_large_pool_is_close() -> None:
    videos = np.random.default_rng(3).normal(size=(400, 1, 3))
    frames = videos[:, 0]
    expected = cdist(frames, frames)[np.triu_indices(400, 1)].mean()
    assert mean_distance(Content.stack(list(videos))) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("count", [1, 5])
def test_mean_distance_is_one_where_all_coincide(count: int) -> None:
    assert mean_distance(Content.stack([np.ones((2, 3))] * count)) == 1.0

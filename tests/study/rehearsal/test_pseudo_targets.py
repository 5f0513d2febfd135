"""Parts of the source: what is in them, and how much they count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.runtime.errors import InputError
from mdsvqa.study.rehearsal.pseudo_targets import FEWEST, clusters, ends_of_directions, groups, pseudo_targets


def test_ends_of_a_direction_are_its_outer_thirds() -> None:
    """The main direction is the first axis, by far."""
    rng = np.random.default_rng(0)
    content = rng.normal(size=(90, 3)) * np.array([100.0, 10.0, 1.0])
    parts = ends_of_directions(content)
    assert len(parts) == 6
    order = np.argsort(content[:, 0])
    outer = {frozenset(order[:30].tolist()), frozenset(order[-30:].tolist())}
    low, high = (parts[f"direction 1 {end}"] for end in ("low", "high"))
    first = [frozenset(low[0].tolist()), frozenset(high[0].tolist())]
    # Along a principal component, which is the axis but for a small tilt.
    assert all(max(len(found & part) for part in outer) >= 28 for found in first)
    assert not first[0] & first[1]
    # Each learns from the other.
    assert low[1].tolist() == high[0].tolist()
    assert high[1].tolist() == low[0].tolist()


def test_fewer_dimensions_than_directions() -> None:
    assert len(ends_of_directions(np.random.default_rng(0).normal(size=(40, 2)))) == 4


def test_clusters_are_apart_and_the_largest_comes_first() -> None:
    rng = np.random.default_rng(0)
    content = np.concatenate([rng.normal(0, 0.1, (50, 2)), rng.normal(5, 0.1, (30, 2))])
    parts = clusters(content, 2, seed=0)
    assert [members.tolist() for members, _ in parts.values()] == [list(range(50)), list(range(50, 80))]
    assert [others.tolist() for _, others in parts.values()] == [list(range(50, 80)), list(range(50))]


def test_coinciding_videos_make_fewer_clusters() -> None:
    assert len(clusters(np.repeat(np.eye(2), 30, axis=0), 5, seed=0)) == 2


def test_groups_by_a_column_leave_out_videos_of_which_it_says_nothing() -> None:
    parts = groups(["game", "sport", None, "game"], "category")
    found = {name: (members.tolist(), others.tolist()) for name, (members, others) in parts.items()}
    assert found == {"category game": ([0, 3], [1, 2]), "category sport": ([1], [0, 2, 3])}


def test_half_of_the_weight_is_shared_and_half_goes_to_the_parts_nearest_the_pool() -> None:
    """Of 4 pool videos 3 are nearest to a source video of the first part: (1/2 + 3/4) / 2 and (1/2 + 1/4) / 2."""
    content = np.concatenate([np.zeros((30, 1)), np.full((30, 1), 10.0), np.full((30, 1), 50.0)])
    parts = {"low": (np.arange(30), np.arange(30, 90)), "middle": (np.arange(30, 60), np.arange(60, 90))}
    pool = np.array([[0.1], [0.2], [-3.0], [11.0]])
    found = pseudo_targets(parts, content, pool)
    assert [target.weight for target in found] == pytest.approx([0.625, 0.375])


@given(st.integers(0, 50), st.integers(0, 99))
def test_weights_sum_to_one(pool: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = rng.normal(size=(100, 2))
    found = pseudo_targets(ends_of_directions(content), content, rng.normal(size=(pool, 2)))
    assert sum(target.weight for target in found) == pytest.approx(1)
    assert all(target.weight >= 0.5 / len(found) for target in found)


def test_parts_that_are_too_small_or_leave_too_little_are_left_out() -> None:
    content = np.zeros((100, 1))
    parts = {
        "tiny": (np.arange(FEWEST - 1), np.arange(50)),
        "fits": (np.arange(FEWEST), np.arange(50)),
        "all but few": (np.arange(50), np.arange(FEWEST - 1)),
        "fits too": (np.arange(50), np.arange(FEWEST)),
    }
    assert [target.name for target in pseudo_targets(parts, content, np.empty((0, 1)))] == ["fits", "fits too"]


def test_one_part_is_not_enough_and_the_message_says_what_there_is() -> None:
    parts = groups(["a"] * 30 + ["b"] * 3 + [None] * 27, "category")
    with pytest.raises(InputError, match=r"category a \(30\), category b \(3\) of 60 videos"):
        pseudo_targets(parts, np.zeros((60, 1)), np.empty((0, 1)))

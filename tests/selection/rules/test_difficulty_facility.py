"""Difficulty and coverage together, against the formula written out with loops."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.difficulty_facility import WEIGHT, difficulty_facility, ranks
from mdsvqa.selection.rules.facility_location import facility_location
from mdsvqa.selection.rules.most_difficult import most_difficult
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="difficulty-facility")
FREE = Limits()


def pool_of(
    videos: Sequence[Sequence[float]],
    difficulty: Sequence[float],
    chosen: Sequence[int] = (),
    limits: Limits = FREE,
) -> Pool:
    """One frame a video."""
    content = Content.stack([np.array([video], float) for video in videos])
    return Pool([str(i) for i in range(len(videos))], np.array(difficulty, float), content, tuple(chosen), limits)


def picked(pool: Pool, budget: int) -> list[int]:
    return [pick.index for pick in difficulty_facility(pool, budget, SETTINGS, 0)]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=12),
    st.integers(1, 14),
    st.integers(0, 3),
)
def test_every_step_has_the_largest_utility(videos: list[tuple[int, int]], budget: int, earlier: int) -> None:
    places, difficulty = zip(*videos, strict=True)
    n = len(videos)
    members = list(range(min(earlier, n)))
    between = np.abs(np.subtract.outer(places, places)).astype(float)
    # Half the videos that are easier or equal and half those that are easier, the video itself left out.
    rank = [sum((d < e) + (d <= e) for d in difficulty) / 2 - 0.5 for e in difficulty]
    rank = [r / (n - 1) if n > 1 else 0.5 for r in rank]
    picks = difficulty_facility(pool_of([[p] for p in places], difficulty, members), budget, SETTINGS, 0)
    assert len(picks) == min(budget, n - len(members))
    for pick in picks:
        nearest = [min((between[i, j] for j in members), default=between.max()) for i in range(n)]
        gain = {j: sum(max(nearest[i] - between[i, j], 0) for i in range(n)) for j in range(n) if j not in members}
        most = max(gain.values()) or 1.0
        utility = {j: rank[j] + 10 * gain[j] / most for j in gain}
        assert utility[pick.index] == pytest.approx(max(utility.values()))
        assert pick.utility == pytest.approx(utility[pick.index])
        assert pick.difficulty == pytest.approx(rank[pick.index])
        assert pick.diversity == pytest.approx(gain[pick.index] / most)
        members.append(pick.index)
    assert len(set(members)) == len(members)


def test_by_hand() -> None:
    # At 0, 1, 2 and 9: sums of distances 12, 10, 10 and 24, largest distance 9, so gains of 24, 26, 26 and 12. The
    # ranks of 3, 2, 1 and 4 are 2/3, 1/3, 0 and 1: 2/3 + 10 * 24 / 26 = 9.9 is behind 1/3 + 10.
    # Left is 1 for 0, 1 for 2 and 8 for 9: the last.
    picks = difficulty_facility(pool_of([[0], [1], [2], [9]], [3, 2, 1, 4]), 2, SETTINGS, 0)
    assert [(pick.index, pick.difficulty, pick.diversity) for pick in picks] == [
        (1, pytest.approx(1 / 3), 1.0),
        (3, 1.0, 1.0),
    ]
    assert picks[0].utility == pytest.approx(1 / 3 + WEIGHT)


def test_difficulty_decides_among_videos_of_about_the_same_gain() -> None:
    # A far group of two, 0.1 apart: both cover it about as well, and the harder one is taken.
    places = [[0.0], [0.1], [0.2], [50.0], [50.1]]
    assert picked(pool_of(places, [0, 0, 0, 1, 2]), 2)[1] == 4
    assert picked(pool_of(places, [0, 0, 0, 2, 1]), 2)[1] == 3


def test_equal_difficulty_is_facility_location_and_no_distance_is_difficulty() -> None:
    videos = np.random.default_rng(0).normal(size=(40, 3)).tolist()
    pool = pool_of(videos, [1.0] * 40)
    assert picked(pool, 15) == [pick.index for pick in facility_location(pool, 15, SETTINGS, 0)]
    hard = pool_of([[1.0, 2.0]] * 6, [2, 5, 5, 1, 9, 3])
    assert picked(hard, 4) == [pick.index for pick in most_difficult(hard, 4, SETTINGS, 0)]


def test_no_unit_matters() -> None:
    rng = np.random.default_rng(1)
    videos, difficulty = rng.normal(size=(40, 3)), rng.normal(size=40)
    there = picked(pool_of(videos.tolist(), difficulty.tolist()), 15)
    assert picked(pool_of((1000 * videos).tolist(), np.exp(difficulty).tolist()), 15) == there


def test_earlier_rounds_count() -> None:
    # The middle of the larger group is chosen already, so the other group comes first.
    assert picked(pool_of([[0], [1], [2], [30], [31]], [0] * 5, chosen=[1]), 1) == [3]


def test_ranks_of_one_and_of_equals() -> None:
    assert ranks(np.array([3.0])).tolist() == [0.5]
    assert ranks(np.full(3, 7.0)).tolist() == [0.5, 0.5, 0.5]
    assert ranks(np.array([])).tolist() == []


def test_limits_are_kept() -> None:
    rng = np.random.default_rng(3)
    videos, difficulty = rng.normal(size=(40, 3)), rng.normal(size=40)
    group, seconds = np.arange(40) % 8, rng.uniform(1, 3, 40)

    def under(limits: Limits, chosen: Sequence[int] = ()) -> list[int]:
        return picked(pool_of(videos.tolist(), difficulty.tolist(), chosen, limits), 20)

    # Group 0 has its video from the earlier round.
    assert sorted(group[under(Limits(group=group, most=1), [0])]) == list(range(1, 8))
    assert seconds[under(Limits(seconds=seconds, most_seconds=10.0))].sum() <= 10
    far = under(Limits(apart=2.0))
    assert len(far) > 2
    assert cdist(videos[far], videos[far])[np.triu_indices(len(far), 1)].min() >= 2

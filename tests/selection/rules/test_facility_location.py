"""Facility location against the plain greedy rule, written out with scipy's distances and loops."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.coverage import TableCoverage, coverage_of
from mdsvqa.selection.distances import matrices as distances
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.facility_location import facility_location
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="facility-location")
FREE = Limits()


def pool_of(videos: Sequence[np.ndarray], chosen: Sequence[int] = (), limits: Limits = FREE) -> Pool:
    ids = [str(i) for i in range(len(videos))]
    return Pool(ids, np.zeros(len(videos)), Content.stack(videos), tuple(chosen), limits)


def picked(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    return [pick.index for pick in facility_location(pool, budget, SETTINGS, seed)]


def all_distances(videos: Sequence[np.ndarray]) -> np.ndarray:
    def chamfer(x: np.ndarray, y: np.ndarray) -> float:
        between = cdist(x, y)
        return float((between.min(axis=1).mean() + between.min(axis=0).mean()) / 2)

    return np.array([[chamfer(x, y) for y in videos] for x in videos])


def covered(similarity: np.ndarray, members: Sequence[int]) -> float:
    """The sum over all videos of the similarity to the nearest member, or 0 where there is none."""
    return float(sum(max((similarity[i, j] for j in members), default=0) for i in range(len(similarity))))


def plain(similarity: np.ndarray, budget: int, chosen: Sequence[int], group: Sequence[int]) -> list[int]:
    """The plain greedy rule; of each group, if it is not negative, at most one video."""
    members = list(chosen)
    for _ in range(budget):
        full = {group[j] for j in members if group[j] >= 0}
        left = [i for i in range(len(similarity)) if i not in members and group[i] not in full]
        if left:
            members.append(max(left, key=lambda i: (covered(similarity, [*members, i]), -i)))
    return members[len(chosen) :]


# On a line at whole numbers, 1 or 2 frames: distances are whole numbers of quarters, sums of them exact, and so ties.
line = st.lists(
    st.sampled_from([1, 2]).flatmap(lambda t: st.lists(st.integers(0, 6), min_size=t, max_size=t)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(line, st.integers(1, 14), st.data())
def test_equals_the_plain_greedy_rule_and_the_first_wins_ties(
    rows: list[list[int]], budget: int, data: st.DataObject
) -> None:
    videos = [np.array(row, float)[:, None] for row in rows]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True, max_size=3))
    group = data.draw(st.lists(st.integers(-1, 3), min_size=len(rows), max_size=len(rows)))
    between = all_distances(videos)
    similarity = between.max() - between
    pool = pool_of(videos, chosen, Limits(group=np.array(group), most=1))
    picks = facility_location(pool, budget, SETTINGS, 0)
    expected = plain(similarity, budget, chosen, group)
    assert [pick.index for pick in picks] == expected
    for step, pick in enumerate(picks):
        members = [*chosen, *expected[:step]]
        gain = covered(similarity, [*members, pick.index]) - covered(similarity, members)
        assert pick.utility == pick.diversity == pytest.approx(gain / len(videos))


def test_by_hand() -> None:
    # At 0, 1, 2, 3 and 9. First 2, whose sum of distances is least: 2 + 1 + 0 + 1 + 7 = 11. Then 9 saves 7 of it.
    # Then 0, which saves 2 + 0, and 1, which saves 1 + 1, tie: the first wins. Largest distance 9: 9 - 11 / 5 at first.
    videos = [np.array([[float(x)]]) for x in (0, 1, 2, 3, 9)]
    picks = facility_location(pool_of(videos), 3, SETTINGS, 0)
    assert [pick.index for pick in picks] == [2, 4, 0]
    assert [pick.utility for pick in picks] == pytest.approx([9 - 11 / 5, 7 / 5, 2 / 5])


def test_what_earlier_rounds_chose_covers_its_surroundings() -> None:
    # Two groups of three; the earlier round chose in the larger one. Without it that one comes first.
    videos = [np.array([[float(x)]]) for x in (0, 1, 2, 3, 20, 21, 22)]
    assert picked(pool_of(videos), 1) == [3]
    assert picked(pool_of(videos, chosen=[1]), 1) == [5]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.sampled_from([np.float64, np.float32, np.float16]), st.integers(0, 99))
def test_lazy_and_plain_agree_to_the_last_bit(size: int, budget: int, dtype: type, seed: int) -> None:
    # Features as they come, some videos twice: which of equal videos wins hangs on the rounding of their sums.
    rng = np.random.default_rng(seed)
    videos = [rng.normal(size=(2, 5)).astype(dtype) for _ in range(size)]
    videos += [videos[i] for i in rng.integers(0, size, size // 2)]
    coverage = coverage_of(pool_of(videos), 5, SETTINGS)
    expected: list[int] = []
    for _ in range(min(budget, len(videos))):
        gains = {i: coverage.gain(i) for i in range(len(videos)) if i not in expected}
        expected.append(max(gains, key=lambda i: (gains[i], -i)))
        coverage.add(expected[-1])
    assert picked(pool_of(videos), budget) == expected


def test_gains_never_rise_and_add_up() -> None:
    videos = list(np.random.default_rng(0).normal(size=(60, 1, 4)))
    picks = facility_location(pool_of(videos), 60, SETTINGS, 0)
    gains = np.array([pick.utility for pick in picks])
    assert (np.diff(gains) <= 0).all()
    # In the end every video is covered by itself: from the largest distance to 0.
    assert gains.sum() == pytest.approx(all_distances(videos).max())


def test_is_at_least_63_percent_of_the_best_choice() -> None:
    # Nemhauser, Wolsey and Fisher (1978): 1 - 1/e of the optimum, found here among all choices of 3 of 12.
    for seed in range(5):
        videos = list(np.random.default_rng(seed).normal(size=(12, 1, 2)))
        between = all_distances(videos)
        similarity = between.max() - between
        best = max(covered(similarity, members) for members in combinations(range(12), 3))
        assert (1 - 1 / np.e) * best <= covered(similarity, picked(pool_of(videos), 3)) <= best + 1e-9


def test_most_gains_are_never_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = list(np.random.default_rng(1).normal(size=(300, 1, 3)))
    counted = []
    gain = TableCoverage.gain
    monkeypatch.setattr(TableCoverage, "gain", lambda self, video: counted.append(video) or gain(self, video))
    assert len(picked(pool_of(videos), 60)) == 60
    assert len(counted) < 300 * 60 / 5


def test_a_prior_counts_beside_the_gain() -> None:
    # At 0, 1 and 5, largest distance 5: gains are 15 - 6 = 9, 15 - 5 = 10 and 15 - 9 = 6 thirds.
    coverage = coverage_of(pool_of([np.array([[0.0]]), np.array([[1.0]]), np.array([[5.0]])]), 1, SETTINGS)
    everyone = np.ones(3, bool)
    assert coverage.best(everyone) == (1, pytest.approx(10 / 3))
    assert coverage.best(everyone, np.array([0.5, 0.0, 0.0])) == (0, pytest.approx(3))
    assert coverage.best(everyone, np.array([0.5, 0.0, 2.0])) == (2, pytest.approx(2))
    assert coverage.best(everyone, np.array([0.5, 0.0, 2.0]), weight=2.0) == (1, pytest.approx(10 / 3))
    assert coverage.best(np.array([True, False, True])) == (0, pytest.approx(3))


def test_of_a_large_pool_any_video_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten tight groups of twenty, and neighbors of more than one group.
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(10), 20)
    videos = list((100 * np.eye(10)[group] + rng.normal(size=(200, 10)))[:, None])
    monkeypatch.setattr(distances, "TABLE_BYTES", 1)
    choice = picked(pool_of(videos), 10)
    assert sorted(group[choice]) == list(range(10))
    assert len(picked(pool_of(videos, chosen=choice), 3)) == 3


def test_limits_are_kept() -> None:
    rng = np.random.default_rng(3)
    videos = list(rng.normal(size=(40, 1, 3)))
    group, seconds = np.arange(40) % 8, rng.uniform(1, 3, 40)
    one_each = picked(pool_of(videos, [0], Limits(group=group, most=1)), 20)
    # Group 0 has its video from the earlier round.
    assert sorted(group[one_each]) == list(range(1, 8))
    timed = picked(pool_of(videos, limits=Limits(seconds=seconds, most_seconds=10.0)), 20)
    assert seconds[timed].sum() <= 10
    assert len(picked(pool_of(videos), 7)) == 7
    far = picked(pool_of(videos, limits=Limits(apart=2.0)), 20)
    between = all_distances([videos[i] for i in far])
    assert between[np.triu_indices(len(far), 1)].min() >= 2

"""FreeSel's draws have the odds of the squared distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mdsvqa.selection.base import Limits, Pick, Pool
from mdsvqa.selection.distances import matrices as distances
from mdsvqa.selection.distances.chamfer import Content, chamfer_distance
from mdsvqa.selection.rules.freesel import freesel
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="freesel")
FREE = Limits()


def pool_of(places: list[float], chosen: tuple[int, ...] = (), limits: Limits = FREE) -> Pool:
    """Videos of one frame on a line."""
    content = Content.stack([np.array([[place]]) for place in places])
    return Pool([str(i) for i in range(len(places))], np.zeros(len(places)), content, chosen, limits)


def run(pool: Pool, budget: int, seed: int) -> list[Pick]:
    return freesel(pool, budget, SETTINGS, seed)


def test_the_first_is_drawn_uniformly() -> None:
    pool = pool_of([0.0, 1.0, 5.0, 100.0])
    counts = np.bincount([run(pool, 1, seed)[0].index for seed in range(2000)], minlength=4)
    assert chisquare(counts).pvalue > 1e-3
    assert run(pool, 1, 0)[0].diversity is None


def test_odds_by_hand() -> None:
    # Chosen at 0; left at 1, 2 and 3: odds 1 : 4 : 9. After 3, the nearest of 1 and 2 are at 1 and 1: 1 : 1.
    # After 2, those of 1 and 3 are at 1 and 1. After 1, those of 2 and 3 are at 1 and 2: 1 : 4.
    pool = pool_of([0.0, 1.0, 2.0, 3.0], chosen=(0,))
    expected = {(1, 2): 1 / 5, (1, 3): 4 / 5, (2, 1): 2, (2, 3): 2, (3, 1): 9 / 2, (3, 2): 9 / 2}
    pairs = [tuple(pick.index for pick in run(pool, 2, seed)) for seed in range(2000)]
    counts = [pairs.count(pair) for pair in expected]
    assert sum(counts) == 2000
    assert chisquare(counts, 2000 * np.array(list(expected.values())) / 14).pvalue > 1e-3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 14), st.integers(0, 3), st.integers(0, 99))
def test_tells_the_distance_and_spends_the_budget(places: list[int], budget: int, earlier: int, seed: int) -> None:
    chosen = tuple(range(min(earlier, len(places))))
    members = list(chosen)
    for pick in run(pool_of([float(place) for place in places], chosen), budget, seed):
        gaps = {i: min((abs(places[i] - places[j]) for j in members), default=None) for i in range(len(places))}
        assert pick.diversity == gaps[pick.index]
        # What coincides with a chosen video has no odds as long as anything else is left.
        others = [gap for i, gap in gaps.items() if i not in members]
        assert pick.diversity != 0 or not any(others)
        members.append(pick.index)
    assert len(set(members)) == len(members) == min(budget + len(chosen), len(places))


def test_distances_are_between_frames_or_between_means_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [np.array([[0.0], [4.0]]), np.array([[2.0]])]
    pool = Pool(["a", "b"], np.zeros(2), Content.stack(videos), (0,))
    assert run(pool, 1, 0)[0].diversity == chamfer_distance(*videos) == 2
    monkeypatch.setattr(distances, "MOST_PAIRS", 1)
    assert run(pool, 1, 0)[0].diversity == 0


def test_limits_are_kept() -> None:
    rng = np.random.default_rng(0)
    places, group, seconds = rng.normal(size=30).tolist(), np.arange(30) % 6, rng.uniform(1, 3, 30)
    one_each = [pick.index for pick in run(pool_of(places, (0,), Limits(group=group, most=1)), 20, 0)]
    # Group 0 has its video from the earlier round.
    assert sorted(group[one_each]) == list(range(1, 6))
    timed = [pick.index for pick in run(pool_of(places, (), Limits(seconds=seconds, most_seconds=10.0)), 20, 0)]
    assert seconds[timed].sum() <= 10
    far = [places[pick.index] for pick in run(pool_of(places, (), Limits(apart=0.5)), 30, 0)]
    assert len(far) > 2
    assert np.diff(np.sort(far)).min() >= 0.5

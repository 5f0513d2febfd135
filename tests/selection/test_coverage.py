"""Facility location by neighbors: against the plain greedy rule on the graph's own objective, and against all pairs."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.certificate import certify
from mdsvqa.selection.coverage import GraphCoverage, coverage_of
from mdsvqa.selection.distances import matrices
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.neighbors import Graph, neighbor_graph
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.parts import by_parts, cover
from mdsvqa.selection.rules import difficulty_facility, facility_location
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="facility-location")
FREE = Limits()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pool is too large for a table."""
    monkeypatch.setattr(matrices, "TABLE_BYTES", 0)


def pool_of(points: np.ndarray, chosen: Sequence[int] = (), limits: Limits = FREE, seed: int = 0) -> Pool:
    n = len(points)
    difficulty = np.random.default_rng(seed).normal(size=n)
    return Pool([str(i) for i in range(n)], difficulty, Content.stack(list(points[:, None])), tuple(chosen), limits)


def similarity_of(graph: Graph) -> np.ndarray:
    """What each candidate spares each video, shape (candidates, videos), zero for what it is no neighbor of."""
    found = np.zeros((len(graph), len(graph)))
    for candidate in range(len(graph)):
        covers, distances = graph.of(candidate)
        found[candidate, covers] = graph.unit * (graph.radius[covers].astype(float) - distances)
    return found


def worth(similarity: np.ndarray, members: Sequence[int]) -> float:
    return float(similarity[list(members)].max(0).sum() / len(similarity)) if len(members) else 0.0


def plain(similarity: np.ndarray, budget: int, chosen: Sequence[int], group: np.ndarray, most: int) -> list[int]:
    members = list(chosen)
    for _ in range(budget):
        full = [g for g in set(group) if g >= 0 and sum(group[m] == g for m in members) >= most]
        left = [i for i in range(len(similarity)) if i not in members and group[i] not in full]
        if left:
            members.append(max(left, key=lambda i: (round(worth(similarity, [*members, i]), 9), -i)))
    return members[len(chosen) :]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 25), st.integers(1, 8), st.integers(1, 9), st.integers(0, 3), st.integers(0, 10_000))
def test_the_lazy_choice_is_the_plain_one(n: int, k: int, budget: int, earlier: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(-1, 4, n)
    pool = pool_of(rng.normal(size=(n, 3)), range(min(earlier, n)), Limits(group=group, most=2))
    graph = neighbor_graph(pool.content, min(k, n))
    coverage = GraphCoverage(graph, pool.chosen)
    picks = facility_location.steps(pool, Eligible(pool, budget), coverage)
    similarity, chosen = similarity_of(graph), list(pool.chosen)
    assert [pick.index for pick in picks] == plain(similarity, budget, chosen, group, 2)
    members = [*chosen, *(pick.index for pick in picks)]
    assert coverage.value() == pytest.approx(worth(similarity, members) - worth(similarity, chosen), abs=1e-6)
    gained = [worth(similarity, [*members, i]) - worth(similarity, members) for i in range(n)]
    np.testing.assert_allclose(coverage.gains(), gained, atol=1e-6)


def test_ties_go_to_the_first(large: None) -> None:
    # Five pairs of coinciding videos, far from each other: all gains are equal.
    points = np.repeat(100.0 * np.eye(5), 2, axis=0)
    for k in (2, 10):
        coverage = GraphCoverage(neighbor_graph(pool_of(points).content, k), ())
        picks = facility_location.steps(pool_of(points), Eligible(pool_of(points), 3), coverage)
        assert [pick.index for pick in picks] == ([0, 1, 2] if k == 2 else [0, 2, 4])


def test_with_all_as_neighbors_it_is_the_choice_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in (facility_location, difficulty_facility):
        pool = pool_of(np.random.default_rng(1).normal(size=(60, 4)), chosen=[3, 9])
        expected, table = cover(rule.steps, pool, 12, SETTINGS, 0)
        with monkeypatch.context() as patch:
            patch.setattr(matrices, "TABLE_BYTES", 0)
            found, graph = cover(rule.steps, pool, 12, SETTINGS, 0)
        assert isinstance(graph, GraphCoverage)
        # Distances of half precision decide otherwise between gains that differ by less than their rounding.
        assert [pick.index for pick in found][:4] == [pick.index for pick in expected][:4]
        assert graph.value() == pytest.approx(table.value(), rel=5e-3)


def test_no_more_than_the_true_objective_and_equal_where_the_nearest_is_a_neighbor() -> None:
    points = np.random.default_rng(2).normal(size=(80, 3))
    between = cdist(points, points)
    graph = neighbor_graph(pool_of(points).content, 10)
    similarity, radius = similarity_of(graph), graph.unit * graph.radius.astype(float)
    for seed in range(20):
        members = np.random.default_rng(seed).choice(80, 12, replace=False)
        true = np.maximum(radius - between[members].min(0), 0)
        own = similarity[members].max(0)
        assert (own <= true + 5e-3).all()
        near = between[members].min(0) <= np.sort(between, axis=0)[8]
        np.testing.assert_allclose(own[near], true[near], atol=5e-3)


def test_a_group_that_is_reserved_for_opens_again(large: None) -> None:
    rng = np.random.default_rng(4)
    group = np.repeat([0, 1, 2], 10)
    limits = Limits(group=group, least=2)
    picks = facility_location.facility_location(pool_of(rng.normal(size=(30, 3)), limits=limits), 7, SETTINGS, 0)
    assert len(picks) == 7
    assert (np.bincount(group[[pick.index for pick in picks]]) >= 2).all()


@pytest.mark.parametrize("rule", [facility_location, difficulty_facility])
@pytest.mark.parametrize(
    "limits",
    [
        FREE,
        Limits(group=np.arange(120) % 12, most=2),
        Limits(group=np.arange(120) % 12, least=1),
        Limits(apart=0.5),
        Limits(seconds=1.0 + np.arange(120) % 5, most_seconds=30.0),
    ],
)
def test_parts_keep_the_limits_and_come_near_the_whole(large: None, rule: object, limits: Limits) -> None:
    points = np.random.default_rng(5).normal(size=(120, 3))
    pool = pool_of(points, chosen=[0, 1], limits=limits)
    whole, at_once = cover(rule.steps, pool, 15, SETTINGS, 0)  # type: ignore[attr-defined]
    settings = SETTINGS.model_copy(update={"parts": 3})
    picks, by_three = cover(rule.steps, pool, 15, settings, 0)  # type: ignore[attr-defined]
    found = [pick.index for pick in picks]
    assert len(set(found)) == len(found)
    assert len(found) == len(whole) or limits.seconds is not None
    assert not {0, 1} & set(found)
    if limits.most is not None:
        assert (np.bincount([i % 12 for i in (0, 1, *found)]) <= 2).all()
    if limits.least:
        assert (np.bincount([i % 12 for i in found], minlength=12)[2:] >= 1).all()
    if limits.apart:
        everyone = points[[0, 1, *found]]
        apart = cdist(everyone, everyone)[np.triu_indices(len(everyone), 1)]
        assert apart.min() >= 0.5 or apart.min() == cdist(points[:2], points[:2])[0, 1]
    if limits.seconds is not None:
        assert limits.seconds[found].sum() <= 30
    if rule is facility_location:
        assert by_three.value() > 0.9 * at_once.value()


@pytest.mark.slow
def test_parts_on_a_cluster_are_those_of_processes_here(large: None, cluster: Any) -> None:
    pool = pool_of(np.random.default_rng(8).normal(size=(80, 2)), chosen=(3,))
    here = SETTINGS.model_copy(update={"parts": 3})
    there = here.model_copy(update={"engine": "ray"})
    (picks, one), (others, other) = (cover(facility_location.steps, pool, 6, each, 2) for each in (here, there))
    assert picks == others
    assert one.value() == other.value()


def test_the_better_of_the_best_part_and_all_proposals(large: None) -> None:
    pool = pool_of(np.random.default_rng(6).normal(size=(60, 2)))
    coverage = coverage_of(pool, 5, SETTINGS)
    assert isinstance(coverage, GraphCoverage)

    def worst(pool: Pool, eligible: Eligible, coverage: GraphCoverage) -> list[object]:
        # In a part the rule proper; among all proposals the worst one, of which there are more than the budget.
        if pool.ids[0] == "":
            return facility_location.steps(pool, eligible, coverage)  # type: ignore[return-value]
        for _ in range(3):
            coverage.add(int(np.flatnonzero(eligible.mask)[0]))
        return []

    settings = SETTINGS.model_copy(update={"parts": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdsvqa.selection.parts.cores", lambda workers: 1)
        picks, found = by_parts(worst, pool, 5, settings, coverage, 0)  # type: ignore[arg-type]
    assert len(picks) == 5
    expected = GraphCoverage(coverage.graph, [pick.index for pick in picks])
    np.testing.assert_array_equal(found.nearest, expected.nearest)  # type: ignore[attr-defined]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_no_choice_is_worth_more_than_the_bound(seed: int, by_graph: bool) -> None:
    points = np.random.default_rng(seed).normal(size=(12, 2))
    pool = pool_of(points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "TABLE_BYTES", 0 if by_graph else 1 << 20)
        picks, coverage = cover(facility_location.steps, pool, 3, SETTINGS, 0)
    found = certify(pool, picks, coverage, 1, 0)
    if by_graph:
        similarity = similarity_of(coverage.graph)  # type: ignore[attr-defined]
    else:
        between = cdist(points, points)
        similarity = between.max() - between
    best = max(worth(similarity, members) for members in combinations(range(12), 3))
    assert found.value - 1e-3 <= best <= found.most_possible + 1e-3
    assert found.at_least == pytest.approx(found.value / found.most_possible)
    assert found.neighbors == (12 if by_graph else None)


def test_a_certificate_measures_the_distance_to_the_nearest_chosen(large: None) -> None:
    points = np.random.default_rng(7).normal(size=(300, 5))
    pool = pool_of(points, chosen=[1, 2])
    picks, coverage = cover(facility_location.steps, pool, 20, SETTINGS, 0)
    found = certify(pool, picks, coverage, 1, 0)
    members = [1, 2, *(pick.index for pick in picks)]
    assert found.mean_distance == pytest.approx(cdist(points, points[members]).min(1).mean(), rel=1e-3)
    random = [
        cdist(points, points[[1, 2, *np.random.default_rng(s).choice(np.arange(3, 300), 20, False)]]).min(1).mean()
        for s in range(50)
    ]
    assert min(random) < found.random_mean_distance < max(random)
    assert found.mean_distance < found.random_mean_distance
    assert "300" not in found.sentence()
    assert f"{found.mean_distance:.4f}" in found.sentence()
    assert f"at least {100 * found.at_least:.1f}%" in found.sentence()
    assert "measured on 10 of 300" in replace(found, measured_on=10).sentence()

"""Formulas against scipy, hand values, finite differences and brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mdsvqa.evaluation.thurstone import preference, thurstone_probability
from mdsvqa.models.ranking_loss import WeighedPairs, fidelity_loss, fidelity_of, group_weights, minimise, pairs_within

SCORE = st.floats(-5, 5)
PROBABILITY = st.floats(0, 1)
GROUPS = st.lists(st.integers(0, 3), min_size=1, max_size=9)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("predicted", "target", "loss"),
    [
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 0.0),
        (0.5, 0.5, 0.0),
        (0.0, 1.0, 1.0),
        (1.0, 0.0, 1.0),
        (0.5, 1.0, 1 - math.sqrt(0.5)),
        (0.25, 1.0, 0.5),
        (0.25, 0.0, 1 - math.sqrt(0.75)),
        (0.64, 0.36, 1 - 2 * 0.48),
        (0.8, 0.5, 1 - math.sqrt(0.4) - math.sqrt(0.1)),
    ],
)
def test_fidelity_by_hand(predicted: float, target: float, loss: float) -> None:
    assert fidelity_loss(double(predicted), double(target)).item() == pytest.approx(loss, abs=1e-15)


@settings(deadline=None)
@given(PROBABILITY, PROBABILITY)
def test_fidelity_is_symmetric_and_between_0_and_1(p: float, q: float) -> None:
    loss = fidelity_loss(double(p), double(q)).item()
    assert 0 <= loss <= 1
    assert loss == pytest.approx(fidelity_loss(double(q), double(p)).item(), abs=1e-12)
    assert loss == pytest.approx(fidelity_loss(double(1 - p), double(1 - q)).item(), abs=1e-7)
    assert fidelity_loss(double(p), double(p)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("predicted", [0.0, 1e-45, 1e-30, 0.5, 1.0])
def test_fidelity_gradient_is_finite_everywhere(predicted: float, target: float, dtype: torch.dtype) -> None:
    p = torch.tensor([predicted], dtype=dtype, requires_grad=True)
    fidelity_loss(p, torch.tensor([target], dtype=dtype)).sum().backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


@settings(deadline=None)
@given(st.floats(0.02, 0.98), PROBABILITY)
def test_fidelity_gradient_by_finite_differences(p: float, target: float) -> None:
    def loss(at: float) -> float:
        return 1 - math.sqrt(at * target) - math.sqrt((1 - at) * (1 - target))

    at = double(p).requires_grad_()
    fidelity_loss(at, double(target)).sum().backward()
    step = 1e-6
    expected = (loss(p + step) - loss(p - step)) / (2 * step)
    assert at.grad is not None
    if abs(p - target) > 1e-4:  # at the minimum rounding may put the loss below 0, where it is cut off
        assert at.grad.item() == pytest.approx(expected, abs=1e-5)


def test_ranking_gradient_through_thurstone() -> None:
    scores = torch.tensor([3.0, -60.0, 60.0, 0.2], dtype=torch.float32, requires_grad=True)
    mos = torch.tensor([1.0, 5.0, 1.0, 3.0])
    first, second = pairs_within(torch.zeros(4, dtype=torch.int64))
    predicted = thurstone_probability(scores[first], scores[second])
    fidelity_loss(predicted, preference(mos[first], mos[second])).sum().backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


@settings(deadline=None)
@given(GROUPS)
def test_pairs_by_brute_force(groups: list[int]) -> None:
    first, second = pairs_within(torch.tensor(groups))
    expected = {(i, j) for i, j in itertools.combinations(range(len(groups)), 2) if groups[i] == groups[j]}
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert (first.dtype, second.dtype) == (torch.int64, torch.int64)


@settings(deadline=None)
@given(GROUPS, st.integers(1, 8), st.integers(0, 99))
def test_sampled_pairs(groups: list[int], most: int, seed: int) -> None:
    every = set(zip(*(part.tolist() for part in pairs_within(torch.tensor(groups))), strict=True))
    drawn = [
        list(zip(*(p.tolist() for p in pairs_within(torch.tensor(groups), most, seed)), strict=True)) for _ in "ab"
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == len(set(drawn[0]))
    assert set(drawn[0]) <= every
    for group in set(groups):
        there = sum(groups[i] == group for i, _ in every)
        assert sum(groups[i] == group for i, _ in drawn[0]) == min(most, there)


def test_sampled_pairs_are_uniform() -> None:
    groups = torch.zeros(5, dtype=torch.int64)
    counts: dict[tuple[int, int], int] = {}
    for seed in range(600):
        first, second = pairs_within(groups, most=2, seed=seed)
        for pair in zip(first.tolist(), second.tolist(), strict=True):
            counts[pair] = counts.get(pair, 0) + 1
    # 10 pairs, each drawn with probability 0.2: 120 of 600, standard deviation 9.8.
    assert len(counts) == 10
    assert all(abs(count - 120) < 40 for count in counts.values())


@settings(deadline=None)
@given(GROUPS)
def test_group_weights(groups: list[int]) -> None:
    weights = group_weights(torch.tensor(groups)).tolist()
    assert weights == pytest.approx([1 / (len(set(groups)) * groups.count(group)) for group in groups])
    assert sum(weights) == pytest.approx(1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=12), st.integers(0, 99))
def test_fidelity_of_pairs_is_that_of_torch(items: list[tuple[int, int]], seed: int) -> None:
    """Value and gradient by automatic differentiation of the plain formulas, equal truths among the pairs."""
    truth, groups = np.array([t for t, _ in items], np.float64), np.array([g for _, g in items], np.int64)
    rng = np.random.default_rng(seed)
    score = torch.tensor(rng.normal(scale=3, size=len(items)), requires_grad=True)
    first, second = pairs_within(torch.from_numpy(groups))
    pairs = WeighedPairs.within(truth, groups, None, 0)
    if len(first) == 0:
        assert len(pairs) == 0
        return
    target = preference(torch.from_numpy(truth)[first], torch.from_numpy(truth)[second])
    predicted = thurstone_probability(score[first], score[second], 0.25)
    plain = (group_weights(torch.from_numpy(groups)[first]) * fidelity_loss(predicted, target)).sum()
    plain.backward()
    at = score.detach().numpy()
    loss, by_pair = fidelity_of(at[pairs.better] - at[pairs.worse], pairs, 0.25)
    gradient = np.bincount(pairs.better, by_pair, len(items)) - np.bincount(pairs.worse, by_pair, len(items))
    assert loss == pytest.approx(plain.item(), abs=1e-7)
    np.testing.assert_allclose(gradient, score.grad.numpy(), atol=1e-7)


def test_fidelity_of_hopeless_pairs_is_finite() -> None:
    pairs = WeighedPairs.within(np.array([1.0, 2.0]), np.zeros(2, np.int64), None, 0)
    loss, gradient = fidelity_of(np.array([-1e6]), pairs)
    assert loss == 1.0
    assert np.isfinite(gradient).all()


def test_minimise_a_quadratic() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    h, b = root @ root.T + np.eye(6), rng.normal(size=6)
    found = minimise(lambda x: (0.5 * x @ h @ x - b @ x, h @ x - b), size=6, steps=200)
    np.testing.assert_allclose(found, np.linalg.solve(h, b), atol=1e-4)
    assert found.dtype == np.float64


def rosenbrock(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    away = x[1] - x[0] ** 2
    return (1 - x[0]) ** 2 + 100 * away**2, np.array([-2 * (1 - x[0]) - 400 * x[0] * away, 200 * away])


def test_minimise_rosenbrock() -> None:
    np.testing.assert_allclose(minimise(rosenbrock, size=2, steps=200), [1, 1], atol=1e-3)


def test_minimise_counts_iterations() -> None:
    calls = 0

    def objective(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal calls
        calls += 1
        return rosenbrock(x)

    minimise(objective, size=2, steps=3)
    assert calls < 10


def test_new_groups_share_the_weight_that_they_are_given() -> None:
    groups = np.array([0, 0, 0, -1, -1, 1, 1, 2, 2, 2])
    truth = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 3.0])
    pairs = WeighedPairs.within(truth, groups, None, 0, groups > 0, 0.8)
    # A pair of equals stands twice with sqrt(1/2).
    of = {group: float(pairs.weights[groups[pairs.better] == group].sum()) for group in (0, -1, 1, 2)}
    assert of == pytest.approx({0: 0.1, -1: 0.1, 1: 0.4 * np.sqrt(2), 2: 0.4})


def test_with_pairs_on_one_side_only_that_has_all_the_weight() -> None:
    groups = np.array([0, 0, 1])
    pairs = WeighedPairs.within(np.array([1.0, 2.0, 3.0]), groups, None, 0, groups > 0, 0.8)
    assert pairs.weights.tolist() == [1.0]

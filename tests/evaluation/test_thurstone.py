"""Thurstone's probability against the normal distribution and a simulation."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mdsvqa.evaluation.thurstone import preference, thurstone_probability

SCORE = st.floats(-5, 5)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(deadline=None)
@given(SCORE, SCORE, st.floats(0.01, 9))
def test_thurstone_is_the_normal_distribution(x: float, y: float, variance: float) -> None:
    # The difference of two readings has twice the variance of one.
    found = thurstone_probability(double(x), double(y), variance).item()
    assert found == pytest.approx(norm.cdf(x, loc=y, scale=math.sqrt(2 * variance)), rel=1e-9, abs=1e-12)
    assert found + thurstone_probability(double(y), double(x), variance).item() == pytest.approx(1)


def test_thurstone_by_simulation() -> None:
    rng = np.random.default_rng(0)
    x, y, variance = 3.4, 3.0, 0.5
    wins = rng.normal(x, variance**0.5, 10**6) > rng.normal(y, variance**0.5, 10**6)
    # Four standard errors of a share of a million.
    assert thurstone_probability(double(x), double(y), variance).item() == pytest.approx(wins.mean(), abs=0.002)


def test_thurstone_broadcasts_and_takes_each_pair_s_variance() -> None:
    x, y, variance = double(1, 2, 3), double(0, 2), double(0.5, 2)
    found = thurstone_probability(x[:, None], y[None, :], variance)
    for i, j in itertools.product(range(3), range(2)):
        assert found[i, j].item() == pytest.approx(norm.cdf((x[i] - y[j]) / math.sqrt(2 * variance[j])))
    assert thurstone_probability(x.float(), x.float(), variance=2).dtype == torch.float32


def test_thurstone_far_apart() -> None:
    x = double(100.0).requires_grad_()
    probability = thurstone_probability(x, double(0.0))
    probability.sum().backward()
    assert (probability.item(), x.grad.item()) == (1.0, 0.0)  # type: ignore[union-attr]


@settings(deadline=None)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_preference(x: int, y: int) -> None:
    assert preference(double(x), double(y)).item() == (1 if x > y else 0.5 if x == y else 0)

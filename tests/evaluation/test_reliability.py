import numpy as np
import pytest

from mdsvqa.evaluation.correlation import pearson, srcc
from mdsvqa.evaluation.reliability import ceiling, half_width


def test_half_width_by_hand():
    np.testing.assert_allclose(half_width(np.array([0.8, 0.0]), np.array([4, 9])), [1.96 * 0.4, 0.0])


def test_ceiling_by_hand():
    # Variance of MOS 5/3; noise 1 / 4 each: reliability 1 - 0.25 / (5/3) = 0.85.
    found = ceiling(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4), np.full(4, 4.0), draws=50)
    assert found.plcc.value == pytest.approx(np.sqrt(0.85))
    assert found.srcc.value == pytest.approx(6 / np.pi * np.arcsin(np.sqrt(0.85) / 2))


def test_a_model_that_knows_the_truth_reaches_the_ceiling_and_not_more():
    rng = np.random.default_rng(0)
    truth = rng.normal(3, 0.5, 5000)
    readings = truth[:, None] + rng.normal(0, 1.0, (5000, 8))
    mos, std = readings.mean(1), readings.std(1, ddof=1)
    found = ceiling(mos, std, np.full(5000, 8.0), draws=100)
    assert found.plcc.value == pytest.approx(pearson(truth, mos), abs=0.01)
    assert found.srcc.value == pytest.approx(srcc(truth, mos), abs=0.01)
    assert found.plcc.low < found.plcc.value < found.plcc.high


def test_without_noise_nothing_stands_in_the_way_and_with_noise_alone_nothing_is_left():
    mos, twelve = np.linspace(1, 5, 12), np.full(12, 12.0)
    assert ceiling(mos, np.zeros(12), twelve, draws=20).srcc.value == pytest.approx(1.0)
    assert ceiling(mos, np.full(12, 50.0), twelve, draws=20).plcc.value == 0.0

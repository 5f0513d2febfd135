"""The failure predictor g: an order that is known, and what it must not depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from mdsvqa.difficulty.base import NEIGHBOURS, Unlabeled, distance_to_labeled
from mdsvqa.difficulty.ranker import FailurePredictor, failure_inputs, fit_failure_predictor
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.standardise import Standardiser

SETTINGS = DifficultySettings()
Floats = NDArray[np.float64]


def problem(size: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Inputs of five numbers and 3 features, and errors that grow with the second and fall with the third."""
    inputs = np.random.default_rng(seed).normal(size=(size, 8))
    return inputs, np.exp(inputs[:, 1] - 0.5 * inputs[:, 2])


def test_recovers_a_known_order_on_new_videos() -> None:
    inputs, errors = problem(120)
    predictor = fit_failure_predictor(inputs, errors, np.zeros(120, np.int64), SETTINGS)
    new, truth = problem(200, seed=1)
    assert spearmanr(predictor.predict(new), truth).statistic > 0.97


def test_the_weights_point_along_the_truth() -> None:
    inputs, errors = problem(300)
    weights = fit_failure_predictor(inputs, errors, np.zeros(300, np.int64), SETTINGS).weights
    assert weights[1] > 0 > weights[2]
    assert weights[1] / -weights[2] == pytest.approx(2.0, rel=0.15)
    assert np.abs(weights[[0, 3, 4, 5, 6, 7]]).max() < 0.2 * weights[1]


def test_only_the_order_of_errors_counts() -> None:
    inputs, errors = problem(60)
    dataset = np.zeros(60, np.int64)
    there = fit_failure_predictor(inputs, errors, dataset, SETTINGS)
    back = fit_failure_predictor(inputs, np.argsort(np.argsort(errors)).astype(float), dataset, SETTINGS)
    np.testing.assert_array_equal(there.weights, back.weights)


def test_errors_are_compared_within_a_data_set_only() -> None:
    inputs, errors = problem(60)
    dataset = np.repeat([0, 1], [40, 20])
    there = fit_failure_predictor(inputs, errors, dataset, SETTINGS)
    moved = fit_failure_predictor(inputs, errors + 100.0 * dataset, dataset, SETTINGS)
    np.testing.assert_array_equal(there.weights, moved.weights)
    # As one data set the same shift would be all there is to learn.
    mixed = fit_failure_predictor(inputs, errors + 100.0 * dataset, np.zeros(60, np.int64), SETTINGS)
    assert (mixed.weights != there.weights).any()


def test_data_sets_weigh_the_same_whatever_their_size() -> None:
    # 80 videos say that the first input is bad, 20 that it is good: they cancel.
    inputs = np.zeros((100, 5))
    inputs[:, 0] = np.concatenate([np.linspace(-1, 1, 80), np.linspace(-1, 1, 20)])
    errors = np.concatenate([inputs[:80, 0], -inputs[80:, 0]]) + 2
    weights = fit_failure_predictor(inputs, errors, np.repeat([0, 1], [80, 20]), SETTINGS).weights
    alone = fit_failure_predictor(inputs[:80], errors[:80], np.zeros(80, np.int64), SETTINGS).weights
    assert alone[0] > 0.5
    assert abs(weights[0]) < 0.1 * alone[0]


def test_nothing_to_compare_gives_no_opinion() -> None:
    inputs, errors = problem(3)
    predictor = fit_failure_predictor(inputs, errors, np.arange(3), SETTINGS)
    assert predictor.predict(inputs).tolist() == [0, 0, 0]


def test_a_smaller_share_of_the_features_makes_them_count_less() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(80, 9))
    errors = np.exp(inputs[:, 0] + inputs[:, 6])
    few, many = (
        fit_failure_predictor(inputs, errors, np.zeros(80, np.int64), DifficultySettings(features_share=share)).weights
        for share in (0.05, 2.0)
    )
    assert abs(few[6] / few[0]) < 0.5 * abs(many[6] / many[0])


def test_deterministic_where_pairs_are_drawn() -> None:
    inputs, errors = problem(50)
    setting, dataset = DifficultySettings(most_pairs=100), np.zeros(50, np.int64)
    first, again, different = (fit_failure_predictor(inputs, errors, dataset, setting, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weights, again.weights)
    assert (first.weights != different.weights).any()


def test_predict_is_the_weighted_sum() -> None:
    predictor = FailurePredictor(Standardiser(np.array([1.0, 0.0]), np.array([2.0, 1.0])), np.array([3.0, -1.0]))
    # z = (2, 0.5) -> 6 - 0.5; and z limited to 4 -> 12 - 0.
    assert predictor.predict(np.array([[5.0, 0.5], [99.0, 0.0]])).tolist() == [5.5, 12.0]


def test_inputs_by_hand() -> None:
    videos = Unlabeled(np.array([[70.0, 80.0]]), np.array([1.5]), np.array([1.0]), np.array([1 / np.e]))
    found = failure_inputs(videos, np.array([np.e]), np.array([[7.0, 8.0]]))
    np.testing.assert_allclose(found, [[1.5, 2.25, 0.0, 1.0, -1.0, 7.0, 8.0]], atol=1e-5)


def test_inputs_are_finite_without_spread_or_distance() -> None:
    assert np.isfinite(failure_inputs(Unlabeled.of(np.zeros((2, 3)), np.ones(2)), np.zeros(2), np.zeros((2, 3)))).all()


@given(st.integers(2, 12), st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_distance_to_labeled_is_brute_force(labeled: int, others: int, dims: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(others, dims)), rng.normal(size=(labeled, dims))
    expected = np.sort(cdist(x, y), axis=1)[:, :NEIGHBOURS].mean(axis=1)
    np.testing.assert_allclose(distance_to_labeled(x, y), expected, atol=1e-6)
    among = [np.sort(np.delete(row, i))[:NEIGHBOURS].mean() for i, row in enumerate(cdist(y, y))]
    np.testing.assert_allclose(distance_to_labeled(y, y, themselves=True), among, atol=1e-6)

"""Errors of three kinds: by hand, by scipy, and that no label places its own video."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

from mdsvqa.difficulty.cross_fitting import stratified_folds
from mdsvqa.difficulty.errors import measured_errors, monotone_fit, on_error_scale, place_scores


def test_raw_by_hand() -> None:
    score, mos = np.array([1.5, 4.0]), np.array([2.0, 3.0])
    assert measured_errors("raw", score, mos, np.zeros(2, int)).tolist() == [0.5, 1.0]
    assert place_scores("raw", np.array([9.0]), score, mos, np.zeros(2, int)).tolist() == [9.0]


def test_ranks_are_taken_within_a_data_set() -> None:
    score = np.array([1.0, 2.0, 3.0, 100.0, 300.0])
    mos = np.array([3.0, 2.0, 1.0, 5.0, 1.0])
    found = measured_errors("rank", score, mos, np.array([0, 0, 0, 1, 1]))
    np.testing.assert_allclose(found, [2 / 3, 0, 2 / 3, 1 / 2, 1 / 2])


def test_new_scores_stand_where_they_would_rank() -> None:
    score, mos = np.array([1.0, 2.0, 2.0, 4.0]), np.zeros(4)
    placed = place_scores("rank", np.array([0.0, 2.0, 3.0, 9.0]), score, mos, np.zeros(4, int))
    assert placed.tolist() == [0.0, 0.5, 0.75, 1.0]
    # The videos of the source themselves stand where they are.
    ranks = (rankdata(score) - 0.5) / 4
    np.testing.assert_allclose(place_scores("rank", score, score, mos, np.zeros(4, int)), ranks)


@given(st.integers(3, 30), st.integers(0, 99))
def test_the_monotone_fit_is_scipy_s(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, mos = np.sort(rng.normal(size=size)), rng.normal(size=size)
    expected = isotonic_regression(mos).x
    np.testing.assert_allclose(monotone_fit(score, mos, score), expected, atol=1e-9)


def test_calibration_is_cross_fitted_within_each_data_set() -> None:
    rng = np.random.default_rng(0)
    dataset = np.repeat([0, 1], [40, 25])
    score = rng.uniform(1, 5, 65)
    mos = score + rng.normal(size=65)
    placed, truth = on_error_scale("calibrated", score, mos, dataset, folds=5, seed=3)
    np.testing.assert_array_equal(truth, mos)
    fold = stratified_folds(dataset, 5, 3)
    for video in range(65):
        known = (dataset == dataset[video]) & (fold != fold[video])
        expected = monotone_fit(score[known], mos[known], score[[video]])[0]
        assert placed[video] == pytest.approx(expected)


def test_a_label_does_not_move_its_own_video() -> None:
    rng = np.random.default_rng(1)
    score, mos, dataset = rng.uniform(1, 5, 50), rng.uniform(1, 5, 50), np.zeros(50, int)
    before, _ = on_error_scale("calibrated", score, mos, dataset)
    mos[7] = 99.0
    after, _ = on_error_scale("calibrated", score, mos, dataset)
    assert before[7] == after[7]
    assert (before != after).any()


def test_calibration_takes_away_what_is_monotone() -> None:
    score = np.linspace(1, 5, 200)
    mos = 1 + 4 / (1 + np.exp(5 - 2 * score))
    dataset = np.zeros(200, int)
    assert measured_errors("raw", score, mos, dataset).mean() > 0.3
    assert measured_errors("calibrated", score, mos, dataset).mean() < 0.02


def test_a_data_set_of_one_is_calibrated_by_itself() -> None:
    found = measured_errors("calibrated", np.array([1.0, 2.0]), np.array([3.0, 3.0]), np.array([0, 1]))
    assert found.tolist() == [0, 0]


def test_several_data_sets_place_new_scores_by_their_mean() -> None:
    score, mos = np.array([1.0, 2.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert place_scores("calibrated", np.array([1.5]), score, mos, np.array([0, 0, 1, 1])).tolist() == [2.5]

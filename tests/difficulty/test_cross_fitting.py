"""Honest errors: checked with an f that knows by heart every label it was trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mdsvqa.difficulty.cross_fitting import Predict, committee_spread, cross_fitted_scores, stratified_folds
from mdsvqa.models.statistical.kernel_model import LabeledFeatures

Floats = NDArray[np.float64]
UNKNOWN = -1.0


def numbered(size: int, dataset: list[int] | None = None) -> LabeledFeatures:
    """Videos whose only feature is their number, and whose MOS is unique to them."""
    codes = np.zeros(size, np.int64) if dataset is None else np.array(dataset)
    return LabeledFeatures(
        np.arange(size, dtype=float)[:, None], 1 + np.arange(size) / size, codes, np.zeros(size, bool)
    )


def memorise(data: LabeledFeatures) -> Predict:
    """An f that gives back the label of a video it saw, and UNKNOWN for any other."""
    labels = dict(zip(data.features[:, 0].tolist(), data.mos.tolist(), strict=True))

    def predict(features: Floats) -> Floats:
        return np.array([labels.get(number, UNKNOWN) for number in features[:, 0].tolist()])

    return predict


@given(st.integers(4, 40), st.integers(2, 6), st.integers(0, 5))
def test_no_score_comes_from_a_model_that_saw_the_video(size: int, folds: int, seed: int) -> None:
    scores, fold = cross_fitted_scores(numbered(size), memorise, folds, seed)
    assert (scores == UNKNOWN).all()
    assert set(fold.tolist()) <= set(range(folds))


def test_each_video_is_scored_by_the_model_of_all_other_folds() -> None:
    data = numbered(20)

    def mean_of_training(trained_on: LabeledFeatures) -> Predict:
        return lambda features: np.full(len(features), trained_on.mos.mean())

    scores, fold = cross_fitted_scores(data, mean_of_training, 4, 0)
    for k in range(4):
        np.testing.assert_allclose(scores[fold == k], data.mos[fold != k].mean())


@given(st.lists(st.integers(-2, 2), min_size=2, max_size=60), st.integers(2, 7), st.integers(0, 5))
def test_folds_are_stratified(dataset: list[int], folds: int, seed: int) -> None:
    codes = np.array(dataset)
    fold = stratified_folds(codes, folds, seed)
    assert fold.min() >= 0
    assert fold.max() < folds
    for code in np.unique(codes):
        sizes = np.bincount(fold[codes == code], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(stratified_folds(codes, folds, seed), fold)


def test_another_seed_is_another_split() -> None:
    codes = np.zeros(30, np.int64)
    assert (stratified_folds(codes, 5, 0) != stratified_folds(codes, 5, 1)).any()


class Committee:
    """Records what each member was trained on; member m scores every video that it did not see with its own noise."""

    def __init__(self, videos: int) -> None:
        self.draws: list[list[int]] = []
        self.noise = np.random.default_rng(9).normal(size=(50, videos))

    def __call__(self, data: LabeledFeatures) -> Predict:
        drawn = data.features[:, 0].astype(int).tolist()
        member = len(self.draws)
        self.draws.append(drawn)

        def predict(features: Floats) -> Floats:
            numbers = features[:, 0].astype(int)
            # A label known by heart stands out by its size.
            return np.where(np.isin(numbers, drawn), 1e6, self.noise[member, numbers])

        return predict


def test_spread_is_out_of_bag() -> None:
    data, committee = numbered(30, [0] * 20 + [1] * 10), Committee(40)
    others = np.arange(30.0, 40.0)[:, None]
    inside, outside = committee_spread(data, committee, 12, others, seed=3)
    assert len(committee.draws) == 12
    for video in range(30):
        absent = [member for member, drawn in enumerate(committee.draws) if video not in drawn]
        if len(absent) >= 2:
            assert inside[video] == pytest.approx(np.std(committee.noise[absent, video], ddof=1))
    assert inside.max() < 100
    np.testing.assert_allclose(outside, committee.noise[:12, 30:40].std(axis=0, ddof=1))


def test_bootstrap_keeps_the_size_of_every_data_set() -> None:
    data, committee = numbered(30, [0] * 20 + [1] * 10), Committee(30)
    committee_spread(data, committee, 6, np.zeros((1, 1)), seed=0)
    for drawn in committee.draws:
        assert (sum(video < 20 for video in drawn), sum(video >= 20 for video in drawn)) == (20, 10)
        assert len(set(drawn)) < 30  # with replacement


def test_a_video_that_hardly_any_member_left_out_gets_the_mean_spread() -> None:
    # A data set of one is drawn every time.
    data, committee = numbered(21, [0] * 20 + [1]), Committee(21)
    inside, _ = committee_spread(data, committee, 12, np.zeros((1, 1)), seed=0)
    absent = np.array([sum(video not in drawn for drawn in committee.draws) for video in range(21)])
    assert absent[20] == 0
    assert inside[20] == pytest.approx(inside[absent >= 2].mean())


def test_no_video_left_out_twice_is_no_spread() -> None:
    data = numbered(3, [0, 1, 2])
    inside, outside = committee_spread(data, memorise, 4, np.array([[7.0]]), seed=0)
    assert inside.tolist() == [0, 0, 0]
    assert outside.tolist() == [0]


def test_deterministic() -> None:
    data, others = numbered(25), np.arange(5.0)[:, None]
    first, again, different = (committee_spread(data, Committee(25), 8, others, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != different[0]).any()

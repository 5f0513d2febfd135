"""Fine-tuning by ranking: learns the order of the new labels, whatever scale they are on, and keeps the source's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mdsvqa.models.settings import FinetuningSettings
from mdsvqa.models.statistical.finetune import finetune, rank_pairs, train
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, fit_statistical
from mdsvqa.models.statistical.two_domain_gp import finetune_two_domains

Floats = NDArray[np.float64]
SETTINGS = FinetuningSettings(method="ranking")


def source(size: int = 60, seed: int = 0) -> LabeledFeatures:
    """A domain where only the first feature makes quality."""
    features = np.random.default_rng(seed).normal(size=(size, 4))
    return LabeledFeatures(features, 3 + np.tanh(features[:, 0]), np.zeros(size, np.int64), np.zeros(size, bool))


def target(size: int = 30, seed: int = 1) -> LabeledFeatures:
    """Another domain, elsewhere in the space, where the second feature makes quality."""
    features = np.random.default_rng(seed).normal(size=(size, 4)) + np.array([0, 0, 2.5, 0])
    return LabeledFeatures(features, 3 + np.tanh(features[:, 1]), np.ones(size, np.int64), np.ones(size, bool))


@pytest.fixture(scope="module")
def base() -> KernelModel:
    return fit_statistical(source(), cost=10.0, gamma=0.1)


@pytest.fixture(scope="module")
def tuned(base: KernelModel) -> KernelModel:
    return finetune(base, source().join(target()), SETTINGS)


def srcc(model: KernelModel, data: LabeledFeatures) -> float:
    return float(spearmanr(model.predict(data.features), data.mos).statistic)


def assert_same(first: KernelModel, second: KernelModel) -> None:
    arrays, others = first.arrays(), second.arrays()
    assert arrays.keys() == others.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, others[name])


def test_ranks_the_new_domain_better(base: KernelModel, tuned: KernelModel) -> None:
    assert srcc(base, target()) < 0.4
    assert srcc(tuned, target()) > 0.9
    assert srcc(tuned, target(200, seed=2)) > srcc(base, target(200, seed=2)) + 0.4


def test_keeps_what_it_knew(base: KernelModel, tuned: KernelModel) -> None:
    unseen = source(200, seed=3)
    assert srcc(base, unseen) > 0.9
    # All of it, and no more, is what the new domain costs; with half of the weight on the source it is less.
    even = finetune(base, source().join(target()), SETTINGS.model_copy(update={"target_weight": 0.5}))
    assert srcc(even, source()) > 0.95
    assert srcc(even, unseen) > 0.8
    assert srcc(base, unseen) > srcc(even, unseen) > srcc(tuned, unseen) > 0.7


def test_scores_are_on_the_source_s_scale(tuned: KernelModel) -> None:
    # A least-squares line of MOS on the scores has slope 1 and offset 0 once the scores have been put on it.
    data = source()
    slope, offset = np.polyfit(tuned.predict(data.features), data.mos, 1)
    assert slope == pytest.approx(1.0, abs=1e-6)
    assert offset == pytest.approx(0.0, abs=1e-5)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([0.25, 1.0, 8.0]), st.sampled_from([-50.0, 0.0, 2.0]))
def test_another_scale_of_the_new_labels_changes_nothing(slope: float, offset: float) -> None:
    base = fit_statistical(source(), cost=10.0, gamma=0.1)
    new = target(12)
    moved = replace(new, mos=offset + slope * new.mos)
    assert_same(finetune(base, source().join(new), SETTINGS), finetune(base, source().join(moved), SETTINGS))


def test_only_the_order_of_the_new_labels_counts(base: KernelModel) -> None:
    new = target(12)
    ranks = replace(new, mos=np.exp(3 * new.mos))
    assert_same(finetune(base, source().join(new), SETTINGS), finetune(base, source().join(ranks), SETTINGS))


def test_a_shift_between_two_new_studies_changes_nothing(base: KernelModel) -> None:
    first, second = target(12), replace(target(12, seed=5), dataset=np.full(12, 2))
    shifted = replace(second, mos=second.mos + 40)
    there = finetune(base, source().join(first).join(second), SETTINGS)
    assert_same(there, finetune(base, source().join(first).join(shifted), SETTINGS))
    # As one study the shift would be the greatest difference of all.
    one = replace(shifted, dataset=np.ones(12, np.int64))
    together = finetune(base, source().join(first).join(one), SETTINGS)
    assert not np.allclose(there.predict(first.features), together.predict(first.features))


def test_one_new_label_has_no_pair_and_teaches_nothing_new(base: KernelModel) -> None:
    one = target(1)
    for mos in (1.0, 5.0):
        tuned = finetune(base, source().join(replace(one, mos=np.array([mos]))), SETTINGS)
        assert srcc(tuned, source()) > 0.9
        if mos == 1.0:
            first = tuned
    assert_same(first, tuned)


def test_stiffer_moves_less(base: KernelModel) -> None:
    data = source().join(target())
    before = base.predict(data.features)

    def correction_norm(stiffness: float) -> float:
        model = finetune(base, data, FinetuningSettings(method="ranking", stiffness=stiffness))
        added = model.weights[len(base.weights) :] / np.polyfit(before, model.predict(data.features), 1)[0]
        z = base.standardise(data.features)
        return float(added @ base.kernel(z, z) @ added)

    assert correction_norm(10.0) < 0.1 * correction_norm(0.02)


def test_deterministic_where_pairs_are_drawn(base: KernelModel) -> None:
    few, data = FinetuningSettings(method="ranking", most_pairs=200), source().join(target())
    assert_same(finetune(base, data, few, seed=1), finetune(base, data, few, seed=1))
    first, second = (finetune(base, data, few, seed=seed).predict(data.features) for seed in (1, 2))
    assert (first != second).any()


def test_saved_and_loaded_it_predicts_the_same(tuned: KernelModel, tmp_path: Path) -> None:
    tuned.save(tmp_path / "new" / "model.safetensors")
    loaded = KernelModel.load(tmp_path / "new" / "model.safetensors")
    assert_same(tuned, loaded)
    x = target(50, seed=9).features
    np.testing.assert_array_equal(tuned.predict(x), loaded.predict(x))


def test_can_be_fine_tuned_again(tuned: KernelModel) -> None:
    again = finetune(tuned, source().join(target()).join(replace(target(20, seed=7), dataset=np.full(20, 2))), SETTINGS)
    assert srcc(again, target(200, seed=2)) > 0.8


def test_training_without_new_labels_is_the_regression() -> None:
    data = replace(source(), dataset=np.repeat([0, -1], 30))
    expected = fit_statistical(data, cost=3.0, gamma=0.2)
    assert_same(train(expected, data, SETTINGS, seed=0), expected)


def test_training_with_new_labels_is_regression_then_fine_tuning() -> None:
    data = source().join(target())
    start = fit_statistical(source(), cost=3.0, gamma=0.2)
    assert_same(train(start, data, SETTINGS, seed=4), finetune(start, data, SETTINGS, seed=4))


def test_labels_that_contradict_the_source_do_not_turn_the_scale_around() -> None:
    # The same videos, labeled upside down: nothing is learned rather than a negative slope.
    base = fit_statistical(source(), cost=10.0, gamma=0.1)
    upside_down = replace(source(), mos=6 - source().mos, dataset=np.ones(60, np.int64))
    tuned = finetune(base, source().join(upside_down), SETTINGS)
    assert np.isfinite(tuned.predict(source().features)).all()
    assert srcc(tuned, source()) >= -0.1


def test_the_default_is_the_gaussian_process_over_both_domains(base: KernelModel) -> None:
    data = source().join(target())
    assert_same(finetune(base, data, FinetuningSettings()), finetune_two_domains(base, data))


def test_all_weight_on_the_target_makes_source_labels_count_for_nothing(base: KernelModel) -> None:
    other = replace(source(), mos=source().mos[::-1])
    only = SETTINGS.model_copy(update={"target_weight": 1.0})
    first, second = (rank_pairs(base, each.join(target()), only) for each in (source(), other))
    assert spearmanr(first.predict(target().features), second.predict(target().features)).statistic > 0.999

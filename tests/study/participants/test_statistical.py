"""The embedded model in a study: honest errors, books that are kept, labels that are used."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from arrays import config, model_of, pool_of, study
from mdsvqa.selection.catalogue import rule_named
from mdsvqa.study.contracts import NewLabels, Refittable
from mdsvqa.study.data import StudyData
from mdsvqa.study.failure_predictors import FromFeatures
from mdsvqa.study.participants.statistical import StatisticalModel


@pytest.fixture(scope="module")
def data() -> StudyData:
    return study(pool=60)


@pytest.fixture(scope="module")
def f(data: StudyData) -> StatisticalModel:
    return model_of(data)


def rate(f: StatisticalModel, data: StudyData, rule: str = "mds") -> np.ndarray:
    return FromFeatures(config().difficulty)(rule_named(rule), f, data, data.pool, 0).difficulty


def test_it_learns_from_new_labels(f: StatisticalModel, data: StudyData) -> None:
    index = data.pool[:40]
    test, mos = data.target_test, data.mos(data.target_test)

    def agreement(model: StatisticalModel) -> float:
        return spearmanr(model.scores(data).score[test], mos).statistic

    right = f.finetuned(data, NewLabels(index, data.mos(index)), 1, 0)
    wrong = f.finetuned(data, NewLabels(index, 6 - data.mos(index)), 1, 0)
    assert agreement(right) > agreement(f) + 0.3
    assert agreement(wrong) < agreement(f) - 0.3


def test_it_keeps_books(f: StatisticalModel, data: StudyData) -> None:
    first, second = data.pool[[3, 7]], data.pool[[5]]
    twice = f.finetuned(data, NewLabels(first, np.array([2.0, 4.0])), 1, 0)
    twice = twice.finetuned(data, NewLabels(second, np.array([3.0])), 2, 0)
    assert twice.base is f.base
    assert len(f.labeled) == 40
    np.testing.assert_array_equal(twice.labeled.mos[40:], [2, 4, 3])
    np.testing.assert_array_equal(twice.labeled.dataset[40:], [1, 1, 1])
    np.testing.assert_array_equal(twice.labeled.new, np.arange(43) >= 40)
    np.testing.assert_array_equal(twice.labeled.features[40:], data.features[[*first, *second]])
    # From the base on all labels, not from the last model: the way there leaves no trace.
    whole = NewLabels(np.concatenate([first, second]), np.array([2.0, 4.0, 3.0]))
    np.testing.assert_array_equal(f.finetuned(data, whole, 1, 0).model.weights, twice.model.weights)


def test_difficulty_does_not_see_the_pool_s_labels(f: StatisticalModel, data: StudyData) -> None:
    found = rate(f, data)
    assert found.shape == (60,)
    assert np.isfinite(found).all()
    hidden = replace(data, videos=[replace(v, mos=None) if v.split == "pool" else v for v in data.videos])
    np.testing.assert_array_equal(rate(f, hidden), found)


def test_new_labels_change_difficulty(f: StatisticalModel, data: StudyData) -> None:
    index = data.pool[:10]
    after = f.finetuned(data, NewLabels(index, data.mos(index)), 1, 0)
    assert spearmanr(rate(f, data), rate(after, data)).statistic < 0.999


def test_ten_source_videos_are_enough_for_difficulty_too() -> None:
    # As many as the regression asks for; the folds of the cross-fitting train on fewer.
    few = study(source=10)
    assert np.isfinite(rate(model_of(few), few)).all()


def test_it_can_be_refitted_and_forms_a_committee(f: StatisticalModel, data: StudyData) -> None:
    assert isinstance(f, Refittable)
    spread = rate(f, data, "committee")
    assert (spread > 0).all()
    rules = [rule_named(name) for name in ("mds", "committee", "random")]
    every = FromFeatures(config().difficulty).every(rules, f, data, data.pool, 0)
    assert set(every) == {"predicted", "committee"}
    np.testing.assert_array_equal(every["committee"], spread)
    np.testing.assert_array_equal(every["predicted"], rate(f, data))


def test_pool_take() -> None:
    pool = pool_of(study())
    taken = pool.take(np.array([4, 1]))
    assert taken.ids == ["v04", "v01"]
    np.testing.assert_array_equal(taken.index, pool.index[[4, 1]])
    np.testing.assert_array_equal(taken.content.of(0), pool.content.of(4))

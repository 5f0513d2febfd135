"""From f and its labels to difficulty, on a made-up f whose errors are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.difficulty.choice import Validated
from mdsvqa.difficulty.cross_fitting import Predict
from mdsvqa.difficulty.prediction import (
    Prediction,
    predict_difficulty,
    refitted_source,
    usual_predictor,
    write_choice,
)
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.kernel_model import LabeledFeatures

Floats = NDArray[np.float64]
# The default prior is for sixty features that transfer badly; here one of four is the whole truth.
SETTINGS = DifficultySettings(features_share=3.0, predictor="linear", error="raw")


def videos(size: int, seed: int) -> LabeledFeatures:
    """MOS rises with the first feature; the second says by how much f, which does not read it, is wrong."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(size, 4))
    mos = 3 + 0.4 * features[:, 0] + 0.5 * np.exp(features[:, 1]) * rng.choice([-1, 1], size)
    return LabeledFeatures(features, mos, np.zeros(size, np.int64), np.zeros(size, bool))


def line(data: LabeledFeatures) -> Predict:
    slope, offset = np.polyfit(data.features[:, 0], data.mos, 1)
    return lambda features: slope * features[:, 0] + offset


def test_refitted_errors_are_cross_fitted() -> None:
    data = videos(60, seed=0)
    labels = dict(zip(data.features[:, 0].tolist(), data.mos.tolist(), strict=True))

    def memorise(trained_on: LabeledFeatures) -> Predict:
        known = set(trained_on.features[:, 0].tolist())
        return lambda features: np.array([labels[x] if x in known else 9.0 for x in features[:, 0].tolist()])

    pool = data.features[:5] + 100
    source, unlabeled = refitted_source(data, pool, np.full(5, 3.0), _shifted(memorise), SETTINGS, seed=0)
    np.testing.assert_allclose(source.error, np.abs(9.0 - data.mos))
    np.testing.assert_allclose(source.videos.score, 9.0)
    assert unlabeled.spread.shape == (5,)


def _shifted(refit):
    """The pool's videos are no video of the labels."""

    def refitted(data: LabeledFeatures) -> Predict:
        predict = refit(data)
        return lambda x: np.where(x[:, 0] > 50, 3.0, predict(np.where(x > 50, data.features[:1], x)))

    return refitted


def difficulty(seed: int = 0) -> tuple[LabeledFeatures, Floats]:
    data, pool = videos(150, seed=1), videos(200, seed=2)
    source, unlabeled = refitted_source(data, pool.features, line(data)(pool.features), line, SETTINGS, seed)
    return pool, predict_difficulty(source, unlabeled, SETTINGS, seed).difficulty


def test_finds_what_makes_f_fail() -> None:
    pool, found = difficulty()
    error = np.abs(line(videos(150, seed=1))(pool.features) - pool.mos)
    assert spearmanr(found, pool.features[:, 1]).statistic > 0.7
    assert spearmanr(found, error).statistic > 0.4


def test_deterministic() -> None:
    np.testing.assert_array_equal(difficulty()[1], difficulty()[1])


def test_a_pool_video_alone_gets_the_same_difficulty() -> None:
    data, pool = videos(50, seed=1), videos(8, seed=2)
    score = line(data)(data.features)
    source = KnownErrors.of(Unlabeled.of(data.features, score), data.mos, data.dataset, SETTINGS, 0)

    def rate(features: Floats) -> Floats:
        return predict_difficulty(source, Unlabeled.of(features, line(data)(features)), SETTINGS).difficulty

    together = rate(pool.features)
    np.testing.assert_allclose([rate(row[None])[0] for row in pool.features], together, rtol=1e-9)


def test_missing_and_far_away_features_give_finite_difficulty() -> None:
    data = videos(50, seed=1)
    data.features[3, 2] = np.nan
    pool = np.array([[0.0, np.nan, np.nan, np.nan], [1.0, 1e12, -1e12, 0.0]])
    source, _ = refitted_source(data, data.features[:2], np.zeros(2), line, SETTINGS, seed=0)
    unlabeled = Unlabeled.of(pool, np.array([3.0, 1.0]), np.array([0.0, 5.0]))
    found = predict_difficulty(source, unlabeled, SETTINGS).difficulty
    assert np.isfinite(found).all()


@pytest.mark.parametrize("folds", [2, 10])
def test_number_of_folds_is_that_of_the_settings(folds: int) -> None:
    trained: list[int] = []

    def counting(data: LabeledFeatures) -> Predict:
        trained.append(len(data))
        return line(data)

    setting = DifficultySettings(folds=folds, committee=4)
    refitted_source(videos(60, seed=0), np.zeros((1, 4)), np.zeros(1), counting, setting, seed=0)
    # The last one is f itself, for rules that ask it.
    assert trained == [60 - 60 // folds] * folds + [60] * 5


def test_a_predictor_that_is_named_is_used_and_auto_chooses_one() -> None:
    data = videos(80, seed=1)
    source, unlabeled = refitted_source(data, data.features[:9], data.mos[:9], line, SETTINGS, seed=0)
    named = predict_difficulty(source, unlabeled, DifficultySettings(predictor="few-inputs"))
    assert (named.predictor, list(named.validated)) == ("few-inputs", [])
    few = DifficultySettings(predictor="auto", trees=10)
    found, again = (predict_difficulty(source, unlabeled, few) for _ in range(2))
    assert [each.name for each in found.validated] == list(PREDICTORS)
    assert found.predictor in PREDICTORS
    assert found.predictor in str(found)
    np.testing.assert_array_equal(found.difficulty, again.difficulty)
    rule = predict_difficulty(source, unlabeled, few, rule="lowest-score")
    assert (rule.predictor, rule.difficulty.tolist()) == ("lowest-score", (-data.mos[:9]).tolist())


def test_auto_is_settled_where_f_was_refitted() -> None:
    assert usual_predictor(DifficultySettings(), refitted=True).predictor == "linear"
    assert usual_predictor(DifficultySettings(), refitted=False).predictor == "auto"
    assert usual_predictor(DifficultySettings(predictor="forest"), refitted=True).predictor == "forest"


def test_the_choice_is_written_beside_the_table_as_json(tmp_path: Path) -> None:
    validated = [Validated("linear", [0.5, float("nan")], [30, 10]), Validated("forest", [0.25, 0.25], [30, 10])]
    write_choice(tmp_path, Prediction(np.zeros(1), "linear", validated))
    assert json.loads((tmp_path / "_predictor.json").read_text()) == {
        "predictor": "linear",
        "validated": [
            {"name": "linear", "srcc": [0.5, None], "weights": [30, 10], "mean": 0.375},
            {"name": "forest", "srcc": [0.25, 0.25], "weights": [30, 10], "mean": 0.25},
        ],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["_predictor.json"]

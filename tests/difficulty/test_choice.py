"""The choice of a predictor: groups, honesty, and the preference for the simple."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from mdsvqa.difficulty import choice
from mdsvqa.difficulty.base import Predictor
from mdsvqa.difficulty.choice import Validated, best_predictor, content_groups, cross_validate
from mdsvqa.difficulty.settings import DifficultySettings

SETTINGS = DifficultySettings(trees=10)


def test_five_data_sets_are_groups_and_fewer_are_clustered(make_source) -> None:
    many, few = make_source(60, datasets=5), make_source(60, datasets=4)
    assert content_groups(many, 0) is many.dataset
    few.videos.features[:20] += 100
    groups = content_groups(few, 0)
    assert len(np.unique(groups)) == 5
    assert not set(groups[:20]) & set(groups[20:])


def test_no_predictor_sees_the_group_it_is_judged_on(make_source, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(60, datasets=5)
    seen = []

    def recording(known, pool, settings, seed):
        seen.append((set(known.videos.score), set(pool.score)))
        return pool.features[:, 1]

    monkeypatch.setattr(choice, "PREDICTORS", {"recording": Predictor("recording", recording, "")})
    (found,) = cross_validate(source, SETTINGS, 0)
    assert len(seen) == 5
    assert all(not known & held_out and len(known | held_out) == 60 for known, held_out in seen)
    assert found.weights == [12] * 5
    for code, value in enumerate(found.srcc):
        part = source.dataset == code
        expected = spearmanr(source.videos.features[part, 1], source.error[part]).statistic
        assert value == pytest.approx(expected)


def test_chooses_what_finds_the_errors(make_source) -> None:
    found = cross_validate(make_source(200), SETTINGS, 0)
    # Both learn the signed error; a Gaussian process of it is the better where errors are smooth, as here.
    assert best_predictor(found) in ("second-opinion", "process-opinion")


def test_too_few_videos_to_judge_take_the_simplest(make_source) -> None:
    found = cross_validate(make_source(10), SETTINGS, 0)
    assert best_predictor(found) == "few-inputs"


def test_the_mean_is_weighted_by_videos() -> None:
    assert Validated("x", [0.5, 0.0], [30, 10]).mean == 0.375
    assert Validated("x", [float("nan"), 0.4], [10, 10]).mean == 0.2
    assert Validated("x", [], []).mean == 0

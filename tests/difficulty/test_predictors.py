"""Forest, second opinion and rank average: on errors that no line on few inputs finds."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, rankdata, spearmanr

from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.difficulty.forest import forest
from mdsvqa.difficulty.rank_average import rank_average
from mdsvqa.difficulty.ranker import few_inputs, linear
from mdsvqa.difficulty.second_opinion import expected_size, second_opinion
from mdsvqa.difficulty.settings import DifficultySettings

SETTINGS = DifficultySettings(trees=30)


@pytest.mark.parametrize(("name", "least"), [("forest", 0.5), ("second-opinion", 0.85), ("rank-average", 0.5)])
def test_finds_errors_of_either_sign(name: str, least: float, make_source) -> None:
    source, pool = make_source(200), make_source(150, seed=1)
    found = PREDICTORS[name].predict(source, pool.videos, SETTINGS, 0)
    assert spearmanr(found, pool.error).statistic > least
    # Which is more than a line can find in a feature that counts by its size.
    for line in (few_inputs, linear):
        assert spearmanr(line(source, pool.videos, SETTINGS, 0), pool.error).statistic < 0.4


@pytest.mark.parametrize("name", PREDICTORS)
@pytest.mark.parametrize("kind", ["raw", "calibrated", "rank"])
def test_every_predictor_is_finite_and_deterministic(name: str, kind: str, make_source) -> None:
    settings = DifficultySettings(trees=5, error=kind)
    source, pool = make_source(40, datasets=3, settings=settings), make_source(12, seed=1).videos
    source.videos.features[3, 1] = np.nan
    first, again = (PREDICTORS[name].predict(source, pool, settings, 7) for _ in range(2))
    assert first.shape == (12,)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)


def test_the_forest_learns_ranks_within_a_data_set(make_source) -> None:
    source, pool = make_source(60, datasets=2), make_source(10, seed=1).videos
    before = forest(source, pool, SETTINGS, 0)
    # Errors of one data set twice as large: its ranks are what they were.
    wider = source.placed + np.where(source.dataset == 1, 2, 1) * (source.truth - source.placed)
    source.truth[:] = wider
    np.testing.assert_allclose(forest(source, pool, SETTINGS, 0), before)


def test_f_s_own_readings_are_an_input(make_source) -> None:
    source, pool = make_source(100), make_source(60, seed=1)
    source.videos.readings[:] = source.error
    pool.videos.readings[:] = pool.error
    found = few_inputs(source, pool.videos, SETTINGS, 0)
    assert spearmanr(found, pool.error).statistic > 0.95


@pytest.mark.parametrize("mean", [0.0, 0.3, -2.0])
def test_expected_size_is_the_integral(mean: float) -> None:
    expected = quad(lambda x: abs(x) * norm.pdf(x, mean, 0.7), -9, 9, points=[0])[0]
    assert expected_size(np.array([mean]), 0.7)[0] == pytest.approx(expected)
    assert expected_size(np.array([mean]), 0.0)[0] == abs(mean)


def test_rank_average_by_hand(make_source) -> None:
    source, pool = make_source(60), make_source(9, seed=1).videos
    members = [rule(source, pool, SETTINGS, 0) for rule in (few_inputs, forest, second_opinion)]
    expected = sum(rankdata(member) for member in members) / 27
    np.testing.assert_allclose(rank_average(source, pool, SETTINGS, 0), expected)

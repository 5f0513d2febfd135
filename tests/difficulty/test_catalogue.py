"""The rules that predictors are compared with."""

from dataclasses import replace

import numpy as np
import pytest

from mdsvqa.difficulty.base import Unlabeled
from mdsvqa.difficulty.catalogue import BASELINES
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.errors import InputError

SETTINGS = DifficultySettings()


def test_lowest_score_and_committee_are_what_they_say(make_source) -> None:
    pool = Unlabeled.of(np.zeros((3, 4)), np.array([2.0, 5.0, 1.0]), np.array([0.1, 0.3, 0.2]))
    source = make_source(20)
    assert BASELINES["lowest-score"].predict(source, pool, SETTINGS, 0).argsort().tolist() == [1, 0, 2]
    assert BASELINES["committee"].predict(source, pool, SETTINGS, 0).tolist() == [0.1, 0.3, 0.2]


def test_distance_is_that_to_the_source(make_source) -> None:
    source, pool = make_source(20), make_source(5, seed=1).videos
    np.testing.assert_array_equal(BASELINES["distance"].predict(source, pool, SETTINGS, 0), source.distances(pool))


def test_random_depends_on_the_seed_alone(make_source) -> None:
    source, pool = make_source(20), make_source(5, seed=1).videos
    first, again, other = (BASELINES["random"].predict(source, pool, SETTINGS, seed) for seed in (3, 3, 4))
    assert first.tolist() == again.tolist() != other.tolist()


def test_noise_stability_of_a_linear_f_is_the_same_everywhere_and_of_a_kink_is_not(make_source) -> None:
    source = make_source(40)
    pool = Unlabeled.of(np.array([[-3.0, 0, 0, 0], [3.0, 0, 0, 0]]), np.zeros(2))
    even = replace(source, predict=lambda x: x[:, 0])
    found = BASELINES["noise-stability"].predict(even, pool, SETTINGS, 0)
    assert found[0] == pytest.approx(found[1])
    # Noise of 0.1 standard deviations; 20 draws of it.
    assert found[0] == pytest.approx(0.1 * source.videos.features[:, 0].std(), rel=0.5)
    kink = replace(source, predict=lambda x: np.maximum(x[:, 0], 0))
    assert BASELINES["noise-stability"].predict(kink, pool, SETTINGS, 0)[0] == 0


@pytest.mark.parametrize("rule", ["committee", "noise-stability"])
def test_rules_that_need_f_say_so(rule: str, make_source) -> None:
    with pytest.raises(InputError, match=f"rule {rule}: needs an f"):
        BASELINES[rule].predict(make_source(20), make_source(5).videos, SETTINGS, 0)

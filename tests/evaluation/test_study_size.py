"""Simulated studies against closed forms for normal scores."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from mdsvqa.evaluation.study_size import NOISE, SPREAD, Design, StudySize, ratings_for, study_size
from mdsvqa.runtime.errors import InputError

POOL = norm.ppf((np.arange(2000) + 0.5) / 2000)


@pytest.mark.parametrize("true_srcc", [0.4, 0.75])
def test_normal_scores_by_closed_forms(true_srcc: float) -> None:
    found = study_size(POOL, true_srcc=true_srcc, videos=[200], raters=[5, 20], studies=1500)
    assert [(design.videos, design.raters) for design in found.designs] == [(200, 5), (200, 20)]
    latent = 2 * math.sin(math.pi * true_srcc / 6)
    for design in found.designs:
        # Noise of MOS attenuates Pearson's correlation by the root of the reliability.
        measured = latent * SPREAD / math.sqrt(SPREAD**2 + NOISE**2 / design.raters)
        expected = 6 / math.pi * math.asin(measured / 2)
        assert design.attenuation == pytest.approx(expected / true_srcc, abs=0.01)
        # Bonett and Wright (2000).
        half = 1.96 * math.sqrt((1 + expected**2 / 2) / 197)
        width = math.tanh(math.atanh(expected) + half) - math.tanh(math.atanh(expected) - half)
        assert design.width == pytest.approx(width, rel=0.07)


def test_more_is_narrower() -> None:
    found = study_size(POOL, true_srcc=0.7, studies=300)
    assert {design.videos for design in found.designs} == {50, 100, 200, 400, 800, 1600}
    by_size = {(design.videos, design.raters): design for design in found.designs}
    for count in (5, 24):
        widths = [by_size[videos, count].width for videos in (50, 100, 200, 400)]
        assert widths == sorted(widths, reverse=True)
    for videos in (100, 400):
        kept = [by_size[videos, count].attenuation for count in (5, 10, 15, 24, 40)]
        assert kept == sorted(kept)
        assert kept[-1] < 1


def test_without_noise_nothing_is_lost() -> None:
    found = study_size(POOL, true_srcc=0.7, noise=0.0, videos=[300], raters=[1], studies=400)
    assert found.designs[0].attenuation == pytest.approx(1, abs=0.01)


def test_smallest_design() -> None:
    found = StudySize(0.7, 0.8, [Design(100, 20, 0.9, 0.2), Design(200, 10, 0.9, 0.15), Design(400, 10, 0.9, 0.1)])
    assert found.smallest(0.15) == found.designs[1]
    assert found.smallest(0.3) == found.designs[0]  # as many ratings as the second, fewer videos
    assert found.smallest(0.05) is None


def test_true_srcc_and_quality_come_from_labels() -> None:
    rng = np.random.default_rng(0)
    mos = np.clip(3 + 0.6 * POOL + 0.5 * rng.normal(size=2000), 1, 5)
    labels = np.where(rng.random(2000) < 0.2, mos, np.nan)
    found = study_size(POOL, labels, videos=[100], raters=[10], studies=50)
    assert found.srcc == pytest.approx(0.75, abs=0.06)
    assert study_size(POOL, labels, true_srcc=0.5, videos=[100], raters=[10], studies=50).srcc == 0.5
    assert found == study_size(POOL, labels, videos=[100], raters=[10], studies=50)
    assert found != study_size(POOL, labels, videos=[100], raters=[10], studies=50, seed=1)


def test_only_as_many_videos_as_the_pool_has() -> None:
    found = study_size(POOL[::10], true_srcc=0.7, raters=[10], studies=50)
    assert [design.videos for design in found.designs] == [50, 100, 200]


def test_refused() -> None:
    with pytest.raises(InputError, match="no video is labeled"):
        study_size(POOL)
    with pytest.raises(InputError, match="hand in their negative"):
        study_size(POOL, 3 - POOL / 4)
    with pytest.raises(InputError, match=r"above 0 and below 1; found 1\.2"):
        study_size(POOL, true_srcc=1.2)
    with pytest.raises(InputError, match="not all the same"):
        study_size(np.ones(50), true_srcc=0.7)
    with pytest.raises(InputError, match="not on the 1-5 scale"):
        study_size(POOL, 50 + POOL + np.random.default_rng(0).normal(size=2000))
    with pytest.raises(InputError, match=r"cannot reach an SRCC of 0\.900"):
        study_size(np.repeat([1.0, 2.0], [10, 90]), true_srcc=0.9)


def test_ratings_for_an_interval_are_the_fewest():
    for half_width in (0.2, 0.35, 0.5):
        n = ratings_for(half_width, 0.7)
        assert 1.96 * 0.7 / np.sqrt(n) <= half_width < 1.96 * 0.7 / np.sqrt(n - 1)
    assert ratings_for(5.0) == 1

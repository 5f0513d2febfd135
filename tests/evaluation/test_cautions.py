"""Cautions come where they are due and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import iqr

from mdsvqa.evaluation.cautions import few, narrow, rmse_grown, spread_ratio
from mdsvqa.evaluation.datasets import dataset_cautions

RNG = np.random.default_rng(0)
MOS = RNG.uniform(1, 5, 80)


@given(st.floats(0.01, 3), st.floats(-2, 2))
def test_spread_by_scipy(factor: float, shift: float) -> None:
    score = np.sort(MOS)[::-1] ** 2 * factor + shift
    expected = min(np.std(score) / np.std(MOS), iqr(score) / iqr(MOS))
    assert spread_ratio(score, MOS) == pytest.approx(expected)


def test_collapsed_models_are_told_and_others_are_not() -> None:
    collapsed = 3 + 0.01 * RNG.normal(size=80)
    assert "hardly differ" in narrow(collapsed, MOS)
    # One far score, or two answers that half of the videos share.
    assert "hardly differ" in narrow(np.append(collapsed[:-1], 5.0), MOS)
    assert "hardly differ" in narrow(np.where(np.arange(80) < 65, 3.0, 4.0), MOS)
    assert "hardly differ" in narrow(np.full(80, 3.0), MOS, "They")
    for correlation in (0.3, 0.6, 0.9):
        calibrated = 3 + correlation * (correlation * (MOS - 3) + np.sqrt(1 - correlation**2) * RNG.normal(0, 1.15, 80))
        assert narrow(calibrated, MOS) == ""
    assert narrow(MOS * 100, MOS) == ""
    assert narrow(MOS, np.full(80, 3.0)) == ""


def test_few_videos() -> None:
    assert few(30) == ""
    assert few(29) == "There are only 29 videos: other ones may give quite other figures."
    assert few(8, "The set has").endswith("figures.")
    assert few(7, "The set has").endswith("With fewer than 8 the interval of a high SRCC is too short.")


def test_an_error_that_doubled() -> None:
    before = MOS + 0.3 * RNG.normal(size=80)
    assert rmse_grown(before, before + 0.1, MOS) == ""
    assert rmse_grown(before, before, MOS) == ""
    moved = rmse_grown(before, before + 2, MOS)
    first, last = (np.sqrt(np.mean((score - MOS) ** 2)) for score in (before, before + 2))
    assert f"went from {first:.3f} to {last:.3f}" in moved
    assert rmse_grown(MOS, MOS, MOS) == ""
    assert rmse_grown(MOS, MOS + 1, MOS) != ""


def test_each_data_set_has_its_own() -> None:
    score = np.concatenate([MOS[:40], np.full(40, 3.0)])
    names = ["a"] * 40 + ["b"] * 33 + ["c"] * 7
    found = dataset_cautions(score, MOS, names)
    assert len(found) == 3
    assert found[0].startswith("The scores on data set 'b' hardly differ")
    assert found[1].startswith("Data set 'c' has only 7 videos")
    assert dataset_cautions(MOS, MOS) == []

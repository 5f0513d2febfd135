"""Intervals on the scale of the new labels, against normal draws whose coverage is known."""

import numpy as np
import pytest

from mdsvqa.evaluation.coverage import label_intervals


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (20.0, -7.0)])
def test_normal_labels_lie_inside_as_often_as_the_level_says(level: float, slope: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    score, spread = rng.normal(3, 0.6, 20_000), rng.uniform(0.1, 0.8, 20_000)
    truth = score + spread * rng.normal(size=20_000)
    unit = float(truth.std())
    found = label_intervals(score, spread, score, shift + slope * truth, unit, level)
    assert found.coverage(shift + slope * truth) == pytest.approx(level, abs=0.012)


def test_by_hand() -> None:
    # Labels have standard deviation 2, scores count 0.5 as one: stretched fourfold. Mean score 3 is mean label 10.
    found = label_intervals(np.array([3.5]), np.array([0.25]), np.array([2.0, 4.0]), np.array([8.0, 12.0]), 0.5)
    assert (found.low[0], found.high[0]) == pytest.approx((12 - 1.6449, 12 + 1.6449), abs=1e-4)
    assert found.holds(np.array([13.6])).tolist() == [True]
    assert found.holds(np.array([13.7])).tolist() == [False]

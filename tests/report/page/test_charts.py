import math

import numpy as np
import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.charts import (
    RAMP_STEPS,
    axis_around,
    forest,
    histogram,
    nice_step,
    ramp_step,
    rating_axis,
    ticks_between,
)


@pytest.mark.parametrize(("span", "step"), [(1.0, 0.2), (0.25, 0.05), (4.0, 1.0), (90.0, 20.0), (0.004, 0.001)])
def test_steps_are_one_two_or_five(span, step):
    assert nice_step(span, 5) == pytest.approx(step)


def test_ticks_hold_no_rounding_residue():
    assert ticks_between(-0.06, 0.11) == (-0.05, 0.0, 0.05, 0.1)
    assert math.copysign(1, ticks_between(-1, 1)[2]) == 1


def test_axis_leaves_room_and_survives_one_value_and_none():
    axis = axis_around([0.5, 0.7, math.nan])
    assert 0 < axis.share(0.5) < axis.share(0.7) < 1
    assert axis_around([0.6]).share(0.6) == pytest.approx(0.5)
    assert axis_around([]).ticks == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("values", "low", "high"), [([2.0, 3.0], 1, 5), ([0.4, 3.0], 0, 5), ([12.0, 88.0], 0, 100), ([], 1, 5)]
)
def test_rating_axis_is_one_to_five_unless_the_scale_is_another(values, low, high):
    axis = rating_axis(values)
    assert (axis.low, axis.high) == (low, high)


def test_forest_places_are_linear_in_the_value():
    plot = forest([("a", "open", Interval(0.5, 0.4, 0.6)), ("b", "open", None)], reference=0.5)
    row, empty = plot.rows
    assert row.dot == plot.reference == pytest.approx(50.0)
    assert row.dot - row.low == pytest.approx(row.high - row.dot)
    # Six percent of the span on either side: (0.06 * 0.2) / (1.12 * 0.2).
    assert row.low == pytest.approx(100 * 0.06 / 1.12, abs=0.01)
    assert (empty.dot, empty.text) == (None, "not measured")


def test_forest_without_bounds_draws_the_dot_only():
    (row,) = forest([("a", "open", Interval(0.5, math.nan, math.nan))]).rows
    assert row.dot is not None
    assert row.low is None
    assert row.high is None


def test_ramp_covers_all_steps_in_order():
    steps = [ramp_step(value, 1.0, 5.0) for value in np.linspace(1, 5, 100)]
    assert steps == sorted(steps)
    assert set(steps) == set(range(RAMP_STEPS))
    assert ramp_step(2.0, 2.0, 2.0) == RAMP_STEPS // 2


def test_histogram_counts_every_video_once():
    values = list(np.random.default_rng(0).uniform(1, 5, 500))
    key = histogram(values, [max(values)])
    assert sum(bar.height for bar in key.bars) * key.largest / 100 == pytest.approx(500, abs=0.1)
    assert key.selected == (100.0,)
    assert histogram([2.0, 2.0], [2.0]).selected == (50.0,)

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.curves import (
    CURVE,
    binned_means,
    budget_curve,
    calibration,
    fitted_curve,
    learning_curve,
    width_bars,
)
from mdsvqa.report.page.data import BudgetPoint, RoundResult, ScatterPoint


def test_calibration_shares_axes_and_grows_upwards_and_to_the_right():
    plot = calibration([ScatterPoint("low", 1.0, 1.0, 5.0), ScatterPoint("high", 5.0, 5.0, 1.0)], [0, 1])
    low, high = plot.before.dots
    assert low.x < high.x
    assert low.y > high.y
    assert plot.after.dots[0].x == high.x
    assert [text for _, text in plot.x_ticks] == ["1", "2", "3", "4", "5"]
    assert plot.equal == f"M{low.x} {low.y}L{high.x} {high.y}"


def test_means_and_curve_count_videos_that_are_not_drawn():
    points = [ScatterPoint(f"v{i}", 1 + 0.1 * i, 1 + 0.1 * i, 3.0) for i in range(40)]
    some, every = calibration(points, [0, 5]), calibration(points, range(40))
    assert len(some.before.dots) == 2
    assert some.before.means == every.before.means
    assert some.before.curve == every.before.curve
    # All scores equal: one bin, no curve.
    assert len(some.after.means) == 1
    assert some.after.curve == ""


def test_bins_hold_equally_many_videos_and_equal_scores_share_one():
    score = np.arange(20.0)
    assert binned_means(score, 2 * score) == [(2.0, 4.0, 5), (7.0, 14.0, 5), (12.0, 24.0, 5), (17.0, 34.0, 5)]
    tied = np.repeat([1.0, 2.0], [15, 5])
    assert binned_means(tied, np.arange(20.0)) == [(1.0, 7.0, 15), (2.0, 17.0, 5)]
    assert sum(n for *_, n in binned_means(np.random.default_rng(0).normal(size=333), np.zeros(333))) == 333


def test_the_curve_is_the_logistic_that_made_the_mos():
    score = np.linspace(1, 5, 50)
    x, y = fitted_curve(score, 1 + 4 * expit((score - 3) / 0.5))
    np.testing.assert_allclose(y, 1 + 4 * expit((x - 3) / 0.5), atol=1e-4)
    assert (x[0], x[-1]) == (1, 5)


def test_learning_curve_is_linear_in_labels():
    rounds = [
        RoundResult(turn, labels, Interval(v, v - 0.1, v + 0.1))
        for turn, labels, v in [(0, 0, 0.5), (1, 10, 0.6), (2, 40, 0.8)]
    ]
    plot = learning_curve(rounds)
    base, first, second = plot.points
    assert (first.x - base.x) * 4 == pytest.approx(second.x - base.x, abs=0.5)
    assert second.high < second.y < first.y < base.y
    assert "Round 2, 40 labels" in second.tip
    assert learning_curve(rounds[:1]) is None
    assert learning_curve([]) is None


def test_learning_curve_without_ends_draws_the_dot_only():
    unsure = Interval(0.5, math.nan, math.nan)
    plot = learning_curve([RoundResult(0, 0, unsure), RoundResult(1, 0, unsure)])
    assert all(point.low is None and point.high is None for point in plot.points)


def test_width_bars_count_every_video():
    bars = width_bars([0.1] * 3 + [0.24] * 6)
    assert bars.largest == 6
    assert sum(height for *_, height in bars.bars) == pytest.approx(150)
    # 0.1 of 0.24 in 24 bins is the start of the 11th.
    assert [x for x, _, height in bars.bars if height] == pytest.approx([100 * 10 / 24, 100 * 23 / 24], abs=0.01)
    assert bars.ticks[0] == (0.0, "0.00")
    assert width_bars([]) is None


def test_budget_curve_places_budgets_bounds_and_names() -> None:
    points = [
        BudgetPoint("none", "base", 0, 0.5),
        BudgetPoint("split", "recommended", 10, 0.70),
        BudgetPoint("split", "recommended", 20, 0.71),
        BudgetPoint("random", "random", 10, 0.69),
        BudgetPoint("random", "random", 20, 0.71),
        BudgetPoint("all", "everything", 0, 0.9),
    ]
    curve = budget_curve(points)
    assert curve is not None
    lines = {line.label: line for line in curve.lines}
    assert [len(lines[name].dots) for name in ("none", "split", "random", "all")] == [0, 2, 2, 0]
    # More is higher, and further to the right.
    assert lines["split"].dots[0].x < lines["split"].dots[1].x
    assert lines["split"].dots[0].y < lines["random"].dots[0].y
    # Names do not stand on each other, though two lines end in one place.
    heights = sorted(line.label_y for line in curve.lines)
    assert min(b - a for a, b in pairwise(heights)) >= 15
    assert max(heights) <= CURVE[1]


def test_one_budget_is_no_curve() -> None:
    assert budget_curve([BudgetPoint("split", "recommended", 10, 0.7)]) is None
    assert budget_curve([]) is None

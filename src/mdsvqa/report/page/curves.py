"""Geometry of the charts with two axes: calibration, learning curve, half-widths of MOS.

Places are in units of the charts' view boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdsvqa.evaluation.logistic import fit_logistic, logistic, map_to_mos
from mdsvqa.report.page.charts import Axis, axis_around, rating_axis, ticks_between
from mdsvqa.report.page.data import BudgetPoint, RoundResult, ScatterPoint
from mdsvqa.report.page.wording import bounds, number, tick_label
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.words import counted

PANEL = 400
LEFT, BOTTOM, TOP, RIGHT = 40, 44, 8, 8
CURVE = (440, 250)
# Of a line's name in the chart of budgets; and the lines that are level.
NAME_HEIGHT = 15
BOUNDS = ("base", "everything")
# Points of the drawn logistic.
STEPS = 60
# Bins of the binned mean, fewer where a bin would hold less videos than the second number.
BINS, FEWEST_IN_BIN = 10, 5
WIDTH_BINS = 24

Tick = tuple[float, str]


@dataclass(frozen=True)
class Dot:
    """A mark with what a reader sees when pointing at it."""

    x: float
    y: float
    key: int
    tip: str


@dataclass(frozen=True)
class CalibrationPanel:
    """One model: a dot for each video, the mean MOS of each bin of its scores, and the fitted curve as a path."""

    dots: tuple[Dot, ...]
    means: tuple[Dot, ...]
    curve: str


@dataclass(frozen=True)
class Calibration:
    """Two panels with the same axes; ticks as (place, text), `equal` is the line on which a score is the MOS."""

    before: CalibrationPanel
    after: CalibrationPanel
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    equal: str


@dataclass(frozen=True)
class LearningPoint:
    """A model of the learning curve; the ends of the interval are None where they are not known."""

    x: float
    y: float
    low: float | None
    high: float | None
    tip: str


@dataclass(frozen=True)
class LearningCurve:
    """Agreement against labels spent."""

    points: tuple[LearningPoint, ...]
    path: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class BudgetLine:
    """One rule over budgets, or a bound, whose line is level and has no dots; `label_y` is where its name stands."""

    label: str
    kind: str
    path: str
    dots: tuple[Dot, ...]
    label_y: float


@dataclass(frozen=True)
class BudgetCurve:
    """Agreement by budget: lines from top to bottom, ticks as (place, text); beyond `width` stand their names."""

    width: int
    lines: tuple[BudgetLine, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class WidthBars:
    """A histogram: bars as (x, width, height) in percent, ticks as (percent, text), videos in the highest bar."""

    bars: tuple[tuple[float, float, float], ...]
    ticks: tuple[Tick, ...]
    largest: int


@dataclass(frozen=True)
class _Frame:
    x: Axis
    y: Axis
    width: float
    height: float

    def across(self, value: float) -> float:
        return round(LEFT + (self.width - LEFT - RIGHT) * self.x.share(value), 1)

    def down(self, value: float) -> float:
        return round(TOP + (self.height - TOP - BOTTOM) * (1 - self.y.share(value)), 1)

    def path(self, x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> str:
        """The line through some points.

        An SVG path; empty without points.
        """
        places = [f"{self.across(float(a))} {self.down(float(b))}" for a, b in zip(x, y, strict=True)]
        return "M" + "L".join(places) if places else ""

    def x_ticks(self) -> tuple[Tick, ...]:
        return tuple((self.across(tick), text) for tick, text in zip(self.x.ticks, self.x.labels(), strict=True))

    def y_ticks(self) -> tuple[Tick, ...]:
        return tuple((self.down(tick), text) for tick, text in zip(self.y.ticks, self.y.labels(), strict=True))


def calibration(points: Sequence[ScatterPoint], drawn: Sequence[int]) -> Calibration:
    """MOS against f's score before and after, on one pair of axes.

    Args:
        points: the test videos; means and curves count all of them.
        drawn: places in `points` of those that get a dot.
    """
    x_axis = rating_axis(value for point in points for value in (point.before, point.after))
    frame = _Frame(x_axis, rating_axis(point.mos for point in points), PANEL, PANEL)
    mos = np.array([point.mos for point in points], np.float64)
    before, after = (
        _panel(frame, np.array(scores, np.float64), mos, [points[place].id for place in drawn], drawn)
        for scores in ([point.before for point in points], [point.after for point in points])
    )
    ends = max(frame.x.low, frame.y.low), min(frame.x.high, frame.y.high)
    return Calibration(before, after, frame.x_ticks(), frame.y_ticks(), frame.path(ends, ends))


def _panel(frame: _Frame, score: Floats, mos: Floats, ids: Sequence[str], drawn: Sequence[int]) -> CalibrationPanel:
    dots = tuple(
        Dot(
            frame.across(score[place]),
            frame.down(mos[place]),
            key,
            f"{video}\nf {number(score[place], 2)}, MOS {number(mos[place], 2)}",
        )
        for key, (place, video) in enumerate(zip(drawn, ids, strict=True))
    )
    finite = np.isfinite(score) & np.isfinite(mos)
    score, mos = score[finite], mos[finite]
    means = tuple(
        Dot(
            frame.across(x),
            frame.down(y),
            key,
            f"{counted(n, 'video')}\nmean f {number(x, 2)}, mean MOS {number(y, 2)}",
        )
        for key, (x, y, n) in enumerate(binned_means(score, mos))
    )
    return CalibrationPanel(dots, means, frame.path(*fitted_curve(score, mos)))


def binned_means(score: Floats, mos: Floats) -> list[tuple[float, float, int]]:
    """Mean score, mean MOS and number of videos in bins of about equally many videos; equal scores share a bin.

    Args:
        score, mos: shape (n,).

    >>> binned_means(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]))
    [(2.0, 3.0, 3)]
    """
    if len(score) == 0:
        return []
    bins = max(1, min(BINS, len(score) // FEWEST_IN_BIN))
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="right")
    return [
        (float(score[place == bin_].mean()), float(mos[place == bin_].mean()), int((place == bin_).sum()))
        for bin_ in np.unique(place)
    ]


def fitted_curve(score: Floats, mos: Floats) -> tuple[Floats, Floats]:
    """The logistic that precedes PLCC, or the line where that fits no worse, over the range of the scores.

    Returns:
        Scores and MOS along the curve; none with fewer than 4 videos or where all scores are equal.
    """
    if len(score) < 4 or np.ptp(score) == 0:
        return np.empty(0), np.empty(0)
    x = np.linspace(score.min(), score.max(), STEPS)
    parameters = fit_logistic(score, mos)
    if parameters is not None:
        return x, logistic(x, *parameters)
    mapped, _ = map_to_mos(score, mos)
    ends = [int(score.argmin()), int(score.argmax())]
    return score[ends], mapped[ends]


def learning_curve(rounds: Sequence[RoundResult]) -> LearningCurve | None:
    """SRCC against labels spent, None with fewer than two measured models."""
    measured = [(turn, turn.target_srcc) for turn in rounds if turn.target_srcc is not None]
    if len(measured) < 2:
        return None
    spent = max(turn.labels for turn, _ in measured)
    x_axis = Axis(-0.06 * spent, 1.06 * spent, ticks_between(0, spent, 4)) if spent else axis_around([0.0])
    y_axis = axis_around([end for _, srcc in measured for end in (srcc.value, srcc.low, srcc.high)])
    frame = _Frame(x_axis, y_axis, *CURVE)

    def end(value: float) -> float | None:
        return frame.down(value) if np.isfinite(value) else None

    points = tuple(
        LearningPoint(
            frame.across(turn.labels),
            frame.down(srcc.value),
            end(srcc.low),
            end(srcc.high),
            f"{'Base model' if turn.number == 0 else f'Round {turn.number}'}, {counted(turn.labels, 'label')}\n"
            f"SRCC {number(srcc.value)}, {bounds(srcc)}",
        )
        for turn, srcc in measured
        if np.isfinite(srcc.value)
    )
    path = "M" + "L".join(f"{point.x} {point.y}" for point in points) if points else ""
    return LearningCurve(points, path, frame.x_ticks(), frame.y_ticks())


def budget_curve(points: Sequence[BudgetPoint]) -> BudgetCurve | None:
    """SRCC against the budget of a rehearsal, None with fewer than two budgets."""
    spent = sorted({point.labels for point in points if point.kind not in BOUNDS})
    if len(spent) < 2 or not all(np.isfinite(point.srcc) for point in points):
        return None
    x_axis = Axis(0, 1.06 * spent[-1], ticks_between(0, spent[-1], 5))
    # A third of the width is for the names of the lines.
    width = round(CURVE[0] * 0.7)
    frame = _Frame(x_axis, axis_around([point.srcc for point in points]), width, CURVE[1])
    lines = []
    for label in dict.fromkeys(point.label for point in points):
        own = [point for point in points if point.label == label]
        level = own[0].kind in BOUNDS
        x = [x_axis.low, x_axis.high] if level else [point.labels for point in own]
        y = [own[0].srcc] * 2 if level else [point.srcc for point in own]
        dots = tuple(
            Dot(
                frame.across(point.labels),
                frame.down(point.srcc),
                0,
                f"{label}, {counted(point.labels, 'label')}\nSRCC {number(point.srcc)}",
            )
            for point in (() if level else own)
        )
        lines.append(BudgetLine(label, own[0].kind, frame.path(x, y), dots, frame.down(y[-1])))
    lines.sort(key=lambda line: line.label_y)
    # Names that would stand on each other move down; then all move up as far as the last is out of the chart.
    places: list[float] = []
    for line in lines:
        places.append(max(line.label_y, places[-1] + NAME_HEIGHT if places else TOP))
    below = max(0.0, places[-1] - (CURVE[1] - BOTTOM))
    moved = [replace(line, label_y=round(place - below, 1)) for line, place in zip(lines, places, strict=True)]
    return BudgetCurve(width, tuple(moved), frame.x_ticks(), frame.y_ticks())


def width_bars(half_widths: Sequence[float]) -> WidthBars | None:
    """How many videos have MOS of which half-width, None without any."""
    if not half_widths:
        return None
    high = max(half_widths) or 1.0
    counts, edges = np.histogram(half_widths, WIDTH_BINS, (0, high))
    bars = tuple(
        (round(100 * edge / high, 2), round(100 / WIDTH_BINS, 2), round(100 * int(count) / int(counts.max()), 2))
        for edge, count in zip(edges[:-1].tolist(), counts, strict=True)
    )
    ticks = ticks_between(0, high, 5)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return WidthBars(
        bars, tuple((round(100 * tick / high, 2), tick_label(tick, step)) for tick in ticks), int(counts.max())
    )

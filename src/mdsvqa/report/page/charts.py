"""Geometry of the charts: where marks go. The template draws them.

Horizontal places are percentages of the chart's width, so that a chart takes any width and its text keeps its size.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.wording import number, tick_label

# Steps of the difficulty ramp; page.css holds their colours as --ramp-0 (easy) to --ramp-6 (hard).
RAMP_STEPS = 7
HISTOGRAM_BARS = 3 * RAMP_STEPS


@dataclass(frozen=True)
class Axis:
    """A linear scale and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Place of a value along the axis: 0 at `low`, 1 at `high`."""
        return (value - self.low) / (self.high - self.low)

    def labels(self, signed: bool = False) -> list[str]:
        """The ticks as text, with no more decimals than their step needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        return [tick_label(tick, step, signed=signed) for tick in self.ticks]


@dataclass(frozen=True)
class ForestRow:
    """One row of an interval dot plot; places in percent of its width, None when there is nothing to draw."""

    label: str
    tone: str
    text: str
    dot: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forest:
    """An interval dot plot: rows, ticks as (percent, text), and the reference line in percent."""

    rows: tuple[ForestRow, ...]
    ticks: tuple[tuple[float, str], ...]
    reference: float | None


@dataclass(frozen=True)
class Bar:
    """A histogram bar in percent of width and height, with the ramp step of its colour."""

    x: float
    width: float
    height: float
    step: int


@dataclass(frozen=True)
class Histogram:
    """The pool's difficulty: bars, the selected videos as places in percent, the ends of the scale as text."""

    bars: tuple[Bar, ...]
    selected: tuple[float, ...]
    low: str
    high: str
    largest: int


def nice_step(span: float, count: int) -> float:
    """The 1, 2 or 5 times a power of ten that cuts a span into about `count` parts.

    >>> nice_step(0.37, 5)
    0.1
    """
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return min((power * factor for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / raw)))


def ticks_between(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round values inside [low, high].

    >>> ticks_between(0.62, 0.81)
    (0.65, 0.7, 0.75, 0.8)
    """
    step = nice_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 10) + 0.0 for index in range(first, last + 1))


def axis_around(values: Iterable[float], count: int = 5, padding: float = 0.06) -> Axis:
    """An axis with room on both sides of the finite values; [0, 1] when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    room = padding * (high - low)
    return Axis(low - room, high + room, ticks_between(low - room, high + room, count))


def rating_axis(values: Iterable[float]) -> Axis:
    """The 1-5 axis of MOS, or round limits around the values when a study used another scale.

    >>> rating_axis([1.2, 4.9])
    Axis(low=1.0, high=5.0, ticks=(1.0, 2.0, 3.0, 4.0, 5.0))
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=1.0), max(finite, default=5.0)
    if low >= 1 and high <= 5:
        return Axis(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0))
    # A prediction a little outside 1-5 must not shrink the other points.
    low, high = (min(low, 1.0), max(high, 5.0)) if low >= 0 and high <= 6 else (low, high)
    step = nice_step(max(high - low, 1e-6), 5)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low, high, ticks_between(low, high, 5))


def forest(
    rows: Sequence[tuple[str, str, Interval | None]], reference: float | None = None, signed: bool = False
) -> Forest:
    """An interval dot plot.

    Args:
        rows: label, tone (a CSS class) and interval; None draws an empty row.
        reference: value of the vertical line, None for no line.
        signed: numbers are differences and carry a sign.
    """
    drawn = [interval for _, _, interval in rows if interval is not None]
    ends = [end for interval in drawn for end in (interval.value, interval.low, interval.high)]
    axis = axis_around([*ends, *([] if reference is None else [reference])])

    def place(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else round(100 * axis.share(value), 2)

    return Forest(
        tuple(
            ForestRow(
                label,
                tone,
                "not measured" if interval is None else number(interval.value, signed=signed),
                *(place(end) for end in _ends(interval)),
            )
            for label, tone, interval in rows
        ),
        tuple(
            (round(100 * axis.share(tick), 2), text) for tick, text in zip(axis.ticks, axis.labels(signed), strict=True)
        ),
        place(reference),
    )


def _ends(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if interval is None else (interval.value, interval.low, interval.high)


def ramp_step(difficulty: float, low: float, high: float) -> int:
    """Step of the colour ramp: equal widths between the easiest and the hardest video of the pool.

    >>> [ramp_step(value, 1, 5) for value in (1.0, 3.0, 5.0)]
    [0, 3, 6]
    """
    if high <= low:
        return RAMP_STEPS // 2
    return min(RAMP_STEPS - 1, int(RAMP_STEPS * (difficulty - low) / (high - low)))


def histogram(difficulties: Sequence[float], selected: Sequence[float]) -> Histogram:
    """The key of the map: how difficult the pool is, and where the selected videos lie.

    Args:
        difficulties: of the whole pool, at least one.
        selected: of the selected videos.
    """
    low, high = min(difficulties), max(difficulties)
    if high <= low:
        bars: tuple[Bar, ...] = (Bar(40.0, 20.0, 100.0, RAMP_STEPS // 2),)
        return Histogram(bars, (50.0,) * len(selected), number(low, 2), number(high, 2), len(difficulties))
    counts, _ = np.histogram(difficulties, HISTOGRAM_BARS, (low, high))
    width = 100 / HISTOGRAM_BARS
    bars = tuple(
        Bar(
            round(index * width, 2),
            round(width, 2),
            round(100 * float(count) / int(counts.max()), 2),
            index // 3,
        )
        for index, count in enumerate(counts)
    )
    places = tuple(round(100 * (value - low) / (high - low), 2) for value in selected)
    return Histogram(bars, places, number(low, 2), number(high, 2), int(counts.max()))

"""The chart of predicted intervals: a line a video, a dot at its MOS."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.report.page.data import PredictedInterval

# Height of the drawing in pixels, and lines that can still be told apart.
HEIGHT, MOST = 200.0, 150
# Percent of the width that is left for the numbers at the side.
SIDE = 5.0


@dataclass(frozen=True)
class IntervalBar:
    """One video: its place in percent of the width, the ends of its interval and its MOS in pixels from the top."""

    x: float
    top: float
    bottom: float
    dot: float
    inside: bool
    title: str


@dataclass(frozen=True)
class IntervalBars:
    """The chart; `lowest` and `highest` are the MOS at its edges."""

    bars: tuple[IntervalBar, ...]
    lowest: float
    highest: float


def interval_bars(intervals: Sequence[PredictedInterval]) -> IntervalBars | None:
    """Videos from the lowest to the highest middle of their interval, at most MOST of them at equal distances."""
    if not intervals:
        return None
    order = sorted(intervals, key=lambda each: (each.low + each.high, each.id))
    places = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST)).round().astype(int))
    shown = [order[place] for place in places]
    lowest = min(min(each.low, each.mos) for each in shown)
    highest = max(max(each.high, each.mos) for each in shown)
    span = highest - lowest or 1.0

    def down(value: float) -> float:
        return round(HEIGHT * (highest - value) / span, 1)

    bars = tuple(
        IntervalBar(
            round(SIDE + (100 - SIDE) * (place + 0.5) / len(shown), 2),
            down(each.high),
            down(each.low),
            down(each.mos),
            each.low <= each.mos <= each.high,
            f"{each.id}: MOS {each.mos:.2f}, expected between {each.low:.2f} and {each.high:.2f}",
        )
        for place, each in enumerate(shown)
    )
    return IntervalBars(bars, lowest, highest)

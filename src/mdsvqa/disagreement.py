"""Where two quality models disagree most: pairs of videos that one takes for equal and the other does not.

The idea of maximum differentiation: such a pair shows best which of the two models is wrong, and MOS say which.

Source: Wang and Simoncelli (2008), maximum differentiation competition; Ma et al. (2020), group MAD.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Scores this close, in standard deviations of a model's scores within a data set, are about equal.
ABOUT_EQUAL = 0.1


@dataclass(frozen=True)
class Pair:
    """Two videos.

    Attributes:
        better, worse: indices; `better` is the one that the second model scores higher.
        gap: of the second model's scores, above 0, in standard deviations of its scores within the data set.
    """

    better: int
    worse: int
    gap: float


def disagreements(
    equal: Floats, different: Floats, dataset: NDArray[np.int64], count: int = 4, tolerance: float = ABOUT_EQUAL
) -> list[Pair]:
    """The pairs that one model scores about equal and the other most differently; no video is in two of them.

    Args:
        equal: scores of the model that sees no difference, shape (n,).
        different: scores of the model that sees one, shape (n,).
        dataset: integer code of each video's study, shape (n,); a pair is within one, as its MOS are.
        count: pairs at most.
        tolerance: largest difference of the first model's scores, in their standard deviations.

    Returns:
        The strongest pair first.

    >>> equal, different = np.array([3.0, 3.0, 1.0, 5.0]), np.array([1.0, 4.0, 2.0, 3.0])
    >>> [(pair.better, pair.worse) for pair in disagreements(equal, different, np.zeros(4, int))]
    [(1, 0)]
    """
    found = []
    for code in np.unique(dataset):
        members = np.flatnonzero((dataset == code) & np.isfinite(equal) & np.isfinite(different))
        found += _within(equal[members], different[members], members, count, tolerance)
    return sorted(found, key=lambda pair: -pair.gap)[:count]


def _within(equal: Floats, different: Floats, members: NDArray[np.int64], count: int, tolerance: float) -> list[Pair]:
    spread = float(different.std()) if len(members) else 0.0
    if len(members) < 2 or spread == 0:
        return []
    order = np.argsort(equal, kind="stable")
    x, y, members = equal[order], different[order], members[order]
    # The window of each video: those from itself on whose score is not further off.
    ends = np.searchsorted(x, x + tolerance * float(equal.std()), side="right")
    free = np.ones(len(x), np.bool_)
    pairs = []
    for _ in range(count):
        best = _widest(y, ends, free)
        if best is None or y[best[0]] <= y[best[1]]:
            break
        high, low = best
        pairs.append(Pair(int(members[high]), int(members[low]), float((y[high] - y[low]) / spread)))
        free[[high, low]] = False
    return pairs


def _widest(y: Floats, ends: NDArray[np.int64], free: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The free pair within a window whose values are furthest apart, the higher first."""
    best: tuple[int, int] | None = None
    gap = -1.0
    high, low = np.where(free, y, -np.inf), np.where(free, y, np.inf)
    for start in np.flatnonzero(free).tolist():
        window = slice(start, int(ends[start]))
        top, bottom = start + int(high[window].argmax()), start + int(low[window].argmin())
        if y[top] - y[bottom] > gap:
            best, gap = (top, bottom), float(y[top] - y[bottom])
    return best

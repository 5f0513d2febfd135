"""Where two quality models disagree most: pairs of videos that one takes for equal and the other does not.

The idea of maximum differentiation: such a pair shows best which of the two models is wrong, and MOS say which.

Source: Wang and Simoncelli (2008), maximum differentiation competition; Ma et al. (2020), group MAD.
"""

from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.gmad.pairs import most_different_pairs
from mdsvqa.runtime.arrays import Floats, Ints

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
    equal: Floats, different: Floats, dataset: Ints, count: int = 4, tolerance: float = ABOUT_EQUAL
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


def _within(equal: Floats, different: Floats, members: Ints, count: int, tolerance: float) -> list[Pair]:
    spread = float(different.std()) if len(members) else 0.0
    if spread == 0:
        return []
    order = np.arange(len(members))
    pairs = most_different_pairs(different, equal, order, tolerance * float(equal.std()), count, least=0.0)
    return [
        Pair(int(members[high]), int(members[low]), float((different[high] - different[low]) / spread))
        for high, low in pairs
    ]

"""What a model of votes found: MOS with intervals, and what it thinks of the raters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats, Ints

# The two-sided 95% point of the normal distribution.
NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """MOS of the videos and effects of the raters, in the order of the table of votes.

    Attributes:
        model: its name in the catalogue.
        settings: that it ran with, or found out itself.
        mos, low, high, se: of each video, its 95% interval, and its standard error, shape (videos,); NaN where there
            is none.
        votes: that count, shape (videos,).
        bias, inconsistency, weight: of each rater, shape (raters,); NaN where the model has none. Inconsistency is the
            standard deviation of votes about quality and bias; weight is that of one vote, and sums to 1 over raters.
        rejected: raters whose votes the model left out, shape (raters,); None where it rejects nobody.
        part: number of the group of videos that are linked by common raters, shape (videos,). MOS of two groups have
            no common scale.
        scale: "votes", or "pairs" for a scale of preference without levels.
    """

    model: str
    settings: Mapping[str, float]
    mos: Floats
    low: Floats
    high: Floats
    se: Floats
    votes: Ints
    bias: Floats
    inconsistency: Floats
    weight: Floats
    rejected: Flags | None
    part: Ints
    scale: str = field(default="votes")

    @property
    def parts(self) -> int:
        """How many groups of videos share no rater; videos without votes are in none."""
        return len(np.unique(self.part[self.votes > 0]))


def shares(precision: Floats) -> Floats:
    """Weights that sum to 1; NaN stays.

    >>> shares(np.array([1.0, 3.0, np.nan])).tolist()
    [0.25, 0.75, nan]
    """
    total = np.nansum(precision)
    return precision / total if total > 0 else precision


def spread_out(values: Floats, places: Ints, size: int) -> Floats:
    """Values at some places of an array of this size, NaN elsewhere."""
    whole = np.full(size, np.nan)
    whole[places] = values
    return whole


def sums(group: Ints, value: Floats, groups: int) -> Floats:
    """Sum of the values of each group, shape (groups,).

    >>> sums(np.array([0, 2, 0]), np.array([1.0, 5.0, 2.0]), 3).tolist()
    [3.0, 0.0, 5.0]
    """
    total: Floats = np.bincount(group, value, groups).astype(np.float64, copy=False)
    return total

"""Do predicted intervals hold what they promise?"""

from dataclasses import dataclass

from scipy.stats import norm

from mdsvqa.runtime.arrays import Flags, Floats

# Of the intervals that are shown.
LEVEL = 0.9


@dataclass(frozen=True)
class LabelIntervals:
    """Where MOS are expected, each of shape (n,), in points of the study that rated the new labels."""

    low: Floats
    high: Floats

    def coverage(self, mos: Floats) -> float:
        """Share of the MOS that lie inside."""
        return float(self.holds(mos).mean())

    def holds(self, mos: Floats) -> Flags:
        """Whether each MOS lies inside."""
        return (self.low <= mos) & (mos <= self.high)


def label_intervals(
    score: Floats, spread: Floats, labeled_score: Floats, labeled_mos: Floats, unit: float, level: float = LEVEL
) -> LabelIntervals:
    """Intervals around scores, moved from the scores' scale to that of the new labels.

    No two studies share a scale. The new labels say how the two go together: their mean is the mean of their scores,
    and their standard deviation is `unit` of the scores.

    Args:
        score, spread: of n videos, shape (n,).
        labeled_score, labeled_mos: of the newly labeled videos, shape (k,).
        unit: standard deviation of MOS on the scores' scale, as the model took it.
        level: of the intervals, in (0, 1).

    >>> import numpy as np
    >>> found = label_intervals(np.array([3.0]), np.array([0.5]), np.array([2.0, 4.0]), np.array([40.0, 80.0]), 1.0)
    >>> found.low.round(1).tolist(), found.high.round(1).tolist()
    ([43.6], [76.4])
    """
    stretch = float(labeled_mos.std()) / unit
    middle = labeled_mos.mean() + stretch * (score - labeled_score.mean())
    half = float(norm.ppf((1 + level) / 2)) * stretch * spread
    return LabelIntervals(middle - half, middle + half)

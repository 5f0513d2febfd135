"""An estimate and how sure it is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from mdsvqa.runtime.arrays import Floats

# No difference of two SRCCs is larger.
WIDEST = 2.0


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that it lies in with the stated confidence."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def percentile_interval(value: float, draws: Floats, confidence: float = 0.95) -> Interval:
    """The central `confidence` share of bootstrap draws around an estimate.

    Args:
        value: the estimate on the whole sample.
        draws: bootstrap replicates, shape (draws,); NaN ones (a constant resample) are left out.

    Source: Efron and Tibshirani (1993), section 13.3.

    >>> percentile_interval(50.0, np.arange(101.0), confidence=0.5)
    Interval(value=50.0, low=25.0, high=75.0)
    """
    kept = draws[np.isfinite(draws)]
    if len(kept) == 0:
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))


def flat(intervals: Mapping[str, Interval]) -> dict[str, float]:
    """Intervals as cells of a row: name, name_low, name_high.

    >>> flat({"srcc": Interval(0.5, 0.4, 0.6)})
    {'srcc': 0.5, 'srcc_low': 0.4, 'srcc_high': 0.6}
    """
    parts = {"": "value", "_low": "low", "_high": "high"}
    return {
        name + ending: getattr(interval, part) for name, interval in intervals.items() for ending, part in parts.items()
    }


def resampled(differences: Floats, level: float, shared: float) -> Interval:
    """The mean difference of two SRCCs over groups of repeats that draw from the same videos, and its interval.

    Repeats share most of their videos. About other videos their mean says less than its standard error does: the
    variance of a repeat then counts 1/repeats + `shared` times.

    Args:
        differences: of shape (groups, repeats).
        level: of error, in (0, 1).
        shared: ratio of test videos to those that may be labeled; 0 for an interval about these videos.

    Source: Nadeau and Bengio (2003), the corrected resampled t-test.
    """
    (groups, repeats), value = differences.shape, float(differences.mean())
    if repeats < 2:
        return Interval(value, -WIDEST, WIDEST)
    error = np.sqrt((differences.var(1, ddof=1) * (1 / repeats + shared)).sum()) / groups
    half = float(student.ppf(1 - level / 2, groups * (repeats - 1)) * error)
    return Interval(value, value - half, value + half)

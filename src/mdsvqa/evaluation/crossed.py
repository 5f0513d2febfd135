"""How sure is a mean over seeds, all of them measured on the same videos?

Seeds and videos are crossed: a figure of one seed differs from the mean because of the seed, because of the videos, and
because some seeds suit some videos (their interaction). Resampling seeds and videos together counts the interaction
three times, once in the seeds, once in the videos, once in both; with few seeds the intervals are then up to 1.7 times
too wide. Here each part is counted once. It is the design of many readers who judge the same cases.

Source: Obuchowski and Rockette (1995), Hypothesis testing of diagnostic accuracy for multiple readers and multiple
tests; Owen (2007), The pigeonhole bootstrap, for what resampling both counts too often; Cochran and Cox (1957),
Experimental designs, section 4.14, for Student's t of a sum of variances. The degrees of freedom of Satterthwaite, or
Hillis (2007), are too many just where few seeds happen to be close to each other: with five of them and a level of
1.25%, which the first of four rules has, 2% are called different that are not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.runtime.arrays import Floats

LEAST_P = 1e-12


@dataclass(frozen=True)
class Seeds:
    """One figure of each of several seeds.

    Attributes:
        values: of each seed on all videos, shape (seeds,).
        draws: in each resample of the videos, the same resamples for all seeds, shape (seeds, draws).
    """

    values: Floats
    draws: Floats

    def __sub__(self, other: "Seeds") -> "Seeds":
        """Differences seed by seed; either side may have one seed for all of the other's."""
        return Seeds(self.values - other.values, self.draws - other.draws)


@dataclass(frozen=True)
class Crossed:
    """A mean over seeds, or a difference of two.

    Attributes:
        value: the estimate; NaN where undefined.
        variances: that add up to that of the estimate, each with its degrees of freedom; none where undefined.
    """

    value: float
    variances: Sequence[tuple[float, float]]

    @property
    def error(self) -> float:
        """Standard error of the estimate; NaN where undefined."""
        return math.sqrt(sum(variance for variance, _ in self.variances)) if self.variances else math.nan

    def quantile(self, p: float) -> float:
        """How many standard errors are exceeded with this two-sided probability: a mean of Student's t.

        Each part of the variance has the weight of its size.
        """
        weights, freedoms = np.array(self.variances).T
        return float(-(weights @ stdtrit(freedoms, p / 2)) / weights.sum())

    def interval(self, confidence: float = 0.95) -> Interval:
        """With that confidence, in (0, 1)."""
        error = self.error
        half = self.quantile(1 - confidence) * error if error > 0 else error
        return Interval(self.value, self.value - half, self.value + half)

    @property
    def p(self) -> float:
        """Two-sided, that the true value is 0; NaN where undefined."""
        error = self.error
        if not error > 0:
            return math.nan if math.isnan(error) else float(self.value == 0)
        reached = abs(self.value) / error
        if reached >= self.quantile(LEAST_P):
            return LEAST_P
        return float(brentq(lambda p: self.quantile(p) - reached, LEAST_P, 1.0, xtol=LEAST_P))


def crossed(parts: Sequence[Seeds], videos: int) -> Crossed:
    """The first part, less the others where there are more, each averaged over its own seeds.

    The variance of a mean over S seeds is that between seeds over S, which holds the seeds' own part and the
    interaction, and the part of the videos alone: the mean covariance of two seeds over resamples of the videos.

    Args:
        parts: with seeds of their own, each of at least one; what is paired by seed comes as one part, its differences.
        videos: that were resampled, at least 2.

    A part of one seed is taken as that one model: nothing is known of other seeds.

    >>> rows = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    >>> round(crossed([Seeds(np.array([0.2, 0.4]), rows)], 100).error, 3)
    0.1
    """
    signs = [1, *[-1] * (len(parts) - 1)]
    value = float(sum(sign * part.values.mean() for sign, part in zip(signs, parts, strict=True)))
    defined = np.all([np.isfinite(part.draws).all(axis=0) for part in parts], axis=0)
    if not math.isfinite(value) or defined.sum() < 2:
        return Crossed(value, ())
    draws = [part.draws[:, defined] for part in parts]
    means = sum(sign * each.mean(axis=0) for sign, each in zip(signs, draws, strict=True))
    alone = float(np.var(means, ddof=1))
    between = []
    for part, each in zip(parts, draws, strict=True):
        seeds = len(part.values)
        if seeds > 1:
            between.append((float(np.var(part.values, ddof=1)) / seeds, seeds - 1.0))
            alone -= float(np.var(each - each.mean(axis=0), axis=1, ddof=1).sum()) / (seeds - 1) / seeds
    # Of n videos drawn from themselves the variance is (n - 1) / n of that of n others.
    found = [*between, (max(0.0, alone) * videos / (videos - 1), videos - 1.0)]
    # Rounding alone moves seeds that are alike.
    least = (1e-12 * max(1.0, abs(value))) ** 2
    return Crossed(value, [(variance if variance > least else 0.0, freedom) for variance, freedom in found])

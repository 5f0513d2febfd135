"""How far MOS can be trusted: the confidence interval of each, and how well any model can agree with them."""

from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.runtime.arrays import Floats

# The two-sided 95% point of the normal distribution, as the recommendation rounds it.
NORMAL = 1.96


@dataclass(frozen=True)
class Ceiling:
    """What a model that knew the true quality of every video would reach against these MOS.

    Attributes:
        srcc, plcc: expected, with the interval over videos; 0 where the MOS differ by no more than their noise.
    """

    srcc: Interval
    plcc: Interval


def half_width(std: Floats, ratings: Floats) -> Floats:
    """Half the width of the 95% confidence interval of a MOS.

    Args:
        std: standard deviation of the ratings of a video, any shape.
        ratings: how many there are, at least 1.

    Source: ITU-R BT.500, confidence interval of the mean score: 1.96 S / sqrt(N).

    >>> half_width(np.array([1.0]), np.array([16.0])).tolist()
    [0.49]
    """
    width: Floats = NORMAL * std / np.sqrt(ratings)
    return width


def ceiling(
    mos: Floats, std: Floats, ratings: Floats, *, draws: int = 500, confidence: float = 0.95, seed: int = 0
) -> Ceiling:
    """The correlation with noisy MOS that perfect predictions are expected to have.

    The variance of MOS over videos is that of the true quality and that of the noise, which is std^2 / ratings on
    average. The share of the first is the reliability of MOS; perfect predictions correlate with MOS by its square
    root. The same in ranks follows for normally distributed values.

    Args:
        mos: of at least 2 videos of one study, shape (n,).
        std: standard deviation of the ratings of each, shape (n,).
        ratings: how many there are of each, shape (n,).
        draws, confidence, seed: of the bootstrap over videos.

    Source: Spearman (1904), correction for attenuation; Lord and Novick (1968), index of reliability, section 3.4.
        Pearson (1907) for ranks: rho_s = 6 / pi arcsin(rho / 2).
    """
    noise = std**2 / ratings
    everyone = np.ones((1, len(mos)))
    counts = resample_counts(len(mos), draws, seed)
    value, replicates = (_index_of_reliability(mos, noise, rows) for rows in (everyone, counts))
    plcc = percentile_interval(float(value[0]), replicates, confidence)
    srcc = percentile_interval(float(_in_ranks(value)[0]), _in_ranks(replicates), confidence)
    return Ceiling(srcc, plcc)


def _index_of_reliability(mos: Floats, noise: Floats, counts: Floats) -> Floats:
    """Square root of the reliability in each resample, shape (draws,); NaN where all MOS are equal."""
    n = counts.sum(1)
    deviation = mos - (counts @ mos / n)[:, None]
    variance = (counts * deviation**2).sum(1) / np.maximum(n - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        reliability = 1 - (counts @ noise / n) / variance
    return np.where(variance > 0, np.sqrt(np.clip(reliability, 0, 1)), np.nan)


def _in_ranks(correlation: Floats) -> Floats:
    ranks: Floats = 6 / np.pi * np.arcsin(correlation / 2)
    return ranks

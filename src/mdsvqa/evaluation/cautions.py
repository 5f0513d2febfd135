"""What a reader must be told before figures: models that hardly tell videos apart, few videos, lost calibration."""

import numpy as np

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.words import counted

# Of the spread of MOS, below which scores hardly differ. A calibrated model of correlation r has a spread of r.
NARROW = 0.2
# Videos below which figures change with every few others, and below which the 95% bootstrap interval of SRCC is too
# short. Of 1500 simulated studies of 5, 6, 7, 8 and 10 videos and a true SRCC of 0.945 it holds the truth in 64, 77,
# 85, 93 and 98%; of a true one of 0.48 in 94% and more.
FEW, TOO_FEW = 30, 8
# How many times as large an RMSE is after fine-tuning that is worth a word.
DOUBLED = 2.0


def spread_ratio(score: Floats, mos: Floats) -> float:
    """How far scores are spread beside MOS: the lesser ratio of standard deviations and of interquartile ranges.

    Half of the videos may share one score and others far away make the deviation, or the other way round.

    Args:
        score, mos: shape (n,), n >= 2.

    Returns:
        At least 0; NaN where all MOS are equal.

    >>> round(spread_ratio(np.array([2.9, 3.0, 3.1, 3.2]), np.array([1.0, 2.0, 3.0, 4.0])), 3)
    0.1
    """
    ratios = []
    for spread in (np.std, _interquartile):
        of_mos = float(spread(mos))
        if of_mos > 0:
            ratios.append(float(spread(score)) / of_mos)
    return min(ratios, default=float("nan"))


def _interquartile(values: Floats) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low)


def narrow(score: Floats, mos: Floats, whose: str = "The scores") -> str:
    """A sentence where scores hardly differ, as those of a collapsed model; else nothing.

    Args:
        score, mos: shape (n,).
        whose: scores these are, to begin the sentence with.
    """
    if len(score) < 2 or not spread_ratio(score, mos) < NARROW:
        return ""
    return (
        f"{whose} hardly differ: half of them lie between {np.quantile(score, 0.25):.3f} and "
        f"{np.quantile(score, 0.75):.3f}, their standard deviation is {np.std(score):.3f} where that of MOS is "
        f"{np.std(mos):.3f}. The model may have collapsed; its correlations then rest on little."
    )


def few(videos: int, what: str = "There are") -> str:
    """A sentence where there are too few videos to conclude much from; else nothing.

    >>> few(12)
    'There are only 12 videos: other ones may give quite other figures.'
    """
    if videos >= FEW:
        return ""
    said = f"{what} only {counted(videos, 'video')}: other ones may give quite other figures."
    if videos < TOO_FEW:
        said += f" With fewer than {TOO_FEW} the interval of a high SRCC is too short."
    return said


def rmse_grown(before: Floats, after: Floats, mos: Floats) -> str:
    """A sentence where the error of scores as they are has doubled; else nothing.

    Correlations do not see it: training by ranks may move all scores, or stretch them.

    Args:
        before, after: scores of two models, shape (n,).
        mos: on the same scale, shape (n,).
    """
    first, last = (float(np.sqrt(np.mean((score - mos) ** 2))) for score in (before, after))
    if not last >= DOUBLED * first or last == 0:
        return ""
    return (
        f"RMSE of scores as they are, without a fit, went from {first:.3f} to {last:.3f}: they are not on the scale "
        "of MOS any more, whatever SRCC says."
    )

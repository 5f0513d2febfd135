"""MOS as the recommendations of the ITU compute them, to the letter.

The numbers agree with those published with ITU-T P.910 and with the software of its authors.
"""

import numpy as np
from scipy.stats import t as student

from mdsvqa.labeling.estimate import NORMAL, Estimate, shares
from mdsvqa.labeling.parts import linked_parts
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Flags, Floats, Ints

# Of Annex E: where its iteration ends, and what keeps a rater without any residual from an infinite weight.
CHANGE, EPSILON, MOST_ROUNDS = 1e-8, 1e-8, 1000
# Of BT.500: the share of a rater's votes beyond the limits, and how far these lie on one side.
REJECTED_SHARE, REJECTED_BALANCE = 0.05, 0.3
# A standard deviation of votes below which they are all the same but for rounding in the machine.
AGREED = 1e-9


def mos(votes: Votes) -> Estimate:
    """The mean vote of each video with Student's interval; none of one vote.

    Args:
        votes: that count.

    Source: ITU-T P.910 (10/2023), clause 9.
    """
    mean, se, n = _mean(votes.vote, votes.video, len(votes.videos))
    half = student.ppf(0.975, np.maximum(n - 1, 1)) * se
    return _estimate("mos", votes, {}, mean, se, half)


def bt500(votes: Votes) -> Estimate:
    """The mean vote after BT.500's screening of raters.

    Args:
        votes: that count.

    Source: ITU-R BT.500-15, Part 1, Annex 1, 2.3.1 (the kurtosis test); its interval is 1.96 standard errors.
    """
    rejected = kurtosis_rejections(votes, votes.vote)
    return _without("bt500", votes, votes.vote, rejected, np.full(len(votes.raters), np.nan))


def p913(votes: Votes) -> Estimate:
    """The mean vote after each rater's bias is taken off, then BT.500's screening.

    Args:
        votes: that count.

    Source: ITU-T P.913 (06/2021), clauses 12.4 and 11.4.
    """
    mean, _, _ = _mean(votes.vote, votes.video, len(votes.videos))
    bias, _, n = _mean(votes.vote - mean[votes.video], votes.rater, len(votes.raters))
    unbiased = votes.vote - bias[votes.rater]
    return _without("p913", votes, unbiased, kurtosis_rejections(votes, unbiased), np.where(n > 0, bias, np.nan))


def p910(votes: Votes) -> Estimate:
    """The maximum-likelihood model of P.910: vote = quality + bias + noise with a variance of each rater's own.

    It needs many votes of each rater: with few, whoever happens to agree with a video's mean gets all of its weight.

    Args:
        votes: that count.

    Source: ITU-T P.910 (10/2023), Annex E, alternating projection.
    """
    videos, raters = len(votes.videos), len(votes.raters)
    quality, _, n = _mean(votes.vote, votes.video, videos)
    bias, _, given = _mean(votes.vote - quality[votes.video], votes.rater, raters)
    for _ in range(MOST_ROUNDS):
        before = quality
        residual = votes.vote - quality[votes.video] - bias[votes.rater]
        precision = 1 / (_deviation(residual, votes.rater, raters) ** 2 + EPSILON)
        weight = precision[votes.rater]
        total = np.bincount(votes.video, weight, videos)
        sum_ = np.bincount(votes.video, weight * (votes.vote - bias[votes.rater]), videos)
        quality = np.divide(sum_, total, out=np.full(videos, np.nan), where=n > 0)
        bias, _, _ = _mean(votes.vote - quality[votes.video], votes.rater, raters)
        if np.linalg.norm((quality - before)[n > 0]) < CHANGE:
            break
    # The published procedure takes both deviations from the residuals of the last round's beginning.
    inconsistency = _deviation(residual, votes.rater, raters)
    se = _deviation(residual, votes.video, videos) / np.sqrt(np.maximum(n, 1))
    of_video, of_rater = linked_parts(votes)
    centre, _, _ = _mean(bias[given > 0], of_rater[given > 0], of_video.max(initial=0) + 1)
    bias, quality = bias - centre[of_rater] if videos else bias, quality + centre[of_video]
    unknown = given == 0
    return _estimate(
        "p910",
        votes,
        {},
        quality,
        np.where(n > 0, se, np.nan),
        NORMAL * se,
        bias=np.where(unknown, np.nan, bias),
        inconsistency=np.where(unknown, np.nan, inconsistency),
        weight=shares(np.where(unknown, np.nan, precision)),
    )


def kurtosis_rejections(votes: Votes, value: Floats) -> Flags:
    """Raters that BT.500 screens out: often far from the others, and on both sides.

    A vote is far where it lies 2 standard deviations or more from the mean of its video, or sqrt(20) where the votes
    of the video are not normal (kurtosis outside 2 to 4). Shares are of all videos, as in the software of P.910's
    authors, also where a rater saw only some. If all would be rejected, none is.

    Args:
        votes: that count.
        value: to screen in place of the votes, shape (n,).

    Returns:
        Shape (raters,).
    """
    videos, raters = len(votes.videos), len(votes.raters)
    mean, _, n = _mean(value, votes.video, videos)
    deviation = value - mean[votes.video]
    second, fourth = (np.bincount(votes.video, deviation**power, videos) / np.maximum(n, 1) for power in (2, 4))
    kurtosis = np.divide(fourth, second**2, out=np.full(videos, np.nan), where=second > 0)
    limit = np.where((kurtosis >= 2) & (kurtosis <= 4), 2, np.sqrt(20)) * np.sqrt(second)
    # Where all agree nobody is far, though every vote lies on both limits.
    split = (np.sqrt(second) > AGREED)[votes.video]
    above = np.bincount(votes.rater[split & (deviation >= limit[votes.video])], minlength=raters)
    below = np.bincount(votes.rater[split & (deviation <= -limit[votes.video])], minlength=raters)
    far = above + below
    balance = np.abs(above - below) / np.maximum(far, 1)
    rejected = (far / max((n > 0).sum(), 1) > REJECTED_SHARE) & (balance < REJECTED_BALANCE)
    return np.zeros(raters, np.bool_) if rejected[votes.per_rater() > 0].all() else rejected


def _without(model: str, votes: Votes, value: Floats, rejected: Flags, bias: Floats) -> Estimate:
    kept = ~rejected[votes.rater]
    mean, se, _ = _mean(value[kept], votes.video[kept], len(votes.videos))
    return _estimate(model, votes.only(kept), {}, mean, se, NORMAL * se, bias=bias, rejected=rejected)


def _estimate(
    model: str,
    votes: Votes,
    settings: dict[str, float],
    quality: Floats,
    se: Floats,
    half: Floats,
    *,
    bias: Floats | None = None,
    inconsistency: Floats | None = None,
    weight: Floats | None = None,
    rejected: Flags | None = None,
) -> Estimate:
    nothing = np.full(len(votes.raters), np.nan)
    return Estimate(
        model,
        settings,
        quality,
        quality - half,
        quality + half,
        se,
        votes.per_video(),
        nothing if bias is None else bias,
        nothing if inconsistency is None else inconsistency,
        nothing if weight is None else weight,
        rejected,
        linked_parts(votes)[0],
    )


def _mean(value: Floats, group: Ints, groups: int) -> tuple[Floats, Floats, Ints]:
    """Mean, its standard error and the number of values of each group; NaN where they are too few."""
    n = np.bincount(group, minlength=groups)
    mean = np.divide(np.bincount(group, value, groups), n, out=np.full(groups, np.nan), where=n > 0)
    square = np.bincount(group, (value - mean[group]) ** 2, groups)
    variance = np.divide(square, (n - 1.0) * n, out=np.full(groups, np.nan), where=n > 1)
    return mean, np.sqrt(variance), n


def _deviation(value: Floats, group: Ints, groups: int) -> Floats:
    """Standard deviation of each group about its mean, divided by the number of values; 0 where there are none."""
    n = np.maximum(np.bincount(group, minlength=groups), 1)
    mean = np.bincount(group, value, groups) / n
    return np.sqrt(np.bincount(group, (value - mean[group]) ** 2, groups) / n)

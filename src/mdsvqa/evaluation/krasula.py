"""Does a model tell which of two videos is better, where people can tell? And does it tell whether they can?

The analysis of Krasula et al. (2016), On the accuracy of objective image and video quality models: new methodology for
performance evaluation (QoMEX). Pairs of videos of which one has significantly higher MOS are different, the others
similar. "Different or similar" is the area under the ROC curve of the absolute difference of scores, "better or worse"
that of the signed difference among the different pairs.

The paper tests differences of areas by DeLong's test, which takes pairs as independent. They are not, as each video is
in many: n videos make n (n - 1) / 2 pairs, and the test finds far too much significant. It is here because the paper
states it; beside it stands a test by the influence of each video, which counts videos and not pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from mdsvqa.evaluation.correlated import UNDEFINED, Test, two_sided
from mdsvqa.evaluation.intervals import Interval
from mdsvqa.runtime.arrays import Flags, Floats, Ints

# More pairs than that are represented by as many drawn at random.
MOST_PAIRS = 4_000_000


@dataclass(frozen=True)
class Pairs:
    """Pairs of videos within data sets, the one that has the higher MOS first.

    Attributes:
        higher, lower: indices of videos, shape (pairs,).
        different: whether people can tell them apart, shape (pairs,).
    """

    higher: Ints
    lower: Ints
    different: Flags


@dataclass(frozen=True)
class Area:
    """The area under a ROC curve over pairs of videos, and what each pair and video does to it.

    Attributes:
        value: in [0, 1]; NaN where one of the two classes is empty.
        positive, negative: share of the other class that each pair is on the right side of, ties by half, shape
            (positive pairs,) and (negative pairs,).
        influence: derivative of the area by the weight of each video, shape (n,).
    """

    value: float
    positive: Floats
    negative: Floats
    influence: Floats


@dataclass(frozen=True)
class PairAnalysis:
    """The figures of one model.

    Attributes:
        different_similar: area under the curve of the absolute difference of scores.
        better_worse: area under the curve of the signed difference, among different pairs.
        correct: the share of different pairs where the better video has the higher score, in [0, 1]; C0 in the paper.
    """

    different_similar: Area
    better_worse: Area
    correct: float


def video_pairs(
    mos: Floats,
    std: Floats,
    ratings: Floats,
    groups: Sequence[Ints],
    *,
    confidence: float = 0.95,
    most: int = MOST_PAIRS,
    seed: int = 0,
) -> Pairs:
    """Every pair of two videos of one data set, and whether their MOS differ significantly.

    Args:
        mos, std, ratings: of each video, shape (n,); `std` of its ratings, not of their mean. A MOS of one rating
            differs from none.
        groups: the videos of each data set.
        confidence: of the two-sided z test on the difference of two means.
        most: pairs; where there are more, as many are drawn at random.
        seed: of that draw.
    """
    first, second = (np.concatenate(side) for side in zip(*_all_pairs(groups, most, seed), strict=True))
    variance = np.where(ratings > 1, std**2 / ratings, np.inf)
    difference = mos[first] - mos[second]
    different = np.abs(difference) > norm.ppf((1 + confidence) / 2) * np.sqrt(variance[first] + variance[second])
    swapped = difference < 0
    return Pairs(np.where(swapped, second, first), np.where(swapped, first, second), different)


def _all_pairs(groups: Sequence[Ints], most: int, seed: int) -> list[tuple[Ints, Ints]]:
    rng = np.random.default_rng(seed)
    totals = [len(group) * (len(group) - 1) // 2 for group in groups]
    share = min(1.0, most / max(1, sum(totals)))
    pairs = []
    for group, total in zip(groups, totals, strict=True):
        if share == 1:
            first, second = np.triu_indices(len(group), 1)
        else:
            # Numbered by column: pair (i, j), i < j, is number j (j - 1) / 2 + i.
            number = rng.choice(total, int(total * share), replace=False, shuffle=False)
            second = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
            first = number - second * (second - 1) // 2
        pairs.append((group[first], group[second]))
    return pairs


def analyse_pairs(score: Floats, pairs: Pairs) -> PairAnalysis:
    """The analysis of one model.

    Args:
        score: shape (n,), higher for better videos; hand in the negative of scores that fall with quality.
        pairs: of these videos.
    """
    difference = score[pairs.higher] - score[pairs.lower]
    apart, alike = pairs.different, ~pairs.different
    told = difference[apart]
    count = len(score)
    ends = np.stack([pairs.higher, pairs.lower])
    # The second class is every different pair the other way round.
    better = _area(told, -told, ends[:, apart], ends[:, apart], count)
    distance = np.abs(difference)
    similar = _area(distance[apart], distance[alike], ends[:, apart], ends[:, alike], count)
    return PairAnalysis(similar, better, float((told > 0).mean()) if len(told) else math.nan)


def _area(positive: Floats, negative: Floats, positive_ends: Ints, negative_ends: Ints, count: int) -> Area:
    """Area by mid-ranks, with DeLong's structural components.

    Source: DeLong, DeLong and Clarke-Pearson (1988); Sun and Xu (2014), by ranks. The influence of a video is the sum
    of those of its pairs, as weights of videos multiply to that of their pair.
    """
    m, n = len(positive), len(negative)
    if not (m and n):
        return Area(math.nan, np.full(m, np.nan), np.full(n, np.nan), np.full(count, np.nan))
    ranks = rankdata(np.concatenate([positive, negative]))
    over = (ranks[:m] - rankdata(positive)) / n
    under = 1 - (ranks[m:] - rankdata(negative)) / m
    value = float(over.mean())
    influence = np.zeros(count)
    for ends, share in ((positive_ends, (over - value) / m), (negative_ends, (under - value) / n)):
        for side in ends:
            influence += np.bincount(side, share, count)
    return Area(value, over, under, influence)


def area_interval(area: Area, confidence: float = 0.95) -> Interval:
    """An area with the interval of its influence function over videos: normal on the scale of log odds, so in [0, 1].

    Source: Efron (1982), The jackknife, the bootstrap and other resampling plans, chapter 6 (infinitesimal jackknife);
    Pepe (2003), The statistical evaluation of medical tests, section 5.2.4, for the log odds.
    """
    value, half = area.value, float(norm.ppf((1 + confidence) / 2) * np.sqrt(np.sum(area.influence**2)))
    if not 0 < value < 1:
        # Nothing to go by: no influence, or none that is known.
        return Interval(value, value - half, value + half)
    low, high = expit(logit(value) + np.array([-half, half]) / (value * (1 - value)))
    return Interval(value, float(low), float(high))


def delong_test(first: Area, second: Area) -> Test:
    """DeLong's test of two areas over the same pairs, as in the paper (see the caveat of this file).

    Returns:
        Undefined where an area is, or a class has one pair only.

    Source: DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves.
    """
    if len(first.positive) < 2 or len(first.negative) < 2:
        return UNDEFINED
    variance = sum(
        float(np.var(a - b, ddof=1)) / len(a)
        for a, b in ((first.positive, second.positive), (first.negative, second.negative))
    )
    return _z_test(first.value - second.value, variance)


def video_test(first: Area, second: Area) -> Test:
    """Test of two areas over the same pairs that counts the videos, by their influence on the difference.

    Source: infinitesimal jackknife (Efron, 1982); equals the bootstrap over videos where there are many of them.
    """
    return _z_test(first.value - second.value, float(np.sum((first.influence - second.influence) ** 2)))


def _z_test(difference: float, variance: float) -> Test:
    if difference == 0:
        return Test(0.0, 1.0)
    if not variance > 0:
        return UNDEFINED
    z = difference / math.sqrt(variance)
    return Test(z, two_sided(z))

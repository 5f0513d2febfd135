"""How far raters agree: each with the others and with themselves, all together, and where votes spread."""

from dataclasses import dataclass

import numpy as np

from mdsvqa.labeling.estimate import sums
from mdsvqa.labeling.votes import ANCHOR, REPEAT, TRAP, VIDEO, PairVotes, Votes
from mdsvqa.runtime.arrays import Flags, Floats, Ints

# Common videos below which a correlation is no figure.
LEAST_COMMON = 3


@dataclass(frozen=True)
class RaterFigures:
    """What is known of each rater, in the order of the table, each of shape (raters,); NaN where there is nothing.

    Attributes:
        votes: that count.
        correlation: Pearson's, with the mean of the others' votes on the same videos.
        spread: standard deviation of the votes that count.
        repeats, repeat_difference: how many videos, or pairs, were rated again, and the mean absolute difference: in
            levels, or of the preference.
        traps, traps_wrong: how many were shown, and how many were answered wrongly.
        anchors, anchors_off: the same; an anchor is off by more than one level.
        plays, disturbed: votes given, to whatever, and the share of disturbed plays among them.
    """

    votes: Ints
    correlation: Floats
    spread: Floats
    repeats: Ints
    repeat_difference: Floats
    traps: Ints
    traps_wrong: Ints
    anchors: Ints
    anchors_off: Ints
    plays: Ints
    disturbed: Floats


def rater_figures(votes: Votes | PairVotes) -> RaterFigures:
    """What is known of each rater; of one who compares pairs neither correlation nor spread.

    Args:
        votes: the whole table; corrected votes and those excluded otherwise tell nothing here.
    """
    raters, said, counted = len(votes.raters), votes.excluded == "", votes.counted()
    given, value, item, level = _as_levels(votes) if isinstance(votes, Votes) else _as_preferences(votes)
    missed = np.abs(given - votes.expected) > 0
    off = np.abs(given - votes.expected) > level * (1 + 1e-9)

    def number(which: Flags) -> Ints:
        return np.bincount(votes.rater[which & said], minlength=raters)

    plays = number(votes.kind != "")
    difference, repeats = _repeats(votes, item * raters + votes.rater, value)
    unknown = np.full(raters, np.nan)
    return RaterFigures(
        np.bincount(counted.rater, minlength=raters),
        correlation_with_others(counted) if isinstance(counted, Votes) else unknown,
        _spread(counted) if isinstance(counted, Votes) else unknown,
        repeats,
        _share(difference / level, repeats),
        number(votes.kind == TRAP),
        number((votes.kind == TRAP) & missed),
        number(votes.kind == ANCHOR),
        number((votes.kind == ANCHOR) & off),
        plays,
        _share(number(votes.disturbed), plays),
    )


def correlation_with_others(votes: Votes) -> Floats:
    """Pearson's correlation of each rater's votes with the means of the others' votes on the same videos.

    Args:
        votes: that count.

    Returns:
        Shape (raters,); NaN of fewer than three common videos, or where one of the two does not vary.

    Source: ITU-T P.913 (06/2021), clause 11.4, with the rater's own vote left out of the mean.

    >>> v = Votes.of(["a", "b", "c"] * 2, ["x"] * 3 + ["y"] * 3, [1, 2, 3, 2, 4, 6])
    >>> correlation_with_others(v).round(9).tolist()
    [1.0, 1.0]
    """
    videos, raters = len(votes.videos), len(votes.raters)
    total, n = sums(votes.video, votes.vote, videos), votes.per_video()
    pair = votes.video * raters + votes.rater
    _, place = np.unique(pair, return_inverse=True)
    own, own_n = np.bincount(place, votes.vote)[place], np.bincount(place)[place]
    others = n[votes.video] - own_n
    kept = others > 0
    rater, x = votes.rater[kept], votes.vote[kept]
    y = (total[votes.video] - own)[kept] / others[kept]
    count = np.bincount(rater, minlength=raters)
    dx, dy = (v - (sums(rater, v, raters) / np.maximum(count, 1))[rater] for v in (x, y))
    both, of_x, of_y = (sums(rater, v, raters) for v in (dx * dy, dx**2, dy**2))
    known = (count >= LEAST_COMMON) & (of_x > 1e-12) & (of_y > 1e-12)
    return np.divide(both, np.sqrt(of_x * of_y), out=np.full(raters, np.nan), where=known)


def krippendorff_alpha(votes: Votes) -> float:
    """Agreement of all raters beyond chance: 1 for full, 0 for that of votes dealt at random.

    Alpha is 1 - D_o / D_e, with the mean squared difference D_o of two votes on one video (a video of m votes weighs
    m), and that of any two votes, D_e.

    Args:
        votes: that count; videos of one vote are left out.

    Returns:
        NaN where there are no two votes on one video, or all votes are equal.

    Source: Krippendorff (2004), "Content analysis", section 11.3, with the interval metric.
    """
    n = votes.per_video()
    kept = n[votes.video] > 1
    video, vote = votes.video[kept], votes.vote[kept]
    if len(vote) == 0:
        return float("nan")
    groups = len(votes.videos)
    mean = sums(video, vote, groups) / np.maximum(n, 1)
    within = sums(video, (vote - mean[video]) ** 2, groups)
    # The squared differences of all ordered pairs of m votes sum to 2 m times their squares about the mean.
    observed = float((2 * n * within / np.maximum(n - 1, 1))[n > 1].sum()) / len(vote)
    by_chance = 2 * float(((vote - vote.mean()) ** 2).sum()) / (len(vote) - 1)
    return 1 - observed / by_chance if by_chance > 0 else float("nan")


@dataclass(frozen=True)
class Sos:
    """Standard deviations of votes against MOS.

    Attributes:
        mos, std: of each video, shape (videos,); NaN of fewer than two votes.
        a: of S^2 = a (MOS - low) (high - MOS), by least squares; 0 is full agreement, 1 only ever the two ends. Video
            studies lie at 0.1 to 0.3.
    """

    mos: Floats
    std: Floats
    a: float


def sos(votes: Votes) -> Sos:
    """The SOS hypothesis: how the spread of votes depends on MOS.

    Args:
        votes: that count.

    Source: Hossfeld, Schatz and Egger (2011), "SOS: The MOS is not enough!", QoMEX.
    """
    videos, n = len(votes.videos), votes.per_video()
    mean = np.divide(sums(votes.video, votes.vote, videos), n, out=np.full(videos, np.nan), where=n > 1)
    square = sums(votes.video, (votes.vote - np.nan_to_num(mean)[votes.video]) ** 2, videos)
    variance = np.divide(square, n - 1.0, out=np.full(videos, np.nan), where=n > 1)
    room = (mean - votes.low) * (votes.high - mean)
    known = n > 1
    total = float((room[known] ** 2).sum())
    a = float((variance[known] * room[known]).sum()) / total if total > 0 else float("nan")
    return Sos(mean, np.sqrt(variance), a)


def _spread(votes: Votes) -> Floats:
    raters, n = len(votes.raters), votes.per_rater()
    mean = sums(votes.rater, votes.vote, raters) / np.maximum(n, 1)
    square = sums(votes.rater, (votes.vote - mean[votes.rater]) ** 2, raters)
    variance: Floats = np.divide(square, n - 1.0, out=np.full(raters, np.nan), where=n > 1)
    return np.sqrt(variance)


def _as_levels(votes: Votes) -> tuple[Floats, Floats, Ints, float]:
    """What was said, that again, a number of what it was said of, and the size of a level."""
    return votes.vote, votes.vote, votes.video, (votes.high - votes.low) / 4


def _as_preferences(votes: PairVotes) -> tuple[Floats, Floats, Ints, float]:
    """What was said; that for the side with the lower place, whichever came first; a number of the pair; a level."""
    low, high = np.minimum(votes.first, votes.second), np.maximum(votes.first, votes.second)
    turned = np.where(votes.first == low, votes.preference, 1 - votes.preference)
    return votes.preference, turned, low * len(votes.videos) + high, 1.0


def _repeats(votes: Votes | PairVotes, of_rater: Ints, value: Floats) -> tuple[Floats, Ints]:
    """Sum of absolute differences between repeats and the first vote, and their number, of each rater.

    Args:
        votes: the whole table.
        of_rater: a number of what was rated and by whom, shape (n,).
        value: what was said, shape (n,).
    """
    raters = len(votes.raters)
    whole = (votes.excluded == "") & ~votes.disturbed
    originals = np.flatnonzero(whole & (votes.kind == VIDEO))[::-1]
    first = dict(zip(of_rater[originals].tolist(), value[originals].tolist(), strict=True))
    total, number = np.zeros(raters), np.zeros(raters, np.int64)
    for row in np.flatnonzero(whole & (votes.kind == REPEAT)).tolist():
        if (before := first.get(int(of_rater[row]))) is not None:
            total[votes.rater[row]] += abs(value[row] - before)
            number[votes.rater[row]] += 1
    return total, number


def _share(part: Floats | Ints, whole: Ints) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share

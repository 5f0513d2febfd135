"""ACR with a hidden reference: how far a video is from its reference in the eyes of one rater."""

import numpy as np

from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Floats, Ints


def differences(votes: Votes, reference: Ints, *, crushed: bool = False) -> Votes:
    """Each rater's votes against the same rater's vote on the reference: vote - vote on the reference + highest.

    A video that is taken for better than its reference lies above the scale; crushing brings it near the
    highest level, so that one such vote weighs little.

    Args:
        votes: that count.
        reference: place of each video's reference, shape (videos,); -1 for a reference itself and for videos without.
        crushed: whether differences above the scale are crushed.

    Returns:
        One vote for each vote on a video whose reference the rater voted on; references have none. The scale reaches
        up to the largest difference that there can be.

    Source: ITU-T P.910 (10/2023), ACR-HR: DV = V(PVS) - V(REF) + 5, and its crushing function 7 DV / (2 + DV).

    >>> votes = Votes.of(["a", "ref"], ["x", "x"], [3, 4])
    >>> differences(votes, np.array([1, -1])).vote.tolist()
    [4.0]
    """
    raters = len(votes.raters)
    given = np.full((len(votes.videos), raters), np.nan)
    # Of several votes the first counts.
    given[votes.video[::-1], votes.rater[::-1]] = votes.vote[::-1]
    of_reference = np.where(reference[votes.video] >= 0, given[reference[votes.video], votes.rater], np.nan)
    difference = votes.vote - of_reference + votes.high
    kept = np.isfinite(difference)
    found, high = votes.only(kept), 2 * votes.high - votes.low
    value = difference[kept]
    if crushed:
        value, high = crush(value, votes.high), float(crush(np.array([high]), votes.high)[0])
    return Votes(
        found.videos,
        found.raters,
        found.video,
        found.rater,
        value,
        found.kind,
        found.expected,
        found.disturbed,
        found.excluded,
        votes.method,
        votes.low,
        high,
    )


def crush(difference: Floats, highest: float = 5.0) -> Floats:
    """Differences above the highest level, crushed; (2 + h) d / (2 + d), which is h at the highest level h.

    >>> crush(np.array([4.0, 5.0, 7.0])).round(4).tolist()
    [4.0, 5.0, 5.4444]
    """
    crushed = (2 + highest) * difference / (2 + difference)
    return np.where(difference > highest, crushed, difference)

"""Which videos and raters hang together: without a common rater, two groups of videos have no common scale."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mdsvqa.labeling.votes import PairVotes, Votes
from mdsvqa.runtime.arrays import Ints


def linked_parts(votes: Votes) -> tuple[Ints, Ints]:
    """Groups of videos and raters that a chain of votes links.

    Returns:
        Number of the group of each video and of each rater, shapes (videos,) and (raters,), from 0 in the order of
        the videos. Who has no vote is a group of one.

    >>> linked_parts(Votes.of(["a", "b", "c"], ["x", "x", "y"], [1, 2, 3]))[0].tolist()
    [0, 0, 1]
    """
    return linked(votes.video, votes.rater, len(votes.videos), len(votes.raters))


def linked(video: Ints, rater: Ints, videos: int, raters: int) -> tuple[Ints, Ints]:
    """The same from the places of each vote and how many videos and raters there are."""
    found = _components(video, rater + videos, videos + raters)
    return found[:videos], found[videos:]


def compared_parts(votes: PairVotes) -> Ints:
    """Groups of videos that a chain of pairs links, shape (videos,), numbered from 0 in their order."""
    return _components(votes.first, votes.second, len(votes.videos))


def _components(one: Ints, other: Ints, nodes: int) -> Ints:
    edges = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(nodes, nodes))
    _, label = connected_components(edges, directed=False)
    _, first, place = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place].astype(np.int64)

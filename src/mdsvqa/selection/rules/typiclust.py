"""Typical clustering: from each kind of content in the pool its most typical video."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.distances.chamfer import Frames
from mdsvqa.selection.distances.matrices import mean_frames
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.rules.k_means import RESTARTS
from mdsvqa.selection.settings import SelectionSettings

# The paper's, as in its authors' code: neighbours that typicality is measured on, most clusters, and the size up to
# which a cluster holds outliers.
NEIGHBOURS, MOST_CLUSTERS, SMALL = 20, 500, 5
# So many clusters depend less on where they start, and take longer.
MANY = 50


def typiclust(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Clusters the pool's mean frame features, and takes the most typical video of each cluster that has none yet.

    There are as many clusters as videos after this choice, those of earlier rounds included, but at most 500. The next
    video comes from the cluster with the fewest chosen, and among those from the largest; clusters of at most 5 videos
    wait until nothing else is open. The most typical video has the smallest mean distance to its 20 nearest neighbours
    in the cluster, or to all of it where it has fewer. Ties go to the first in the pool's order.

    Source: Hacohen et al. (2022), the variant with k-means.
    """
    eligible = Eligible(pool, budget)
    chosen = np.asarray(pool.chosen, np.int64)
    if not eligible.mask.any():
        return []
    means = mean_frames(pool.content).frames
    cluster = clusters(means, len(chosen) + eligible.about_how_many(), seed)
    sizes = np.bincount(cluster)
    spread = neighbour_distance(means, cluster)
    most_typical_first = [members[np.argsort(spread[members], kind="stable")] for members in _members(cluster)]
    covered = np.bincount(cluster[chosen], minlength=len(sizes))
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        closed = np.bincount(cluster[mask], minlength=len(sizes)) == 0
        best = int(np.lexsort((-sizes, covered, sizes <= SMALL, closed))[0])
        video = eligible.choose_first(most_typical_first[best])
        if video is not None:
            covered[best] += 1
            picks.append(Pick(video, float(pool.difficulty[video])))
    return picks


def clusters(means: Frames, number: int, seed: int) -> Ints:
    """The cluster of each video, from 0, by k-means; fewer clusters than asked for where videos coincide."""
    number = min(number, MOST_CLUSTERS, len(np.unique(means, axis=0)))
    fitted = KMeans(number, n_init=RESTARTS if number <= MANY else 1, random_state=seed).fit(means)
    return np.unique(fitted.labels_, return_inverse=True)[1]


def neighbour_distance(means: Frames, cluster: Ints) -> Floats:
    """Mean distance to the NEIGHBOURS nearest videos of the same cluster, one over the paper's typicality.

    Args:
        means: shape (n, dims).
        cluster: of each, shape (n,).

    Returns:
        Shape (n,); 0 for a video that is alone in its cluster.
    """
    distance = np.zeros(len(means))
    for members in _members(cluster):
        neighbours = min(NEIGHBOURS, len(members) - 1)
        if neighbours:
            distances, _ = NearestNeighbors(n_neighbors=neighbours).fit(means[members]).kneighbors()
            distance[members] = distances.mean(1)
    return distance


def _members(cluster: Ints) -> list[Ints]:
    return [np.flatnonzero(cluster == number) for number in range(cluster.max() + 1)]


RULES = (
    Rule(
        "typiclust",
        typiclust,
        label="typical clustering",
        takes="the densest spot of each cluster",
        use="for very few labels, and pools with outliers",
    ),
)

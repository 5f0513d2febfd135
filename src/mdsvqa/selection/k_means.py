"""k-means medoids: one video for each kind of content in the pool."""

import numpy as np
from sklearn.cluster import KMeans

from mdsvqa.config import SelectionSettings
from mdsvqa.selection.base import Floats, Indices, Pick, Pool
from mdsvqa.selection.opening import Opening, in_order

RESTARTS = 4


def k_means(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Clusters the candidates' mean frame features into as many clusters as the budget buys, and takes the video
    nearest each center.

    Largest cluster first. A cluster without a video of its own (coinciding videos, or none that the limits allow) gives
    way to the next nearest candidate, so that the budget is always spent.
    """
    opening = Opening(pool, budget)
    return [Pick(video, float(pool.difficulty[video])) for video in medoids(pool, opening, pool.candidates(), seed)]


def medoids(pool: Pool, opening: Opening, videos: Indices, seed: int, weights: Floats | None = None) -> list[int]:
    """Clusters some videos and takes the nearest to each center, until nothing of them is open.

    Args:
        pool: the videos.
        opening: of the pool; what it has taken before stays taken.
        videos: indices to choose from, those that are not open left out.
        seed: of the clustering.
        weights: of every video of the pool in the clustering, shape (n,), not negative; None for equal ones.

    Returns:
        Indices in the order in which they were taken, the heaviest cluster first.
    """
    candidates = videos[opening.mask[videos]]
    if len(candidates) == 0:
        return []
    means = pool.content.take(candidates).means()
    weight = np.ones(len(candidates)) if weights is None else weights[candidates]
    if not weight.any():
        weight = np.ones(len(candidates))
    distinct = len(np.unique(means[weight > 0], axis=0))
    clusters = KMeans(min(opening.most(), distinct), n_init=RESTARTS, random_state=seed).fit(
        means, sample_weight=None if weights is None else weight
    )
    distances = clusters.transform(means)
    sizes = np.bincount(clusters.labels_, weights=weight, minlength=distances.shape[1])
    nearest_first = (candidates[np.argsort(distances[:, c], kind="stable")] for c in np.argsort(-sizes, kind="stable"))
    taken = [video for order in nearest_first if (video := opening.take_first(order)) is not None]
    return taken + in_order(opening, candidates[np.argsort(distances.min(1), kind="stable")])

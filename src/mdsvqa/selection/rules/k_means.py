"""k-means medoids: one video for each kind of content in the pool."""

import numpy as np
from sklearn.cluster import KMeans

from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.eligible import Eligible, in_order
from mdsvqa.selection.settings import SelectionSettings

RESTARTS = 4


def k_means(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Clusters the candidates' mean frame features into as many clusters as the budget buys, and takes the video
    nearest each center.

    Largest cluster first. A cluster without a video of its own (coinciding videos, or none that the limits allow) gives
    way to the next nearest candidate, so that the budget is always spent.
    """
    eligible = Eligible(pool, budget)
    candidates = pool.candidates()[eligible.mask[pool.candidates()]]
    if len(candidates) == 0:
        return []
    means = pool.content.take(candidates).means()
    distinct = len(np.unique(means, axis=0))
    clusters = KMeans(min(eligible.about_how_many(), distinct), n_init=RESTARTS, random_state=seed).fit(means)
    distances = clusters.transform(means)
    sizes = np.bincount(clusters.labels_, minlength=distances.shape[1])
    nearest_first = (candidates[np.argsort(distances[:, c], kind="stable")] for c in np.argsort(-sizes, kind="stable"))
    taken = [video for order in nearest_first if (video := eligible.choose_first(order)) is not None]
    taken += in_order(eligible, candidates[np.argsort(distances.min(1), kind="stable")])
    return [Pick(video, float(pool.difficulty[video])) for video in taken]


RULES = (
    Rule(
        "k-means",
        k_means,
        label="k-means",
        takes="the middle of each cluster",
        use="for small models and few labels",
        every_pair=True,
    ),
)

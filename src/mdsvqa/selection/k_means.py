"""k-means medoids: one video for each kind of content in the pool."""

import numpy as np
from sklearn.cluster import KMeans

from mdsvqa.config import SelectionSettings
from mdsvqa.selection.base import Pick, Pool

RESTARTS = 4


def k_means(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Clusters the candidates' mean frame features into `budget` clusters and takes the video nearest each center.

    Largest cluster first. A cluster without a video of its own (coinciding videos) gives way to the next nearest
    candidate, so that the budget is always spent.
    """
    candidates = pool.candidates()
    budget = min(budget, len(candidates))
    if budget == 0:
        return []
    means = pool.content.means()[candidates]
    distinct = len(np.unique(means, axis=0))
    clusters = KMeans(min(budget, distinct), n_init=RESTARTS, random_state=seed).fit(means)
    distances = clusters.transform(means)
    sizes = np.bincount(clusters.labels_, minlength=distances.shape[1])
    taken: list[int] = []
    for cluster in np.argsort(-sizes, kind="stable"):
        order = np.argsort(distances[:, cluster], kind="stable")
        taken.append(next(int(video) for video in order if video not in taken))
    for video in np.argsort(distances.min(1), kind="stable"):
        if len(taken) == budget:
            break
        if int(video) not in taken:
            taken.append(int(video))
    return [Pick(int(candidates[video]), float(pool.difficulty[candidates[video]])) for video in taken]

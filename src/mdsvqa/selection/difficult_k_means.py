"""k-means within the most difficult half: failures first, then of every kind one."""

import numpy as np

from mdsvqa.config import SelectionSettings
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.k_means import medoids
from mdsvqa.selection.opening import Opening

# Of the candidates. A tenth, as prefilters have it where labels are plenty, leaves little to cover at a budget of 5%.
KEPT = 0.5


def difficult_k_means(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """`k_means` among the more difficult half of the candidates, ties to the first in the pool's order.

    Where limits leave budget for more, it goes on with the other half.

    Source: Zhdanov (2019), Diverse mini-batch active learning, whose prefilter keeps a multiple of the batch.
    """
    opening, candidates = Opening(pool, budget), pool.candidates()
    hardest_first = candidates[np.argsort(-pool.difficulty[candidates], kind="stable")]
    # A budget above half of them needs more; in time, `budget` is the whole pool.
    half = max(round(KEPT * len(candidates)), min(opening.most(), len(candidates)))
    parts = (np.sort(hardest_first[:half]), np.sort(hardest_first[half:]))
    chosen = [video for part in parts for video in medoids(pool, opening, part, seed)]
    return [Pick(video, float(pool.difficulty[video])) for video in chosen]

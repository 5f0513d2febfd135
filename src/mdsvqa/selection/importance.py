"""Importance sampling: drawn at random, the difficult more often."""

import numpy as np

from mdsvqa.config import SelectionSettings
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.difficulty_facility import ranks
from mdsvqa.selection.opening import Opening, in_order


def importance(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Draws candidates one after the other without replacement, each with a chance in proportion to its difficulty
    rank in the pool (from 0 to 1).

    Between random selection and the most difficult ones: it prefers failures, and still covers what is dense.

    Source: Efraimidis and Spirakis (2006), weighted random sampling, by one key a video.
    """
    candidates = pool.candidates()
    difficulty = ranks(pool.difficulty)
    # u ** (1 / w) in order; its logarithm, because small weights would round to 0.
    with np.errstate(divide="ignore"):
        keys = np.log(np.random.default_rng(seed).random(len(candidates))) / difficulty[candidates]
    order = candidates[np.argsort(-keys, kind="stable")]
    return [Pick(video, float(difficulty[video])) for video in in_order(Opening(pool, budget), order)]

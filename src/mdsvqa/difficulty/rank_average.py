"""The mean rank under the few inputs, the forest and the second opinion: each errs elsewhere."""

import numpy as np
from scipy.stats import rankdata

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.forest import forest
from mdsvqa.difficulty.ranker import few_inputs
from mdsvqa.difficulty.second_opinion import second_opinion
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.arrays import Floats


def rank_average(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Mean rank within the pool, in (0, 1]; see `DifficultyRule`."""
    members = (few_inputs, forest, second_opinion)
    ranks = [rankdata(member(source, pool, settings, seed)) / len(pool) for member in members]
    mean: Floats = np.mean(ranks, axis=0)
    return mean


PREDICTORS = (Predictor("rank-average", rank_average, "the mean rank under few-inputs, forest and second-opinion"),)

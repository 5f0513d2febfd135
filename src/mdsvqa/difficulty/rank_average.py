"""The mean rank under the few inputs, the forest and the second opinion: each errs elsewhere."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mdsvqa.difficulty.base import Predictor, Source, Videos
from mdsvqa.difficulty.forest import forest
from mdsvqa.difficulty.ranker import few_inputs
from mdsvqa.difficulty.second_opinion import second_opinion
from mdsvqa.difficulty.settings import DifficultySettings


def rank_average(source: Source, pool: Videos, settings: DifficultySettings, seed: int) -> NDArray[np.float64]:
    """Mean rank within the pool, in (0, 1]; see `DifficultyRule`."""
    members = (few_inputs, forest, second_opinion)
    ranks = [rankdata(member(source, pool, settings, seed)) / len(pool) for member in members]
    mean: NDArray[np.float64] = np.mean(ranks, axis=0)
    return mean


PREDICTORS = (Predictor("rank-average", rank_average, "the mean rank under few-inputs, forest and second-opinion"),)

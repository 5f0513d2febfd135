"""Extremely randomised trees on the ranks of f's errors: finds what no line finds, and needs many labels for it."""

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesRegressor

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.ranker import pool_inputs_of, source_inputs
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats


def forest(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Expected rank of the error within its data set; see `DifficultyRule`.

    Source: Geurts et al. (2006).
    """
    inputs = source_inputs(source)
    standardise = Standardiser.fit(inputs)
    ranks = np.empty(len(source))
    for code in np.unique(source.dataset):
        members = source.dataset == code
        ranks[members] = rankdata(source.error[members]) / members.sum()
    trees = grow_trees(standardise(inputs), ranks, settings, seed)
    return np.asarray(trees.predict(standardise(pool_inputs_of(source, pool))), np.float64)


def grow_trees(inputs: Floats, target: Floats, settings: DifficultySettings, seed: int) -> ExtraTreesRegressor:
    """The forest that this room uses, fitted to inputs (n, dims) and a target (n,)."""
    trees = ExtraTreesRegressor(settings.trees, min_samples_leaf=2, max_features=0.3, random_state=seed)
    return trees.fit(inputs, target)


PREDICTORS = (Predictor("forest", forest, "randomised trees on the same inputs"),)

"""Noise stability: how much f's score moves when its features move a little."""

import numpy as np

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.cross_fitting import Predict
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError


def noise_stability(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Change of the score under feature noise; see `DifficultyRule`.

    Raises:
        InputError: f does not read features.
    """
    if source.predict is None:
        raise InputError("rule noise-stability: needs an f that reads features (a saved statistical model).")
    unit = source.standardise.scale
    return score_change(source.predict, pool.features, settings.noise * unit, settings.passes, seed)


def score_change(predict: Predict, features: Floats, noise: Floats, passes: int, seed: int) -> Floats:
    """Root mean square change of a score under Gaussian noise on its features.

    Args:
        predict: from features (n, dims) to scores (n,).
        features: shape (n, dims).
        noise: standard deviation of each feature's noise, shape (dims,).
        passes: draws of the noise, at least 1; all videos get the same draws.
        seed: of the draws.

    Returns:
        Shape (n,), in units of the score.

    Source: after Li et al. (2024), noise stability; they disturb the weights, this disturbs the inputs.

    >>> features = np.array([[0.0], [9.0]])
    >>> score_change(lambda x: 3 * x[:, 0], features, np.array([0.1]), passes=1000, seed=0).round(1).tolist()
    [0.3, 0.3]
    """
    rng = np.random.default_rng(seed)
    before = predict(features)
    squared = np.zeros(len(features))
    for _ in range(passes):
        squared += (predict(features + noise * rng.normal(size=features.shape[1])) - before) ** 2
    return np.sqrt(squared / passes)


PREDICTORS = (
    Predictor("noise-stability", noise_stability, "change of f's score when its features move a little", learns=False),
)

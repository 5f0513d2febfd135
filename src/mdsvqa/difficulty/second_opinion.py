"""A second opinion: what the labels of similar videos say against f.

Errors without their sign hide half of what labels tell: that f is too low on one kind of video and too high on another
says the same "2 points" of both. So the signed error is learned, and the difficulty is the size expected of it.
"""

import numpy as np
from scipy.special import ndtr
from sklearn.svm import SVR

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.cross_fitting import stratified_folds
from mdsvqa.difficulty.forest import grow_trees
from mdsvqa.difficulty.ranker import pool_inputs_of, source_inputs
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats

# Of the support vector regression, on standardised inputs and MOS points; the width counts in 1 / number of inputs.
COST, WIDTH, TUBE = 3.0, 0.1, 0.1
INNER_FOLDS = 3


def second_opinion(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Expected size of the error, given its expected signed value; see `DifficultyRule`.

    The signed error is the mean opinion of a support vector regression and of randomised trees; how far it is off
    itself is measured by cross-fitting.
    """
    inputs, signed = source_inputs(source), source.truth - source.placed
    # Scores move by what f is calibrated to: the regression sees both.
    inputs = np.column_stack([inputs, source.placed])
    others = np.column_stack([pool_inputs_of(source, pool), source.place(pool.score)])
    fold = stratified_folds(source.dataset, INNER_FOLDS, seed)
    off = np.empty(len(source))
    for k in range(INNER_FOLDS):
        known, held_out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(known) and len(held_out):
            off[held_out] = signed[held_out] - _opinion(inputs[known], signed[known], inputs[held_out], settings, seed)
    spread = float(np.sqrt(np.mean(off**2)))
    return expected_size(_opinion(inputs, signed, others, settings, seed), spread)


def _opinion(inputs: Floats, signed: Floats, others: Floats, settings: DifficultySettings, seed: int) -> Floats:
    standardise = Standardiser.fit(inputs)
    z, at = standardise(inputs), standardise(others)
    smooth = SVR(C=COST, gamma=WIDTH / z.shape[1], epsilon=TUBE).fit(z, signed)
    rough = grow_trees(z, signed, settings, seed)
    return np.asarray(smooth.predict(at) + rough.predict(at), np.float64) / 2


def expected_size(mean: Floats, spread: Floats | float) -> Floats:
    """Expected absolute value of a normal number.

    Args:
        mean: shape (n,).
        spread: standard deviation, at least 0, of all or of each.

    Source: Leone, Nelson and Nottingham (1961), the folded normal distribution.

    >>> expected_size(np.array([0.0, -2.0]), 1.0).round(4).tolist()
    [0.7979, 2.017]
    """
    size, known = np.abs(mean), np.broadcast_to(spread, mean.shape) > 0
    ratio = size / np.where(known, spread, 1.0)
    density: Floats = np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    return np.where(known, spread * density + size * (1 - 2 * ndtr(-ratio)), size)


PREDICTORS = (Predictor("second-opinion", second_opinion, "what the labels of similar videos say against f"),)

"""How wrong f is on a labeled video: in MOS points, after calibration, or in ranks.

Each kind puts f's scores and MOS on one scale, and the error is their distance there. All work within a data set: two
studies never share a scale.
"""

import numpy as np
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression

from mdsvqa.difficulty.cross_fitting import stratified_folds
from mdsvqa.difficulty.settings import ErrorName
from mdsvqa.runtime.arrays import Floats, Ints


def measured_errors(
    kind: ErrorName, score: Floats, mos: Floats, dataset: Ints, folds: int = 5, seed: int = 0
) -> Floats:
    """Errors of the named kind, at least 0, shape (n,); arguments as `on_error_scale`.

    >>> score, mos = np.array([1.0, 2.0, 5.0]), np.array([2.0, 4.0, 3.0])
    >>> measured_errors("raw", score, mos, np.zeros(3, int)).tolist()
    [1.0, 2.0, 2.0]
    >>> measured_errors("rank", score, mos, np.zeros(3, int)).round(2).tolist()
    [0.0, 0.33, 0.33]
    """
    placed, truth = on_error_scale(kind, score, mos, dataset, folds, seed)
    return np.abs(placed - truth)


def on_error_scale(
    kind: ErrorName, score: Floats, mos: Floats, dataset: Ints, folds: int = 5, seed: int = 0
) -> tuple[Floats, Floats]:
    """f's scores and MOS, placed so that the error is their distance.

    Args:
        kind: "raw" leaves both as they are; "calibrated" maps f's scores by the monotone fit to MOS, made on the folds
            that the video is not in; "rank" replaces both by their rank within the data set.
        score, mos: shape (n,).
        dataset: integer code of each label's study, shape (n,).
        folds, seed: of the calibration.

    Returns:
        Scores and MOS on that scale, shape (n,) each: MOS points, or ranks in (0, 1).
    """
    if kind == "raw":
        return score, mos
    if kind == "rank":
        return _within(dataset, score), _within(dataset, mos)
    placed = np.empty(len(score))
    fold = stratified_folds(dataset, folds, seed)
    for code in np.unique(dataset):
        for k in range(folds):
            held_out = (dataset == code) & (fold == k)
            others = (dataset == code) & (fold != k)
            # A data set of one has nobody to be calibrated by.
            fitted_on = others if others.any() else held_out
            if held_out.any():
                placed[held_out] = monotone_fit(score[fitted_on], mos[fitted_on], score[held_out])
    return placed, mos


def place_scores(kind: ErrorName, new: Floats, score: Floats, mos: Floats, dataset: Ints) -> Floats:
    """Scores of unlabeled videos on the scale of the errors.

    Args:
        kind: of the errors.
        new: f's scores of other videos, shape (m,).
        score, mos, dataset: of the labeled videos, shape (n,); where they are of several data sets, each data set
            places the new scores and the mean counts.

    Returns:
        Shape (m,).
    """
    if kind == "raw":
        return new
    parts = []
    for code in np.unique(dataset):
        known = dataset == code
        if kind == "calibrated":
            parts.append(monotone_fit(score[known], mos[known], new))
        else:
            parts.append(_rank_among(score[known], new))
    placed: Floats = np.mean(parts, axis=0)
    return placed


def monotone_fit(score: Floats, mos: Floats, new: Floats) -> Floats:
    """MOS expected at new scores by the best rising fit of MOS on the scores, constant beyond both ends.

    Source: Barlow et al. (1972), isotonic regression.

    >>> monotone_fit(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 3.0]), np.array([0.0, 1.0, 2.5, 9.0])).tolist()
    [2.0, 2.0, 3.5, 3.5]
    """
    fit = IsotonicRegression(out_of_bounds="clip").fit(score, mos)
    return np.asarray(fit.predict(new), np.float64)


def _within(dataset: Ints, values: Floats) -> Floats:
    ranks = np.empty(len(values))
    for code in np.unique(dataset):
        members = dataset == code
        ranks[members] = (rankdata(values[members]) - 0.5) / members.sum()
    return ranks


def _rank_among(known: Floats, new: Floats) -> Floats:
    """Where new values would stand among known ones, in [0, 1]; ties in the middle."""
    ordered = np.sort(known)
    below, above = (np.searchsorted(ordered, new, side=side) for side in ("left", "right"))
    return (below + above) / (2 * len(known))

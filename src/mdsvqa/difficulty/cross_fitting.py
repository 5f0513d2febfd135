"""Honest errors of f: each labeled video is scored by a model that never saw its label.

A model's errors on its own training set predict nothing about a new domain: they are small everywhere, and where they
are not small they are the noise of the labels.
"""

from collections.abc import Callable

import numpy as np

from mdsvqa.models.statistical.kernel_model import LabeledFeatures
from mdsvqa.runtime.arrays import Floats, Ints

Predict = Callable[[Floats], Floats]
# Trains f anew on labeled videos and returns how it scores features (n, dims) -> (n,).
Refit = Callable[[LabeledFeatures], Predict]


def cross_fitted_scores(data: LabeledFeatures, refit: Refit, folds: int, seed: int) -> tuple[Floats, Ints]:
    """Scores of each labeled video by an f trained without its fold.

    Args:
        data: labeled videos; every data set is spread evenly over the folds.
        refit: trains f.
        folds: at least 2.
        seed: of the split.

    Returns:
        Scores (n,) and the fold of each video (n,).
    """
    fold = stratified_folds(data.dataset, folds, seed)
    scores = np.empty(len(data))
    for k in range(folds):
        held_out = fold == k
        predict = refit(data.take(np.flatnonzero(~held_out)))
        scores[held_out] = predict(data.features[held_out])
    return scores, fold


def stratified_folds(dataset: Ints, folds: int, seed: int) -> Ints:
    """A fold for each video, every data set spread evenly.

    >>> folds = stratified_folds(np.array([0, 0, 0, 0, 1, 1]), folds=2, seed=0)
    >>> np.bincount(folds[:4]).tolist(), np.bincount(folds[4:]).tolist()
    ([2, 2], [1, 1])
    """
    rng = np.random.default_rng(seed)
    fold = np.empty(len(dataset), np.int64)
    for code in np.unique(dataset):
        members = rng.permutation(np.flatnonzero(dataset == code))
        fold[members] = np.arange(len(members)) % folds
    return fold


def committee_spread(
    data: LabeledFeatures, refit: Refit, members: int, others: Floats, seed: int
) -> tuple[Floats, Floats]:
    """How much bootstrap refits of f disagree.

    Args:
        data: labeled videos, from which each member's training set is drawn with replacement.
        refit: trains a member.
        members: of the committee, at least 4.
        others: features (m, dims) of unlabeled videos.
        seed: of the draws.

    Returns:
        Standard deviation over the members that were not trained on the video, for each labeled video (n,); over all
        members for each other video (m,). Both estimate the same spread.

    Source: Seung et al. (1992), query by committee; out-of-bag use by Breiman (1996).
    """
    rng = np.random.default_rng(seed)
    inside, outside = np.full((members, len(data)), np.nan), np.empty((members, len(others)))
    for member in range(members):
        drawn = _bootstrap(data.dataset, rng)
        predict = refit(data.take(drawn))
        scores = predict(np.concatenate([data.features, others]))
        left_out = np.setdiff1d(np.arange(len(data)), drawn)
        inside[member, left_out] = scores[left_out]
        outside[member] = scores[len(data) :]
    return _spread(inside), outside.std(0, ddof=1)


def _bootstrap(dataset: Ints, rng: np.random.Generator) -> Ints:
    drawn = [rng.choice(np.flatnonzero(dataset == code), int((dataset == code).sum())) for code in np.unique(dataset)]
    return np.sort(np.concatenate(drawn))


def _spread(scores: Floats) -> Floats:
    """Standard deviation over the members present in each column; the mean one where fewer than 2 are."""
    present = np.isfinite(scores).sum(0)
    enough = present >= 2
    if not enough.any():
        return np.zeros(scores.shape[1])
    spread = np.empty(scores.shape[1])
    spread[enough] = np.nanstd(scores[:, enough], axis=0, ddof=1)
    spread[~enough] = spread[enough].mean()
    return spread

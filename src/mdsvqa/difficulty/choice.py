"""Which predictor to trust on a new domain: the one that ranks errors best on a part of the source it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from mdsvqa.difficulty.base import KnownErrors
from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.runtime.arrays import Ints

# Clusters of content where there are not as many data sets; and videos that a rank correlation needs.
GROUPS, FEWEST = 5, 8


@dataclass(frozen=True)
class Validated:
    """How well one predictor ranked errors in groups of videos that it was not trained on.

    Attributes:
        name: of the predictor.
        srcc: with the errors, within each group; NaN where a group's errors are all equal.
        weights: videos of each group.
    """

    name: str
    srcc: Sequence[float]
    weights: Sequence[int]

    @property
    def mean(self) -> float:
        """Over groups, by their videos; 0 where no group could be ranked."""
        values, weights = np.nan_to_num(np.array(self.srcc)), np.array(self.weights, np.float64)
        return float(values @ weights / weights.sum()) if weights.sum() else 0.0


def cross_validate(source: KnownErrors, settings: DifficultySettings, seed: int) -> list[Validated]:
    """Rank correlation of every predictor with the errors of groups left out in turn.

    Groups are data sets where there are five or more of them, else clusters of the features: what is best on more of
    the same transfers badly (README, "Which rule?"), and the pool is not more of the same.
    """
    group = content_groups(source, seed)
    codes = [code for code in np.unique(group) if (group == code).sum() >= FEWEST and (group != code).sum() >= FEWEST]
    members = [np.flatnonzero(group == code) for code in codes]
    found = []
    for name, predictor in PREDICTORS.items():
        values = []
        for held_out in members:
            known = np.setdiff1d(np.arange(len(source)), held_out)
            predicted = predictor.predict(source.take(known), source.videos.take(held_out), settings, seed)
            values.append(srcc(predicted, source.error[held_out]))
        found.append(Validated(name, values, [len(held_out) for held_out in members]))
    return found


def best_predictor(found: Sequence[Validated]) -> str:
    """The simplest predictor within one standard error of the best one.

    Args:
        found: the simplest first.

    Source: the one-standard-error rule of Breiman et al. (1984), on differences paired by group.

    >>> few = Validated("few-inputs", [0.20, 0.30, 0.10], [9, 9, 9])
    >>> best_predictor([few, Validated("forest", [0.50, 0.10, 0.12], [9, 9, 9])])
    'few-inputs'
    >>> best_predictor([few, Validated("forest", [0.50, 0.60, 0.42], [9, 9, 9])])
    'forest'
    """
    best = max(found, key=lambda validated: validated.mean)
    for validated in found:
        difference = np.nan_to_num(np.array(best.srcc)) - np.nan_to_num(np.array(validated.srcc))
        error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.inf
        if best.mean - validated.mean <= error:
            return validated.name
    return best.name


def content_groups(source: KnownErrors, seed: int) -> Ints:
    """The group of each labeled video, shape (n,): its data set, or its cluster where there are fewer than five."""
    if len(np.unique(source.dataset)) >= GROUPS:
        return source.dataset
    z = source.standardise(source.videos.features)
    clusters = KMeans(min(GROUPS, len(z)), n_init=1, random_state=seed).fit(z)
    return np.asarray(clusters.labels_, np.int64)

"""What every failure predictor, and every rule it is compared with, gets and gives."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from mdsvqa.difficulty.cross_fitting import Predict
from mdsvqa.difficulty.errors import on_error_scale, place_scores
from mdsvqa.difficulty.settings import DifficultySettings, ErrorName
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats, Ints

NEIGHBOURS = 5


@dataclass(frozen=True)
class Unlabeled:
    """What is known of videos without their labels, as arrays of one length n.

    Attributes:
        features: of any kind, NaN where one could not be computed, shape (n, dims).
        score: f's, shape (n,), 1-5.
        spread: of a committee of refitted f, shape (n,), MOS points; zeros where f cannot be refitted.
        readings: f's own spread over repeated readings, shape (n,), MOS points; zeros where it was read once.
    """

    features: Floats
    score: Floats
    spread: Floats
    readings: Floats

    @classmethod
    def of(
        cls, features: Floats, score: Floats, spread: Floats | None = None, readings: Floats | None = None
    ) -> "Unlabeled":
        """Videos of which some numbers may be unknown; an unknown reading among known ones is 0 too."""
        zeros = np.zeros(len(score))
        known = zeros if readings is None else np.nan_to_num(readings)
        return cls(features, score, zeros if spread is None else spread, known)

    def __len__(self) -> int:
        return len(self.score)

    def take(self, chosen: Ints) -> "Unlabeled":
        return Unlabeled(self.features[chosen], self.score[chosen], self.spread[chosen], self.readings[chosen])


@dataclass(frozen=True)
class KnownErrors:
    """The labeled videos whose errors a failure predictor learns from.

    Attributes:
        videos: n of them; their scores come from an f that did not know the video's label, where that can be had.
        mos: shape (n,), 1-5.
        dataset: integer code of each label's study, shape (n,).
        placed, truth: f and MOS on the scale on which they are compared; the error is their distance. Shape (n,).
        kind: of the error.
        learned_from: features of the videos that f learned from, shape (m, dims), where they are others than these.
        predict: how f scores features, where f reads features.
    """

    videos: Unlabeled
    mos: Floats
    dataset: Ints
    placed: Floats
    truth: Floats
    kind: ErrorName
    learned_from: Floats | None = None
    predict: Predict | None = None

    @classmethod
    def of(
        cls,
        videos: Unlabeled,
        mos: Floats,
        dataset: Ints,
        settings: DifficultySettings,
        seed: int,
        *,
        learned_from: Floats | None = None,
        predict: Predict | None = None,
    ) -> "KnownErrors":
        """Measures the errors that the settings name."""
        placed, truth = on_error_scale(settings.error, videos.score, mos, dataset, settings.folds, seed)
        return cls(videos, mos, dataset, placed, truth, settings.error, learned_from, predict)

    def __len__(self) -> int:
        return len(self.mos)

    @property
    def error(self) -> Floats:
        """What f got wrong, at least 0, shape (n,)."""
        return np.abs(self.placed - self.truth)

    @cached_property
    def standardise(self) -> Standardiser:
        """Of features, by these videos."""
        return Standardiser.fit(self.videos.features)

    def take(self, chosen: Ints) -> "KnownErrors":
        return KnownErrors(
            self.videos.take(chosen),
            self.mos[chosen],
            self.dataset[chosen],
            self.placed[chosen],
            self.truth[chosen],
            self.kind,
            self.learned_from,
            self.predict,
        )

    def place(self, score: Floats) -> Floats:
        """Other scores of f on the scale of the errors, shape (m,)."""
        return place_scores(self.kind, score, self.videos.score, self.mos, self.dataset)

    def distances(self, others: Unlabeled | None = None) -> Floats:
        """Mean distance to the nearest videos that f learned from, of other videos or of these themselves."""
        themselves = others is None and self.learned_from is None
        known = self.videos.features if self.learned_from is None else self.learned_from
        asked = self.videos if others is None else others
        return distance_to_labeled(self.standardise(asked.features), self.standardise(known), themselves=themselves)


class DifficultyRule(Protocol):
    """The contract of a predictor or rule: a pure function of what is labeled, what is not, the settings and a seed."""

    def __call__(self, source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
        """Difficulty of each video of the pool, shape (m,), finite; higher is harder, only the order means anything."""
        ...


@dataclass(frozen=True)
class Predictor:
    """A way to a difficulty; `difficulty.catalogue` has them all.

    Attributes:
        name: in a study.yaml and on the command line.
        predict: the function.
        about: what it goes by, in a line.
        learns: from f's errors; those that do not are what predictors are compared with.
    """

    name: str
    predict: DifficultyRule
    about: str
    learns: bool = True


def distance_to_labeled(features: Floats, labeled: Floats, *, themselves: bool = False) -> Floats:
    """Mean Euclidean distance to the 5 nearest labeled videos.

    Args:
        features: standardised, shape (n, dims).
        labeled: shape (m, dims).
        themselves: the two are the same videos, and none counts as its own neighbour.

    Returns:
        Shape (n,).
    """
    squared = (features**2).sum(1)[:, None] + (labeled**2).sum(1)[None, :] - 2 * features @ labeled.T
    if themselves:
        np.fill_diagonal(squared, np.inf)
    nearest = min(NEIGHBOURS, len(labeled) - themselves)
    closest = np.partition(np.maximum(squared, 0), nearest - 1, axis=1)[:, :nearest]
    mean: Floats = np.sqrt(closest).mean(1)
    return mean

"""The failure predictor g as the loop's default: a linear ranker of f's errors, trained with the fidelity loss."""

from dataclasses import dataclass

import numpy as np

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.ranking_loss import WeighedPairs, fidelity_of, minimise
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats, Ints

# The middle of the 1-5 scale: f's errors grow towards its ends.
MIDDLE = 3.0
# Inputs that are no features.
FEW = 5


@dataclass(frozen=True)
class FailurePredictor:
    """g(x) = weights . z(x). Only the order of its values means anything.

    Attributes:
        standardise: of the inputs.
        weights: shape (inputs,).
    """

    standardise: Standardiser
    weights: Floats

    def predict(self, inputs: Floats) -> Floats:
        """Predicted difficulty, shape (n,), for inputs of shape (n, inputs)."""
        return self.standardise(inputs) @ self.weights


def linear(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """The linear ranker on few inputs and, weaker, on the features; see `DifficultyRule`."""
    inputs, pool_inputs = source_inputs(source), pool_inputs_of(source, pool)
    return fit_failure_predictor(inputs, source.error, source.dataset, settings, seed).predict(pool_inputs)


def few_inputs(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """The linear ranker without features; see `DifficultyRule`."""
    inputs, pool_inputs = source_inputs(source)[:, :FEW], pool_inputs_of(source, pool)[:, :FEW]
    return fit_failure_predictor(inputs, source.error, source.dataset, settings, seed).predict(pool_inputs)


def source_inputs(source: KnownErrors) -> Floats:
    """What g sees of the labeled videos, as `failure_inputs` gives it."""
    return failure_inputs(source.videos, source.distances(), source.standardise(source.videos.features))


def pool_inputs_of(source: KnownErrors, pool: Unlabeled) -> Floats:
    """What g sees of the pool, as `failure_inputs` gives it."""
    return failure_inputs(pool, source.distances(pool), source.standardise(pool.features))


def failure_inputs(videos: Unlabeled, distance: Floats, features: Floats) -> Floats:
    """What g sees of each video.

    Args:
        videos: n of them.
        distance: to the labeled videos, shape (n,), at least 0.
        features: standardised, shape (n, dims).

    Returns:
        Shape (n, 5 + dims): score, its squared distance from the middle of the scale, log spread of the committee, log
        distance, log spread of f's own readings, features.
    """
    tiny = 1e-6
    few = [videos.score, (videos.score - MIDDLE) ** 2]
    few += [np.log(values + tiny) for values in (videos.spread, distance, videos.readings)]
    return np.concatenate([np.stack(few, axis=1), features], axis=1)


def fit_failure_predictor(
    inputs: Floats,
    errors: Floats,
    dataset: Ints,
    settings: DifficultySettings,
    seed: int = 0,
) -> FailurePredictor:
    """Trains g to rank videos by f's error.

    Args:
        inputs: as `failure_inputs` gives them, shape (n, 5 + dims).
        errors: of f, cross-fitted where f can be refitted, shape (n,), at least 0.
        dataset: integer code of each label's study, shape (n,); errors are compared within a study only, and every
            study's pairs together weigh the same.
        settings: of the objective.
        seed: which pairs are used where a study has more than `settings.most_pairs`.

    Source: Zou et al. (2026), section 3: fidelity loss of Thurstone's probability, unit variances.
    """
    standardise = Standardiser.fit(inputs)
    # A prior: the many features together may say `features_share` of what one of the first inputs says.
    weaker = np.ones(inputs.shape[1])
    weaker[FEW:] = settings.features_share / np.sqrt(max(inputs.shape[1] - FEW, 1))
    z = standardise(inputs) * weaker
    pairs = WeighedPairs.within(errors, dataset, settings.most_pairs, seed)
    if len(pairs) == 0:
        return FailurePredictor(standardise, np.zeros(inputs.shape[1]))
    difference = z[pairs.better] - z[pairs.worse]

    def objective(weights: Floats) -> tuple[float, Floats]:
        loss, by_pair = fidelity_of(difference @ weights, pairs)
        decay = settings.weight_decay
        return loss + decay * float(weights @ weights), by_pair @ difference + 2 * decay * weights

    weights = minimise(objective, inputs.shape[1], settings.steps)
    return FailurePredictor(standardise, weights * weaker)


PREDICTORS = (
    Predictor("few-inputs", few_inputs, "a linear ranker on f's score, its spread, and the distance to the source"),
    Predictor("linear", linear, "the same, and the features with less weight"),
)

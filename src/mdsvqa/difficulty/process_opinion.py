"""A second opinion that knows how sure it is: a Gaussian process of the signed error of f."""

import numpy as np
from scipy.linalg import cho_solve

from mdsvqa.difficulty.base import KnownErrors, Predictor, Unlabeled
from mdsvqa.difficulty.second_opinion import expected_size
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.joint_normal import cholesky
from mdsvqa.models.statistical.kernels import fit_gaussian_process
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats

# Labeled videos that are solved for; as many take some seconds.
MOST = 5000


def process_opinion(source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int) -> Floats:
    """Expected size of the error under the posterior of the signed error; see `DifficultyRule`.

    Beside a few features of a video stand f's score and where it is placed, so that an error that grows with the score
    is seen. Far from the source's videos the posterior is wide, and that too makes a large error likely.
    """
    inputs = np.column_stack([source.videos.features, source.videos.score, source.placed])
    others = np.column_stack([pool.features, pool.score, source.place(pool.score)])
    signed = source.truth - source.placed
    kept = np.sort(np.random.default_rng(seed).permutation(len(signed))[:MOST])
    inputs, signed = inputs[kept], signed[kept]
    standardise = Standardiser.fit(inputs)
    z, at = standardise(inputs), standardise(others)
    middle, unit = float(signed.mean()), float(signed.std()) or 1.0
    prior = fit_gaussian_process(z, (signed - middle) / unit, [z.shape[1]])
    factor = cholesky(prior.kernel(z, z) + prior.noise * np.eye(len(z)))
    across = prior.kernel(at, z)
    mean = across @ cho_solve(factor, (signed - middle) / unit)
    variance = prior.kernel.variance + prior.noise - np.einsum("ij,ji->i", across, cho_solve(factor, across.T))
    return expected_size(middle + unit * mean, unit * np.sqrt(np.maximum(variance, 0)))


PREDICTORS = (Predictor("process-opinion", process_opinion, "what a Gaussian process of f's errors expects"),)

"""Scores from pairs: Thurstone's model with a weak prior, so that every design gives finite scores and intervals.

An unbeaten video, or a group that was never compared with the others, has no maximum of the likelihood; with the prior
it has a score and a wide interval.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_ndtr

from mdsvqa.labeling.estimate import NORMAL, Estimate, sums
from mdsvqa.labeling.parts import compared_parts
from mdsvqa.labeling.votes import PairVotes
from mdsvqa.runtime.arrays import Floats, Ints

# Standard deviation of scores under the prior, in units of the noise of one reading. Scores of studies span three or
# four units; two videos six apart are told apart in all of a hundred thousand answers.
PRIOR = 3.0
CONVERGED, MOST_STEPS = 1e-10, 100


@dataclass(frozen=True)
class Posterior:
    """What is known of the scores, as a normal distribution.

    Attributes:
        score: shape (videos,).
        covariance: shape (videos, videos).
    """

    score: Floats
    covariance: Floats


def thurstone(votes: PairVotes) -> Estimate:
    """Scores of the videos of pairs, in units of the noise of one reading, with mean 0 in every linked group.

    Args:
        votes: that count.

    Source: Thurstone (1927), case V; "cannot tell" counts half each way (Glenn and David, 1960, discuss ties). The
        interval is Laplace's.
    """
    found = posterior(votes.first, votes.second, votes.preference, len(votes.videos))
    se = np.sqrt(np.diag(found.covariance))
    n = votes.per_video()
    nothing = np.full(len(votes.raters), np.nan)
    score, se = np.where(n > 0, found.score, np.nan), np.where(n > 0, se, np.nan)
    low, high = score - NORMAL * se, score + NORMAL * se
    part = compared_parts(votes)
    return Estimate(
        "pairs", {"prior": PRIOR}, score, low, high, se, n, nothing, nothing, nothing, None, part, scale="pairs"
    )


def posterior(first: Ints, second: Ints, preference: Floats, videos: int, prior: float = PRIOR) -> Posterior:
    """The scores' mode and, from the curvature there, their covariance.

    The mode maximises the sum of p log Phi(d) + (1 - p) log Phi(-d), d = (score of first - score of second) / sqrt(2),
    over the answers p, less that of score^2 / (2 prior^2).

    Args:
        first, second: videos of each answer, shape (n,).
        preference: for the first, in [0, 1], shape (n,).
        videos: how many.
        prior: standard deviation.

    >>> found = posterior(np.array([0]), np.array([1]), np.array([0.5]), 2)
    >>> found.score.tolist()
    [0.0, 0.0]
    """
    score = np.zeros(videos)
    height = _height(score, first, second, preference, prior)
    for _ in range(MOST_STEPS):
        slope, curvature = _derivatives(score, first, second, preference, prior)
        step = cho_solve(cho_factor(curvature), slope)
        # The likelihood is concave; far from its top a whole step may go beyond it.
        while (reached := _height(score + step, first, second, preference, prior)) < height:
            step = step / 2
            if np.abs(step).max() < CONVERGED:
                break
        score, height = score + step, max(reached, height)
        if np.abs(step).max() < CONVERGED:
            break
    _, curvature = _derivatives(score, first, second, preference, prior)
    return Posterior(score, cho_solve(cho_factor(curvature), np.eye(videos)))


def _height(score: Floats, first: Ints, second: Ints, preference: Floats, prior: float) -> float:
    d = (score[first] - score[second]) / np.sqrt(2)
    likelihood = preference * log_ndtr(d) + (1 - preference) * log_ndtr(-d)
    return float(likelihood.sum() - (score**2).sum() / (2 * prior**2))


def _derivatives(score: Floats, first: Ints, second: Ints, preference: Floats, prior: float) -> tuple[Floats, Floats]:
    """Gradient and negative Hessian of the height."""
    videos, d = len(score), (score[first] - score[second]) / np.sqrt(2)
    log_density = -(d**2) / 2 - np.log(2 * np.pi) / 2
    won, lost = np.exp(log_density - log_ndtr(d)), np.exp(log_density - log_ndtr(-d))
    pull = (preference * won - (1 - preference) * lost) / np.sqrt(2)
    bend = (preference * won * (won + d) + (1 - preference) * lost * (lost - d)) / 2
    slope = sums(first, pull, videos) - sums(second, pull, videos) - score / prior**2
    pairs = sums(first * videos + second, bend, videos * videos).reshape(videos, videos)
    curvature = -(pairs + pairs.T)
    curvature[np.diag_indices(videos)] = sums(first, bend, videos) + sums(second, bend, videos) + 1 / prior**2
    return slope, curvature

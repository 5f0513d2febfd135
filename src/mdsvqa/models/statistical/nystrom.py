"""The Gaussian process over two domains where there are too many labels to solve for: by some of the videos."""

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import softmax

from mdsvqa.models.statistical.joint_normal import MEMBERS, OFFSET, Posterior, cholesky, data_sets, inverse_of
from mdsvqa.models.statistical.kernels import GaussianProcess
from mdsvqa.runtime.arrays import Floats, Ints

# Of the kernel, so that landmarks that nearly coincide do no harm.
JITTER = 1e-6


def nystrom_posterior(
    prior: GaussianProcess, source: Floats, y: Floats, new: Floats, y_new: Floats, groups: Ints, landmarks: Floats
) -> Posterior:
    """As `two_domain_posterior`, with k replaced by k(x, landmarks) K^-1 k(landmarks, x') between any two videos.

    That makes quality linear in m = len(landmarks) features phi(x), with weights w_S ~ N(0, I) on the source; those of
    the new domain are rho w_S + sqrt(1 - rho^2) v. What the approximation leaves out of a video's own variance is added
    back, so that far from all landmarks nothing is known.

    Args:
        prior, source, y, new, y_new, groups: as there.
        landmarks: standardised features, shape (m, dims).

    Returns:
        The posterior on u(x) = (k(x, landmarks), 1).

    Source: Williams and Seeger (2001); Quinonero-Candela and Rasmussen (2005), section 5.
    """
    k, noise, m = prior.kernel, prior.noise, len(landmarks)
    root = np.tril(cholesky(k(landmarks, landmarks) + JITTER * k.variance * np.eye(m))[0])

    def phi(z: Floats) -> Floats:
        return np.asarray(solve_triangular(root, k(landmarks, z), lower=True), np.float64).T

    told, asked = phi(source), phi(new)
    of_source = inverse_of(cholesky(np.eye(m) + told.T @ told / noise))
    weights_there = of_source @ (told.T @ y) / noise
    member, chance = data_sets(groups)
    features = np.column_stack([asked, member])
    gram, count = features.T @ features, m + len(chance)
    means, covariances, evidence = [], [], []
    for rho, ratio in MEMBERS:
        before = np.zeros((count, count))
        before[:m, :m] = rho**2 * of_source + (1 - rho**2) * np.eye(m)
        before[m:, m:] = OFFSET * np.eye(len(chance))
        prior_factor, variance = cholesky(before), ratio * noise
        factor = cholesky(inverse_of(prior_factor) + gram / variance)
        off = y_new - rho * (asked @ weights_there)
        seen = features.T @ off / variance
        found = cho_solve(factor, seen)
        logs = float(np.log(np.diag(factor[0])).sum() + np.log(np.diag(prior_factor[0])).sum())
        fit = float(off @ off / variance - seen @ found)
        evidence.append(-0.5 * (fit + len(new) * np.log(variance)) - logs)
        found[:m] += rho * weights_there
        means.append(found)
        covariances.append(inverse_of(factor))
    weights = softmax(np.array(evidence))
    every = np.array(means)
    mean = weights @ every
    covariance = sum(w * (c + np.outer(e, e)) for w, c, e in zip(weights, covariances, every, strict=True))
    covariance = np.asarray(covariance, np.float64) - np.outer(mean, mean)
    # From u to the features: phi(x) = root^-1 k(landmarks, x), and the mean of the offsets.
    to_features = np.zeros((count, m + 1))
    to_features[:m, :m] = solve_triangular(root, np.eye(m), lower=True)
    to_features[m:, m] = chance
    reduction = to_features.T @ (np.diag(np.repeat([1.0, OFFSET], [m, len(chance)])) - covariance) @ to_features
    ratio = float(weights @ [ratio for _, ratio in MEMBERS])
    total = k.variance + OFFSET * float(chance @ chance) + ratio * noise
    return Posterior(to_features.T @ mean, reduction, total, weights)

"""The joint normal distribution of labels of two domains: what holds of the source on the new labels.

Quality on the source is f_S ~ GP(0, k). On the new domain it is f_D ~ GP(0, k) with correlation rho to f_S; each new
data set has an offset of its own, and its labels may be noisier. Given rho and the noise all is in closed form; over
these it is averaged, by the likelihood of the new labels.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dpotri
from scipy.special import softmax

from mdsvqa.models.statistical.kernels import GaussianProcess
from mdsvqa.runtime.arrays import Floats, Ints

# Correlations of the two domains, and noise of the new labels in that of the source's.
CORRELATIONS = (0.7, 0.8, 0.9, 0.95)
NOISE_RATIOS = (1.0, 2.0)
MEMBERS = tuple(product(CORRELATIONS, NOISE_RATIOS))
# Variance of the offset of a new data set, in z-scores: wide, so that its labels alone say where it lies.
OFFSET = 4.0
# Of a member of the average, below which it is left out.
LEAST_WEIGHT = 1e-12

Factor = tuple[Floats, bool]


@dataclass(frozen=True)
class Posterior:
    """What is known of a video's label, from u(x) = (k(x, source), k(x, new), 1).

    Its mean is u'mean, its variance prior - u' reduction u.

    Attributes:
        mean: shape (n + 1,); its last entry is the offset.
        reduction: shape (n + 1, n + 1).
        prior: variance of a label before anything is known, offset and noise included.
        weights: of the members of the average, shape (len(MEMBERS),).
    """

    mean: Floats
    reduction: Floats
    prior: float
    weights: Floats


def cholesky(matrix: Floats) -> Factor:
    """Cholesky factor of a symmetric matrix, with as little on its diagonal as makes it positive definite."""
    jitter, unit = 0.0, float(np.abs(np.diag(matrix)).mean())
    while True:
        try:
            factor, lower = cho_factor(matrix + jitter * np.eye(len(matrix)) if jitter else matrix, lower=True)
            return factor, bool(lower)
        except LinAlgError:
            if jitter > unit:
                raise
            jitter = max(10 * jitter, 1e-12 * unit)


def inverse_of(factor: Factor) -> Floats:
    """The inverse of a matrix from its Cholesky factor, in a third of the work of solving for each column."""
    lower, _ = dpotri(factor[0], lower=factor[1])
    return np.tril(lower) + np.tril(lower, -1).T


def two_domain_posterior(
    prior: GaussianProcess, source: Floats, y: Floats, new: Floats, y_new: Floats, groups: Ints
) -> Posterior:
    """The posterior of the label of a video of the new domain.

    With K = k on all pairs, s^2 the noise, b = (K_SS + s^2 I)^-1 y_S and B = (K_SS + s^2 I)^-1 K_SD: given rho and q
    the new labels are normal with mean rho K_DS b and covariance C = K_DD - rho^2 K_DS B + c [same data set] + q s^2 I.
    With e = y_D - rho K_DS b and alpha = C^-1 e, their log-likelihood is -e'alpha / 2 - log|C| / 2, and the label of x
    has mean rho K_xS b + w alpha with w = K_xD - rho^2 K_xS B + c p, where p is the share of each new label's data set
    among the new labels: the offset of x is the mean of theirs.

    Args:
        prior: of the source.
        source, y: standardised features (n_S, dims) and z-scored labels (n_S,) of the source.
        new, y_new: of the new domain, (n_D, dims) and (n_D,), n_D >= 1.
        groups: code of the data set of each new label, shape (n_D,).

    Source: Kennedy and O'Hagan (2000), equation 2, with one correlation; Rasmussen and Williams (2006), equation 2.25.
    """
    k, noise = prior.kernel, prior.noise
    across, within = k(source, new), k(new, new)
    of_source = cholesky(k(source, source) + noise * np.eye(len(source)))
    b, solved = cho_solve(of_source, y), cho_solve(of_source, across)
    told = across.T @ solved
    member, chance = data_sets(groups)
    # Covariances of the offsets: among the new labels, and with that of x.
    same, offset = OFFSET * member @ member.T, OFFSET * member @ chance

    def factor_of(rho: float, ratio: float) -> Factor:
        covariance = within - rho**2 * told + same
        covariance[np.diag_indices_from(covariance)] += ratio * noise
        return cholesky(covariance)

    means, evidence = [], []
    for rho, ratio in MEMBERS:
        factor = factor_of(rho, ratio)
        off = y_new - rho * (across.T @ b)
        alpha = cho_solve(factor, off)
        evidence.append(-0.5 * float(off @ alpha) - float(np.log(np.diag(factor[0])).sum()))
        means.append(np.concatenate([rho * b - rho**2 * (solved @ alpha), alpha, [offset @ alpha]]))
    weights = softmax(np.array(evidence))
    # Sums over the members of weight * rho^power * C^-1.
    inverses = {power: np.zeros_like(within) for power in (0, 2, 4)}
    for weight, (rho, ratio) in zip(weights, MEMBERS, strict=True):
        if weight > LEAST_WEIGHT:
            inverse = inverse_of(factor_of(rho, ratio))
            for power in inverses:
                inverses[power] += weight * rho**power * inverse
    squared = float(weights @ [rho**2 for rho, _ in MEMBERS])
    source_part = squared * inverse_of(of_source) + solved @ inverses[4] @ solved.T
    both, to_offset = -solved @ inverses[2], np.array([offset @ inverses[0] @ offset])
    reduction = np.block(
        [
            [source_part, both, (both @ offset)[:, None]],
            [both.T, inverses[0], (inverses[0] @ offset)[:, None]],
            [(both @ offset)[None, :], (inverses[0] @ offset)[None, :], to_offset[None, :]],
        ]
    )
    every = np.array(means)
    mean = weights @ every
    # The members' means differ, too: their variance is a part of the whole.
    reduction += np.outer(mean, mean) - (weights[:, None] * every).T @ every
    ratio = float(weights @ [ratio for _, ratio in MEMBERS])
    return Posterior(mean, reduction, k.variance + OFFSET * float(chance @ chance) + ratio * noise, weights)


def data_sets(groups: Ints) -> tuple[Floats, Floats]:
    """Which data set each new label is of, shape (n_D, data sets), and the share of each, shape (data sets,).

    >>> data_sets(np.array([7, 7, 2, 7]))[1].tolist()
    [0.25, 0.75]
    """
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.eye(len(counts))[codes], counts / len(groups)

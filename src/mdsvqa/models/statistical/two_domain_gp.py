"""A Gaussian process over two domains: what was learned from the source, as far as it holds on the new labels.

Quality on the source is f_S ~ GP(0, k). On the new domain it is f_D ~ GP(0, k) with correlation rho to f_S; each new
data set has an offset of its own, and its labels may be noisier. Given rho and the noise all is in closed form; over
these it is averaged, by the likelihood of the new labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, Uncertainty
from mdsvqa.models.statistical.kernels import GaussianProcess, fit_gaussian_process
from mdsvqa.runtime.arrays import Floats, Ints

# Correlations of the two domains, and noise of the new labels in that of the source's.
CORRELATIONS = (0.7, 0.8, 0.9, 0.95)
NOISE_RATIOS = (1.0, 2.0)
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
        weights: of the members of the average, shape (len(CORRELATIONS) * len(NOISE_RATIOS),).
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


def z_scores_within(values: Floats, groups: Ints) -> Floats:
    """Values with mean 0 and standard deviation 1 in each group; 0 where a group's are all equal.

    >>> z_scores_within(np.array([1.0, 3.0, 50.0]), np.array([0, 0, 1])).tolist()
    [-1.0, 1.0, 0.0]
    """
    found = np.zeros(len(values))
    for group in np.unique(groups):
        members = groups == group
        spread = values[members].std()
        if spread > 1e-9 * max(1.0, float(np.abs(values[members]).max())):
            found[members] = (values[members] - values[members].mean()) / spread
    return found


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
    same, offset, offset_variance = _offsets(groups)

    def members() -> Iterator[tuple[float, Factor]]:
        for rho, ratio in product(CORRELATIONS, NOISE_RATIOS):
            covariance = within - rho**2 * told + same
            covariance[np.diag_indices_from(covariance)] += ratio * noise
            yield rho, cholesky(covariance)

    means, evidence = [], []
    for rho, factor in members():
        off = y_new - rho * (across.T @ b)
        alpha = cho_solve(factor, off)
        evidence.append(-0.5 * float(off @ alpha) - float(np.log(np.diag(factor[0])).sum()))
        means.append(np.concatenate([rho * b - rho**2 * (solved @ alpha), alpha, [offset @ alpha]]))
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    # Sums over the members of weight * rho^power * C^-1.
    inverses = {power: np.zeros_like(within) for power in (0, 2, 4)}
    for weight, (rho, factor) in zip(weights, members(), strict=True):
        if weight > LEAST_WEIGHT:
            inverse = cho_solve(factor, np.eye(len(new)))
            for power in inverses:
                inverses[power] += weight * rho**power * inverse
    squared = float(weights @ [rho**2 for rho, _ in product(CORRELATIONS, NOISE_RATIOS)])
    source_part = squared * cho_solve(of_source, np.eye(len(source))) + solved @ inverses[4] @ solved.T
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
    ratio = float(weights @ [ratio for _, ratio in product(CORRELATIONS, NOISE_RATIOS)])
    return Posterior(mean, reduction, k.variance + offset_variance + ratio * noise, weights)


def _offsets(groups: Ints) -> tuple[Floats, Floats, float]:
    """Covariances of the offsets: among the new labels, with that of x, and the variance of the latter."""
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    share = counts / len(groups)
    same = OFFSET * (codes[:, None] == codes[None, :]).astype(np.float64)
    return same, OFFSET * share[codes], float(OFFSET * share @ share)


def finetune_two_domains(base: KernelModel, data: LabeledFeatures) -> KernelModel:
    """What source labels and new ones say together of the new domain, by `two_domain_posterior`.

    Labels are read in z-scores within their data set. Scores are on the source's scale, what its raters would have
    said: one unit is their standard deviation, and the offsets of the new data sets are left out. The spread is that of
    a label of the new data sets, offset and noise included, in the same unit.

    Args:
        base: says how features are standardised; where it has kernels for sets of features, they and their noise stay.
        data: source and new labels.
    """
    old, new = data.take(np.flatnonzero(~data.new)), data.take(np.flatnonzero(data.new))
    z, z_new = base.standardise(old.features), base.standardise(new.features)
    y, y_new = (z_scores_within(part.mos, part.dataset) for part in (old, new))
    prior = fit_gaussian_process(z, y, [z.shape[1]] if base.sets is None else base.sets.sizes.tolist())
    posterior = two_domain_posterior(prior, z, y, z_new, y_new, new.dataset)
    level, unit = level_and_unit(old)
    return replace(
        base,
        anchors=np.concatenate([z, z_new]),
        weights=unit * posterior.mean[:-1],
        intercept=level,
        sets=prior.kernel,
        uncertainty=Uncertainty(posterior.prior, unit, posterior.reduction),
    )


def level_and_unit(source: LabeledFeatures) -> tuple[float, float]:
    """Mean MOS of the source, and its standard deviation within data sets; 1 where all MOS are equal."""
    means = {group: source.mos[source.dataset == group].mean() for group in np.unique(source.dataset).tolist()}
    within = source.mos - np.array([means[group] for group in source.dataset.tolist()])
    unit = float(np.sqrt(np.mean(within**2)))
    return float(source.mos.mean()), unit if unit > 1e-9 else 1.0

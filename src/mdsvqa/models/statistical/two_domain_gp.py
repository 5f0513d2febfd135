"""Fine-tuning by a Gaussian process over the source and the new domain, in closed form."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import cho_solve

from mdsvqa.models.statistical.joint_normal import cholesky, inverse_of, two_domain_posterior
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, Uncertainty
from mdsvqa.models.statistical.kernels import GaussianProcess, fit_gaussian_process
from mdsvqa.models.statistical.nystrom import nystrom_posterior
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats, Ints

# Labels, source and new, up to which all is exact; as many take half a minute on one core.
MOST_EXACT = 5000
LANDMARKS = 2000


def finetune_two_domains(base: KernelModel, data: LabeledFeatures) -> KernelModel:
    """What source labels and new ones say together of the new domain, by `two_domain_posterior`.

    Labels are read in z-scores within their data set. With more than MOST_EXACT of them k is read by LANDMARKS of their
    videos, as far as possible half of them new. Scores are on the source's scale, what its raters would have
    said: one unit is their standard deviation, and the offsets of the new data sets are left out. The spread is that of
    a label of the new data sets, offset and noise included, in the same unit.

    Args:
        base: says how features are standardised; where it is a Gaussian process itself, its kernel and noise stay.
        data: source and new labels.
    """
    old, new = data.take(np.flatnonzero(~data.new)), data.take(np.flatnonzero(data.new))
    z, z_new = base.standardise(old.features), base.standardise(new.features)
    y, y_new = (z_scores_within(part.mos, part.dataset) for part in (old, new))
    prior = base.process or fit_gaussian_process(z, y, [z.shape[1]])
    given = (prior, z, y, z_new, y_new, new.dataset)
    anchors, of_source = np.concatenate([z, z_new]), len(z)
    if len(data) <= MOST_EXACT:
        posterior = two_domain_posterior(*given)
    else:
        anchors, of_source = landmarks(z, z_new)
        posterior = nystrom_posterior(*given, anchors)
    level, unit = level_and_unit(old)
    tuned = replace(
        base,
        anchors=anchors,
        weights=unit * posterior.mean[:-1],
        intercept=level,
        process=prior,
        uncertainty=Uncertainty(posterior.prior, unit, posterior.reduction),
    )
    return tuned.finetuned_from(base, np.arange(len(anchors)) >= of_source)


def fit_source_process(
    data: LabeledFeatures, sizes: Sequence[int], process: GaussianProcess | None = None
) -> KernelModel:
    """A model of the source that is a Gaussian process, with a kernel for each set of features.

    With more than MOST_EXACT videos it learns from as many of them, drawn at random.

    Args:
        data: the source.
        sizes: features of each set; the sets stand side by side.
        process: kernel and noise, where they are known; else by `fit_gaussian_process`.

    Source: Rasmussen and Williams (2006), equations 2.25 and 2.26.
    """
    if len(data) > MOST_EXACT:
        data = data.take(np.sort(np.random.default_rng(0).permutation(len(data))[:MOST_EXACT]))
    standardiser = Standardiser.fit(data.features)
    z, y = standardiser(data.features), z_scores_within(data.mos, data.dataset)
    prior = process or fit_gaussian_process(z, y, sizes)
    factor = cholesky(prior.kernel(z, z) + prior.noise * np.eye(len(z)))
    level, unit = level_and_unit(data)
    reduction = np.zeros((len(z) + 1, len(z) + 1))
    reduction[:-1, :-1] = inverse_of(factor)
    return KernelModel(
        standardiser.center,
        standardiser.scale,
        anchors=z,
        weights=unit * cho_solve(factor, y),
        intercept=level,
        gamma=float(prior.kernel.gammas[0]),
        cost=1.0,
        process=prior,
        uncertainty=Uncertainty(prior.kernel.variance + prior.noise, unit, reduction),
    )


def level_and_unit(source: LabeledFeatures) -> tuple[float, float]:
    """Mean MOS of the source, and its standard deviation within data sets; 1 where all MOS are equal."""
    means = {group: source.mos[source.dataset == group].mean() for group in np.unique(source.dataset).tolist()}
    within = source.mos - np.array([means[group] for group in source.dataset.tolist()])
    unit = float(np.sqrt(np.mean(within**2)))
    return float(source.mos.mean()), unit if unit > 1e-9 else 1.0


def landmarks(source: Floats, new: Floats) -> tuple[Floats, int]:
    """LANDMARKS of the videos, drawn at random, half of them new where there are enough of both; and how many are not.

    >>> found, of_source = landmarks(np.zeros((3000, 1)), np.ones((3000, 1)))
    >>> len(found), of_source, float(found.sum())
    (2000, 1000, 1000.0)
    """
    rng, half = np.random.default_rng(0), LANDMARKS // 2
    of_new = min(len(new), max(half, LANDMARKS - len(source)))
    drawn = [source[np.sort(rng.permutation(len(source))[: LANDMARKS - of_new])]]
    drawn.append(new[np.sort(rng.permutation(len(new))[:of_new])])
    return np.concatenate(drawn), len(drawn[0])


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

"""The closed form against a joint Gaussian that is solved by brute force, and against scikit-learn's regression."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, PairwiseKernel

from mdsvqa.models.statistical import joint_normal, two_domain_gp
from mdsvqa.models.statistical.joint_normal import (
    CORRELATIONS,
    NOISE_RATIOS,
    OFFSET,
    Posterior,
    two_domain_posterior,
)
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, fit_statistical
from mdsvqa.models.statistical.kernels import GaussianProcess, Kernel
from mdsvqa.models.statistical.nystrom import nystrom_posterior
from mdsvqa.models.statistical.two_domain_gp import finetune_two_domains, z_scores_within

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PRIOR = GaussianProcess(Kernel(np.array([2, 3]), np.array([0.3, 0.1]), np.array([1.5, 0.7])), 0.25)


def drawn(n_source: int = 30, n_new: int = 9, seed: int = 0) -> tuple[Floats, Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    z, z_new = rng.normal(size=(n_source, 5)), rng.normal(size=(n_new, 5)) + 0.5
    return z, np.sin(z[:, 0]) + rng.normal(size=n_source), z_new, np.cos(z_new[:, 1]) + rng.normal(size=n_new)


def brute_force(
    z: Floats, y: Floats, z_new: Floats, y_new: Floats, groups: Ints, x: Floats
) -> tuple[Floats, Floats, Floats]:
    """Mean and variance of a label at each x, and the weights of the members, from normal vectors of everything.

    One latent value of each domain at every video, one offset a data set; x's offset is the mean of these over the new
    labels, as each label's data set has it.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    chance = np.eye(codes.max() + 1)[codes].mean(0)
    means, variances, evidence = [], [], []
    for rho, ratio in product(CORRELATIONS, NOISE_RATIOS):
        everyone = np.concatenate([z, z_new, x])
        domain = np.repeat([0, 1, 1], [len(z), len(z_new), len(x)])
        unlabeled = np.tile(chance, (len(x), 1))
        belongs = np.concatenate([np.zeros((len(z), len(chance))), np.eye(len(chance))[codes], unlabeled])
        noise = np.repeat([PRIOR.noise, ratio * PRIOR.noise, ratio * PRIOR.noise], [len(z), len(z_new), len(x)])
        joint = np.where(domain[:, None] == domain[None, :], 1.0, rho) * PRIOR.kernel(everyone, everyone)
        joint += OFFSET * belongs @ belongs.T + np.diag(noise)
        old, known = len(z), len(z) + len(z_new)
        labels = np.concatenate([y, y_new])
        gain = joint[known:, :known] @ np.linalg.inv(joint[:known, :known])
        means.append(gain @ labels)
        variances.append(np.diag(joint[known:, known:] - gain @ joint[:known, known:]))
        both = multivariate_normal(np.zeros(known), joint[:known, :known]).logpdf(labels)
        evidence.append(both - multivariate_normal(np.zeros(old), joint[:old, :old]).logpdf(y))
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    return mean, weights @ (np.array(variances) + np.array(means) ** 2) - mean**2, weights


def read(posterior: Posterior, anchors: Floats, x: Floats) -> tuple[Floats, Floats]:
    u = np.column_stack([PRIOR.kernel(x, anchors), np.ones(len(x))])
    return u @ posterior.mean, posterior.prior - np.einsum("ij,ij->i", u @ posterior.reduction, u)


@pytest.mark.parametrize("groups", [[0] * 9, [0, 0, 0, 0, 0, 1, 1, 1, 1], [3, 1, 2, 3, 3, 1, 3, 3, 2]])
def test_it_is_the_joint_gaussian_solved_by_brute_force(groups: list[int]) -> None:
    z, y, z_new, y_new = drawn()
    x = np.random.default_rng(1).normal(size=(6, 5))
    found = two_domain_posterior(PRIOR, z, y, z_new, y_new, np.array(groups))
    mean, variance, weights = brute_force(z, y, z_new, y_new, np.array(groups), x)
    mine, spread = read(found, np.concatenate([z, z_new]), x)
    np.testing.assert_allclose(mine, mean, atol=1e-8)
    np.testing.assert_allclose(spread, variance, atol=1e-8)
    np.testing.assert_allclose(found.weights, weights, atol=1e-8)


def test_with_one_domain_and_a_wide_offset_it_is_scikit_learn_s_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = 1e4
    for name, value in (("MEMBERS", ((1.0, 1.0),)), ("OFFSET", wide)):
        monkeypatch.setattr(joint_normal, name, value)
    z, y, z_new, y_new = drawn(40, 15)
    x = np.random.default_rng(1).normal(size=(8, 5))
    prior = GaussianProcess(Kernel(np.array([5]), np.array([0.2]), np.array([1.5])), 0.25)
    found = two_domain_posterior(prior, z, y, z_new, y_new, np.zeros(15, np.int64))
    u = np.column_stack([prior.kernel(x, np.concatenate([z, z_new])), np.ones(8)])
    # A last column says whose label it is: too long a length for the one kernel, all that the other reads.
    rows = [np.column_stack([part, np.full(len(part), new)]) for part, new in ((z, 0.0), (z_new, 1.0), (x, 1.0))]
    length = np.array([np.sqrt(1 / 0.4)] * 5 + [1e9])
    offset = PairwiseKernel(metric=lambda a, b, gamma: a[-1] * b[-1])
    kernel = ConstantKernel(1.5) * RBF(length) + ConstantKernel(wide) * offset
    theirs = GaussianProcessRegressor(kernel, alpha=0.25, optimizer=None)
    theirs.fit(np.concatenate(rows[:2]), np.concatenate([y, y_new]))
    mean, deviation = theirs.predict(rows[2], return_std=True)
    np.testing.assert_allclose(u @ found.mean, mean, atol=1e-6)
    variance = found.prior - np.einsum("ij,ij->i", u @ found.reduction, u)
    np.testing.assert_allclose(variance - 0.25, deviation**2, atol=1e-6)


def domain(new: bool, size: int, seed: int, sets: int = 1) -> LabeledFeatures:
    """Quality from the first two features on the source, and a little otherwise on the new domain, far from it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, 4)) + np.array([0, 0, 2.0 * new, 0])
    quality = np.tanh(x[:, 0]) + (0.9 if new else 0.2) * np.tanh(x[:, 1]) + 0.3 * rng.normal(size=size)
    codes = np.full(size, int(new)) if sets == 1 else int(new) + np.arange(size) % sets
    return LabeledFeatures(x, 3 + 0.6 * quality, codes, np.full(size, new))


@pytest.fixture(scope="module")
def base() -> KernelModel:
    return fit_statistical(domain(False, 150, 0), cost=10.0, gamma=0.1)


@pytest.fixture(scope="module")
def tuned(base: KernelModel) -> KernelModel:
    return finetune_two_domains(base, domain(False, 150, 0).join(domain(True, 40, 1)))


def srcc(model: KernelModel, data: LabeledFeatures) -> float:
    return float(spearmanr(model.predict(data.features), data.mos).statistic)


def test_it_ranks_the_new_domain_better(base: KernelModel, tuned: KernelModel) -> None:
    unseen = domain(True, 300, 2)
    assert srcc(tuned, unseen) > srcc(base, unseen) + 0.03


def test_nine_of_ten_labels_lie_in_its_intervals(tuned: KernelModel) -> None:
    # The new labels are on the source's scale here, but for the share of the spread that z-scores take out.
    labeled, unseen = domain(True, 40, 1), domain(True, 400, 2)
    unit = tuned.uncertainty.unit / labeled.mos.std()  # type: ignore[union-attr]
    off = (unseen.mos - labeled.mos.mean()) * unit - (
        tuned.predict(unseen.features) - tuned.predict(labeled.features).mean()
    )
    assert 0.84 < np.mean(np.abs(off) <= 1.645 * tuned.spread(unseen.features)) < 0.97


def test_it_is_surest_where_labels_are_and_knows_no_more_than_the_prior_far_away(tuned: KernelModel) -> None:
    known = tuned.uncertainty
    assert known is not None
    far = np.array([[4.0, -4.0, -4.0, 4.0]]) * tuned.scale + tuned.center
    near, far_off = tuned.spread(domain(True, 40, 1).features), tuned.spread(far)[0]
    assert near.max() < far_off <= known.unit * np.sqrt(known.prior)


@pytest.mark.parametrize(("slope", "shift"), [(25.0, 0.0), (1.0, -40.0), (0.01, 7.0)])
def test_another_scale_of_the_new_labels_changes_nothing(base: KernelModel, slope: float, shift: float) -> None:
    source, new = domain(False, 150, 0), domain(True, 20, 1)
    x = domain(True, 30, 3).features
    plain = finetune_two_domains(base, source.join(new))
    moved = finetune_two_domains(base, source.join(replace(new, mos=shift + slope * new.mos)))
    np.testing.assert_allclose(moved.predict(x), plain.predict(x), atol=1e-9)
    np.testing.assert_allclose(moved.spread(x), plain.spread(x), atol=1e-9)


def test_a_shift_between_new_studies_changes_nothing(base: KernelModel) -> None:
    source, new = domain(False, 150, 0), domain(True, 30, 1, sets=2)
    shifted = replace(new, mos=np.where(new.dataset == 1, new.mos, 10 + 3 * new.mos))
    x = domain(True, 30, 3).features
    there, moved = (finetune_two_domains(base, source.join(each)) for each in (new, shifted))
    np.testing.assert_allclose(there.predict(x), moved.predict(x), atol=1e-9)


def test_a_single_label_and_equal_labels_are_no_news(base: KernelModel) -> None:
    source = domain(False, 150, 0)
    for new in (domain(True, 1, 1), replace(domain(True, 5, 1), mos=np.full(5, 3.0))):
        found = finetune_two_domains(base, source.join(new))
        assert np.isfinite(found.predict(source.features)).all()
        assert srcc(found, source) > 0.7


def test_saved_and_loaded_it_says_the_same(tuned: KernelModel, tmp_path: Path) -> None:
    tuned.save(tmp_path / "model.safetensors")
    loaded, x = KernelModel.load(tmp_path / "model.safetensors"), domain(True, 20, 5).features
    np.testing.assert_array_equal(loaded.predict(x), tuned.predict(x))
    np.testing.assert_array_equal(loaded.spread(x), tuned.spread(x))


def test_a_model_without_uncertainty_has_no_spread(base: KernelModel, tuned: KernelModel) -> None:
    x = domain(True, 3, 5).features
    assert np.isnan(base.spread(x)).all()
    assert np.isnan(tuned.add(tuned.anchors[:1], np.ones(1)).spread(x)).all()


def test_z_scores_are_those_of_each_group() -> None:
    found = z_scores_within(np.array([1.0, 2.0, 3.0, 40.0, 80.0, 7.0, 7.0]), np.array([0, 0, 0, 5, 5, 2, 2]))
    np.testing.assert_allclose(found, [-np.sqrt(1.5), 0, np.sqrt(1.5), -1, 1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("groups", [[0] * 9, [3, 1, 2, 3, 3, 1, 3, 3, 2]])
def test_with_every_video_a_landmark_the_approximation_is_exact(groups: list[int]) -> None:
    z, y, z_new, y_new = drawn()
    given = (PRIOR, z, y, z_new, y_new, np.array(groups))
    anchors = np.concatenate([z, z_new])
    exact, found = two_domain_posterior(*given), nystrom_posterior(*given, anchors)
    # Anywhere: what landmarks do not explain of a video's variance counts as unknown.
    x = np.random.default_rng(1).normal(size=(20, 5))
    for mine, theirs in zip(read(found, anchors, x), read(exact, anchors, x), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4)
    np.testing.assert_allclose(found.weights, exact.weights, atol=1e-4)


def test_beyond_what_is_solved_exactly_landmarks_tell_nearly_the_same(
    base: KernelModel, tuned: KernelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_domain_gp, "MOST_EXACT", 100)
    monkeypatch.setattr(two_domain_gp, "LANDMARKS", 120)
    found, x = (
        finetune_two_domains(base, domain(False, 150, 0).join(domain(True, 40, 1))),
        domain(True, 100, 2).features,
    )
    assert len(found.anchors) == 120
    assert np.corrcoef(found.predict(x), tuned.predict(x))[0, 1] > 0.99
    np.testing.assert_allclose(found.spread(x), tuned.spread(x), rtol=0.1)

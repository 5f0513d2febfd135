"""Kernels of sets of features: their value, and what the marginal likelihood says of them."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from mdsvqa.models.statistical.kernels import (
    AMPLITUDES,
    NOISES,
    WIDTHS,
    Kernel,
    fit_gaussian_process,
    log_marginal_likelihood,
)


def test_a_kernel_is_the_sum_over_its_sets() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 5)), rng.normal(size=(4, 5))
    kernel = Kernel(np.array([3, 2]), np.array([0.1, 0.4]), np.array([2.0, 0.5]))
    first = 2.0 * np.exp(-0.1 * cdist(x[:, :3], y[:, :3], "sqeuclidean"))
    second = 0.5 * np.exp(-0.4 * cdist(x[:, 3:], y[:, 3:], "sqeuclidean"))
    np.testing.assert_allclose(kernel(x, y), first + second, atol=1e-12)
    assert kernel.variance == pytest.approx(kernel(x[:1], x[:1]).item())


def test_the_marginal_likelihood_is_that_of_the_joint_normal() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    kernel = np.exp(-cdist(x, x, "sqeuclidean"))
    spectrum, vectors = np.linalg.eigh(kernel)
    found = log_marginal_likelihood(spectrum, (vectors.T @ y) ** 2, 2.0, 0.3)
    assert found == pytest.approx(multivariate_normal(np.zeros(20), 2 * kernel + 0.3 * np.eye(20)).logpdf(y), abs=1e-8)


def test_one_set_gets_what_is_likeliest_on_the_whole_grid() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=(40, 3))
    y = np.sin(2 * z[:, 0]) + 0.5 * rng.normal(size=40)
    found = fit_gaussian_process(z, y, [3])

    def evidence(width: float, amplitude: float, noise: float) -> float:
        kernel = amplitude * np.exp(-width / 3 * cdist(z, z, "sqeuclidean")) + noise * np.eye(40)
        return float(multivariate_normal(np.zeros(40), kernel).logpdf(y))

    likeliest = max(((w, a, s) for w in WIDTHS for a in AMPLITUDES for s in NOISES), key=lambda each: evidence(*each))
    assert (found.kernel.gammas[0] * 3, found.kernel.amplitudes[0], found.noise) == pytest.approx(likeliest)


@pytest.mark.parametrize("seed", range(6))
def test_a_set_of_noise_gets_no_weight_wherever_it_stands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    told, noise = rng.normal(size=(200, 4)), rng.normal(size=(200, 9))
    y = np.tanh(told[:, 0]) + 0.5 * told[:, 1] * told[:, 2] + 0.6 * rng.normal(size=200)
    y = (y - y.mean()) / y.std()
    last = fit_gaussian_process(np.hstack([told, noise]), y, [4, 9]).kernel.amplitudes
    first = fit_gaussian_process(np.hstack([noise, told]), y, [9, 4]).kernel.amplitudes
    assert last[1] == first[0] == 0
    assert last[0] == first[1] > 0


def test_two_sets_that_both_tell_both_get_weight() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(300, 4))
    y = np.tanh(z[:, 0]) + np.tanh(z[:, 2]) + 0.4 * rng.normal(size=300)
    found = fit_gaussian_process(z, (y - y.mean()) / y.std(), [2, 2]).kernel.amplitudes
    assert (found > 0.15 * found.sum()).all()

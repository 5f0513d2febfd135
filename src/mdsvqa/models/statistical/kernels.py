"""Gaussian kernels, one for each set of features, and what the marginal likelihood says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mdsvqa.runtime.arrays import Floats, Ints

# Widths in 1 / features of a set, variances of what a kernel explains and of what it does not, in units of z-scores.
WIDTHS = (0.05, 0.1, 0.2, 0.4, 0.8)
AMPLITUDES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
NOISES = (0.15, 0.2, 0.3, 0.4, 0.5)
# Of the kernel of a further set, when it joins those before.
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
# An eigendecomposition of as many takes a twentieth of a second, and there is one for each width.
MOST_VIDEOS = 400


@dataclass(frozen=True)
class Kernel:
    """k(z, z') = sum over sets of amplitude exp(-gamma |z_set - z'_set|^2).

    Attributes:
        sizes: features of each set, shape (sets,); the sets stand side by side in z.
        gammas, amplitudes: shape (sets,).
    """

    sizes: Ints
    gammas: Floats
    amplitudes: Floats

    def __call__(self, z: Floats, others: Floats) -> Floats:
        """Between standardised features, shape (len(z), len(others)).

        >>> Kernel(np.array([1]), np.array([1.0]), np.array([2.0]))(np.zeros((1, 1)), np.ones((1, 1))).round(4).item()
        0.7358
        """
        found = np.zeros((len(z), len(others)))
        starts = np.cumsum(self.sizes) - self.sizes
        for start, size, gamma, amplitude in zip(starts, self.sizes, self.gammas, self.amplitudes, strict=True):
            if amplitude > 0:
                part = slice(start, start + size)
                found += amplitude * np.exp(-gamma * squared_distances(z[:, part], others[:, part]))
        return found

    @property
    def variance(self) -> float:
        """k(z, z)."""
        return float(self.amplitudes.sum())


def squared_distances(z: Floats, others: Floats) -> Floats:
    """Euclidean, shape (len(z), len(others))."""
    squared = (z**2).sum(1)[:, None] + (others**2).sum(1)[None, :] - 2 * z @ others.T
    return np.maximum(squared, 0)


@dataclass(frozen=True)
class GaussianProcess:
    """What is assumed of z-scored labels: a kernel, and the variance of what it does not explain."""

    kernel: Kernel
    noise: float


def log_marginal_likelihood(spectrum: Floats, squares: Floats, amplitude: float, noise: float) -> float:
    """Of labels y under amplitude K + noise I, from the eigendecomposition of K.

    Args:
        spectrum: eigenvalues of K, shape (n,).
        squares: of y in the basis of its eigenvectors, shape (n,).
        amplitude, noise: variances.

    Source: Rasmussen and Williams (2006), equation 2.30.

    >>> round(log_marginal_likelihood(np.ones(1), np.ones(1), 1.0, 1.0), 4)
    -1.5155
    """
    variances = amplitude * np.maximum(spectrum, 0) + noise
    return float(-0.5 * (squares / variances + np.log(variances) + np.log(2 * np.pi)).sum())


def fit_gaussian_process(z: Floats, y: Floats, sizes: Sequence[int]) -> GaussianProcess:
    """The kernel of largest marginal likelihood on a grid, from at most MOST_VIDEOS of the videos.

    The best set alone comes first. Each further one joins with the share and the width that raise the likelihood most,
    where they raise its logarithm by more than log(n), what two parameters have to by the Bayesian information
    criterion: a set of noise gets no weight.

    Args:
        z: standardised features, shape (n, sum of sizes).
        y: z-scored labels, shape (n,).
        sizes: features of each set.

    Source: Rasmussen and Williams (2006), section 5.4; Schwarz (1978).
    """
    drawn = np.sort(np.random.default_rng(0).permutation(len(z))[:MOST_VIDEOS])
    z, y = z[drawn], y[drawn]
    starts = np.cumsum(sizes) - np.array(sizes)
    distances = [squared_distances(z[:, s : s + n], z[:, s : s + n]) for s, n in zip(starts, sizes, strict=True)]
    gammas, amplitudes = np.ones(len(sizes)), np.zeros(len(sizes))
    joined, best, noise = np.zeros((len(z), len(z))), -np.inf, NOISES[-1]
    while (amplitudes == 0).any():
        shares, needed = (SHARES, np.log(len(z))) if amplitudes.any() else ((1.0,), 0.0)
        waiting = [member for member in range(len(sizes)) if amplitudes[member] == 0]
        steps = []
        for member, width, share in product(waiting, WIDTHS, shares):
            mixed = (1 - share) * joined + share * np.exp(-width / sizes[member] * distances[member])
            steps.append((*_best_variances(mixed, y), member, width / sizes[member], share))
        value, amplitude, step_noise, member, gamma, share = max(steps)
        if value <= best + needed:
            break
        # All shares sum to 1, those of the sets before are reduced by the new one's.
        total = amplitudes.sum()
        parts = amplitudes / total * (1 - share) if total else amplitudes
        joined = (1 - share) * joined + share * np.exp(-gamma * distances[member])
        parts[member], gammas[member] = share, gamma
        amplitudes, best, noise = amplitude * parts, value, step_noise
    return GaussianProcess(Kernel(np.array(sizes, np.int64), gammas, amplitudes), noise)


def _best_variances(kernel: Floats, y: Floats) -> tuple[float, float, float]:
    """The log marginal likelihood at the best amplitude and noise, and these."""
    spectrum, vectors = np.linalg.eigh(kernel)
    squares = (vectors.T @ y) ** 2
    return max((log_marginal_likelihood(spectrum, squares, a, s), a, s) for a, s in product(AMPLITUDES, NOISES))

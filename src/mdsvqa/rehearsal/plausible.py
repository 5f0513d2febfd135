"""MOS that the real pool might have, as far as the labeled source tells."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from mdsvqa.quality.standardise import Standardiser

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
# Videos that the kernel is fitted on, and that the posterior is conditioned on: its time grows with their cube.
FITTED, CONDITIONED = 600, 1500
# Against covariances that rounding has made singular; of the variance.
JITTER = 1e-6


@dataclass(frozen=True)
class PlausibleMos:
    """A Gaussian process on the features of f, given the source's labels: where these say little, draws differ widely.

    Attributes:
        standardiser: of the features, by the source.
        known: standardised features of the source's videos, shape (n, dims).
        root: lower Cholesky factor of the covariance of their MOS, shape (n, n).
        explained: that covariance's inverse times the MOS, shape (n,).
        amplitude, noise: variances of what features explain and of the rest, in units of `spread` squared.
        width: of the Gaussian kernel, in standard deviations of the features.
        mean, spread: of the source's MOS.
    """

    standardiser: Standardiser
    known: Floats
    root: Floats
    explained: Floats
    amplitude: float
    noise: float
    width: float
    mean: float
    spread: float

    @classmethod
    def fit(cls, features: Floats, mos: Floats, dataset: Indices, seed: int) -> "PlausibleMos":
        """Finds amplitude, width and noise by the marginal likelihood.

        Labels without signal leave the noise alone, and draws in which there is nothing to learn.

        Args:
            features: of the source, shape (n, dims).
            mos: shape (n,).
            dataset: integer code of the study of each label, shape (n,); MOS are compared within a study.
            seed: of the videos that stand for a large source.

        Source: Rasmussen and Williams (2006), chapters 2 and 5.
        """
        standardiser = Standardiser.fit(features)
        z = standardiser(features)
        values = mos.copy()
        for code in np.unique(dataset):
            values[dataset == code] -= mos[dataset == code].mean()
        spread = max(float(values.std()), 1e-9)
        values /= spread
        order = np.random.default_rng(seed).permutation(len(z))
        usual = float(np.sqrt(z.shape[1]))
        kernel = ConstantKernel(0.5, (1e-6, 100.0)) * RBF(usual, (usual / 5, usual * 10)) + WhiteKernel(0.5, (1e-3, 2))
        with warnings.catch_warnings():
            # At a bound it says just what it found: no signal, or hardly any noise.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = GaussianProcessRegressor(kernel).fit(z[order[:FITTED]], values[order[:FITTED]]).kernel_
        amplitude, width, noise = np.exp(fitted.theta)
        known = order[:CONDITIONED]
        covariance = amplitude * _gaussian(z[known], z[known], width) + (noise + JITTER) * np.eye(len(known))
        root = cholesky(covariance, lower=True)
        explained = cho_solve((root, True), values[known])
        found = (float(amplitude), float(noise), float(width))
        return cls(standardiser, z[known], root, explained, *found, float(mos.mean()), spread)

    def draw(self, features: Floats, seed: int) -> Floats:
        """MOS of videos as raters might give them, noise included, shape (n,); another seed, another possible truth.

        Args:
            features: shape (n, dims).
            seed: of the draw.
        """
        z = self.standardiser(features)
        across = self.amplitude * _gaussian(z, self.known, self.width)
        seen = solve_triangular(self.root, across.T, lower=True)
        covariance = self.amplitude * _gaussian(z, z, self.width) - seen.T @ seen
        covariance += (self.noise + JITTER * (1 + self.amplitude)) * np.eye(len(z))
        normal = np.random.default_rng(seed).standard_normal(len(z))
        return self.mean + self.spread * (across @ self.explained + cholesky(covariance, lower=True) @ normal)


def _gaussian(x: Floats, y: Floats, width: float) -> Floats:
    return np.exp(-cdist(x, y, "sqeuclidean") / (2 * width**2))

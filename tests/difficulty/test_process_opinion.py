"""The posterior of f's signed error against scikit-learn's regression, and what it makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import foldnorm, spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from mdsvqa.difficulty import process_opinion as module
from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.process_opinion import process_opinion
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.kernels import GaussianProcess, Kernel
from mdsvqa.models.statistical.standardise import Standardiser

SETTINGS = DifficultySettings(error="raw")


def known(n: int, seed: int) -> KnownErrors:
    """f is too high where the first feature is, and right elsewhere."""
    rng = np.random.default_rng(seed)
    features, mos = rng.normal(size=(n, 4)), rng.uniform(1.5, 4.5, n)
    score = mos + np.maximum(features[:, 0], 0) + 0.1 * rng.normal(size=n)
    return KnownErrors.of(Unlabeled.of(features, score), mos, np.zeros(n, np.int64), SETTINGS, 0)


def test_it_finds_where_f_is_wrong() -> None:
    pool = known(200, 1)
    found = process_opinion(known(150, 0), pool.videos, SETTINGS, 0)
    assert spearmanr(found, pool.error).statistic > 0.75


def test_it_is_the_folded_normal_of_scikit_learn_s_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    source, pool = known(60, 0), known(10, 1)
    prior = GaussianProcess(Kernel(np.array([6]), np.array([0.1]), np.array([2.0])), 0.3)
    monkeypatch.setattr(module, "fit_gaussian_process", lambda *_: prior)
    found = process_opinion(source, pool.videos, SETTINGS, 0)
    rows = [np.column_stack([v.features, v.score, v.score]) for v in (source.videos, pool.videos)]
    z = [Standardiser.fit(rows[0])(each) for each in rows]
    signed = source.mos - source.videos.score
    regression = GaussianProcessRegressor(ConstantKernel(2.0) * RBF(np.sqrt(5.0)), alpha=0.3, optimizer=None)
    mean, deviation = regression.fit(z[0], (signed - signed.mean()) / signed.std()).predict(z[1], return_std=True)
    spread = signed.std() * np.sqrt(deviation**2 + 0.3)
    wanted = foldnorm.mean(np.abs(signed.mean() + signed.std() * mean) / spread, scale=spread)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_errors_that_are_all_equal_are_expected_everywhere() -> None:
    source = known(40, 0)
    even = replace(source, placed=source.truth + 0.5)
    found = process_opinion(even, known(5, 1).videos, SETTINGS, 0)
    assert np.isfinite(found).all()

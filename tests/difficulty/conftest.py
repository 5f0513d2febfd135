"""A source whose errors are known, made as the tests need it."""

from collections.abc import Callable

import numpy as np
import pytest

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.settings import DifficultySettings

MakeSource = Callable[..., KnownErrors]
SETTINGS = DifficultySettings(trees=30, error="raw")


@pytest.fixture
def make_source() -> MakeSource:
    """f reads the first of four features; the second moves MOS away from it, up or down."""

    def make(size: int = 120, seed: int = 0, datasets: int = 1, settings: DifficultySettings = SETTINGS) -> KnownErrors:
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(size, 4))
        score = 3 + 0.5 * features[:, 0]
        mos = score + features[:, 1]
        return KnownErrors.of(Unlabeled.of(features, score), mos, np.arange(size) % datasets, settings, 0)

    return make

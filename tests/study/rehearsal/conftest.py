"""A made-up source for rehearsals: features and MOS, no files."""

from pathlib import Path

import numpy as np
import pytest

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.loop import Pool
from mdsvqa.study.rehearsal.repeats import Stage


def make_stage(n: int = 90, seed: int = 0) -> Stage:
    """Quality bends along the first feature, so that one end says little of the other."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)) * np.array([3.0, 1.0, 1.0])
    mos = 3 + np.tanh(features[:, 1]) * np.sign(features[:, 0]) + 0.1 * rng.normal(size=n)
    content = Content.stack(list(features[:, None, :]))
    source = Pool([f"v{i:03d}" for i in range(n)], features, content, mos, np.zeros(n, np.int64))
    config = StudyConfig(
        videos=Path(),
        difficulty=DifficultySettings(committee=4, folds=2),
        selection=SelectionSettings(rule="random"),
    )
    return Stage(source, {"content": content}, config, cost=10.0, gamma=0.1)


@pytest.fixture
def stage() -> Stage:
    return make_stage()

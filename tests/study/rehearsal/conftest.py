"""A made-up source for rehearsals: features and MOS, no files."""

from pathlib import Path

import numpy as np
import pytest

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import StudyData
from mdsvqa.study.rehearsal.repeats import RepeatInputs
from mdsvqa.videos.video import Video


def make_inputs(n: int = 90, seed: int = 0) -> RepeatInputs:
    """Quality bends along the first feature, so that one end says little of the other."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)) * np.array([3.0, 1.0, 1.0])
    mos = 3 + np.tanh(features[:, 1]) * np.sign(features[:, 0]) + 0.1 * rng.normal(size=n)
    content = Content.stack(list(features[:, None, :]))
    videos = [Video(f"v{i:03d}", None, "source", "train", float(mos[i])) for i in range(n)]
    data = StudyData.of_videos(videos, features, content)
    config = StudyConfig(
        videos=Path(),
        difficulty=DifficultySettings(committee=4, folds=2),
        selection=SelectionSettings(rule="random"),
    )
    return RepeatInputs(data, {"content": content}, config, cost=10.0, gamma=0.1)


@pytest.fixture
def inputs() -> RepeatInputs:
    return make_inputs()

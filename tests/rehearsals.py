"""A made-up source of two data sets for rehearsals: features and MOS, no files."""

from pathlib import Path

import numpy as np

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.kernel_model import fit_statistical
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import StudyData
from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.repeats import RepeatInputs
from mdsvqa.videos.video import Video


def make_inputs(n: int = 90, seed: int = 0) -> RepeatInputs:
    """Two data sets in turn, in which another feature makes quality."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)) * np.array([3.0, 1.0, 1.0])
    second = np.arange(n) % 2 == 1
    features[second, 0] += 2
    mos = 3 + np.tanh(np.where(second, features[:, 2], features[:, 1])) + 0.1 * rng.normal(size=n)
    content = Content.stack(list(features[:, None, :]))
    videos = [Video(f"v{i:03d}", None, "ab"[i % 2], "train", float(mos[i])) for i in range(n)]
    data = StudyData.of_videos(videos, features, content)
    config = StudyConfig(
        videos=Path(),
        difficulty=DifficultySettings(committee=4, folds=2),
        selection=SelectionSettings(rule="random"),
    )
    return RepeatInputs(data, config, fit_statistical(data.labeled_source(), cost=10.0, gamma=0.1))


def second_data_set(n: int = 90) -> PseudoTarget:
    return PseudoTarget("b", np.arange(1, n, 2), np.arange(0, n, 2))

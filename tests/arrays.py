"""Studies without files: features that make quality, videos that have names only."""

from pathlib import Path

import numpy as np

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.kernel_model import fit_statistical
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import ComparisonSettings, StudyConfig
from mdsvqa.study.data import PoolArrays, StudyData
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.videos.video import Video


def config(rule: str = "mds", rounds: int = 1, pool_share: float = 0.8, seed: int = 0) -> StudyConfig:
    return StudyConfig(
        videos=Path("videos.csv"),
        rounds=rounds,
        seed=seed,
        difficulty=DifficultySettings(folds=2, committee=4, steps=30),
        selection=SelectionSettings(rule=rule),
        comparison=ComparisonSettings(pool_share=pool_share),
    )


def study(pool: int = 30, source: int = 40) -> StudyData:
    """A source of one data set; a pool and a test set elsewhere in the space, where another feature makes quality."""
    rng = np.random.default_rng(0)
    sizes = {"train": source, "pool": pool, "test": 40, "old test": 40}
    videos, rows = [], []
    for split, size in sizes.items():
        new = split in ("pool", "test")
        features = rng.normal(size=(size, 4)) + np.array([0, 0, 2 * new, 0])
        mos = 3 + np.tanh(features[:, 1 if new else 0])
        name = {"pool": "v", "test": "t"}.get(split, split[0])
        dataset = "new" if new else "old"
        videos += [Video(f"{name}{i:02d}", None, dataset, split.split()[-1], float(m)) for i, m in enumerate(mos)]
        rows.append(features)
    features = np.concatenate(rows)
    content = Content.stack([row + 0.1 * rng.normal(size=(2, 4)) for row in features])
    return StudyData.of_videos(videos, features, content)


def pool_of(data: StudyData) -> PoolArrays:
    return PoolArrays(data.ids(data.pool), data.pool, data.content.take(data.pool))


def model_of(data: StudyData, settings: StudyConfig | None = None) -> StatisticalModel:
    base = fit_statistical(data.labeled_source(), cost=10.0, gamma=0.1)
    return StatisticalModel.start(base, data.labeled_source(), (settings or config()).finetuning)

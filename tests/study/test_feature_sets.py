"""Sets of features with a kernel each, from files: what f reads, what it says of them, and that it learns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdsvqa.models.settings import HANDCRAFTED, ContentSettings, QualitySettings
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import frame_matrices, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.study.data import feature_sets, gather, pooled
from mdsvqa.study.run import run_study


def test_a_study_on_both_sets(write_study: Callable[..., Path]) -> None:
    config = read_study(write_study(quality={"features": ["content", "statistical"]}))
    data = gather(config, Run(config.out))
    content = read_table(config.out / "content")
    frames = dict(zip(content["id"].to_pylist(), frame_matrices(content), strict=True))
    features = dict(zip(*(read_table(config.out / "features")[n].to_pylist() for n in ("id", "features")), strict=True))
    assert data.feature_sets == (len(next(iter(features.values()))), 2 * data.content.dims)
    for video, row in zip(data.videos, data.features, strict=True):
        np.testing.assert_allclose(row, [*features[video.id], *pooled(frames[video.id])], rtol=1e-6)
    outcome = run_study(config, Silent())
    assert any("Sets of features have these weights" in note for note in outcome.notes)
    assert len(outcome.scores) == 2
    assert outcome.spread is not None
    assert np.isfinite(outcome.spread).all()


def test_content_alone_needs_no_other_features(write_study: Callable[..., Path]) -> None:
    config = read_study(write_study(quality={"features": ["content"]}))
    data = gather(config, Run(config.out))
    assert data.feature_sets == (data.features.shape[1],) == (2 * data.content.dims,)
    assert not (config.out / "features").exists()


def config(**settings: object) -> StudyConfig:
    return StudyConfig.model_validate({"videos": "videos.csv", **settings})


def test_both_where_an_encoder_is_named() -> None:
    encoder = ContentSettings(encoder="google/siglip2-base-patch16-224")
    assert feature_sets(config(content=encoder)) == ("statistical", "content")
    assert feature_sets(config(content=ContentSettings(encoder=HANDCRAFTED))) == ()
    table = QualitySettings(features=Path("features.csv"))
    assert feature_sets(config(content=encoder, quality=table)) == ()
    assert feature_sets(config(content=encoder, quality=QualitySettings(model="owner/name"))) == ()


@pytest.mark.parametrize("wrong", [[], ["content", "content"], ["pixels"]])
def test_lists_that_name_no_sets(write_study: Callable[..., Path], wrong: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"quality\.features"):
        read_study(write_study(quality={"features": wrong}))

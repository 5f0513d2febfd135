"""Sets of features with a kernel each, from files: what f reads, what it says of them, and that it learns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mdsvqa
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.settings import HANDCRAFTED, ContentSettings, QualitySettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import frame_matrices, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.study.data import feature_sets, gather
from mdsvqa.study.inputs import pooled
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.run import run_study
from mdsvqa.videos.manifest import load_videos


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


@pytest.mark.parametrize("sets", [["content", "statistical"], ["content"]])
def test_a_saved_model_scores_as_within_its_study(
    write_study: Callable[..., Path], small_corpus: Path, tmp_path: Path, sets: list[str]
) -> None:
    config = read_study(write_study(quality={"features": sets, "frames": 12}, content={"frames": 4}))
    outcome = run_study(config, Silent())
    videos, model = load_videos(small_corpus), config.out / "round-1" / "model.safetensors"
    within = {row["id"]: row for row in read_table(config.out / "round-1" / "scores").to_pylist()}
    anew = mdsvqa.score(videos, str(model), out=tmp_path / "anew")
    for video, score in anew.by_id("score").items():
        assert score == pytest.approx(within[video]["score"], abs=1e-9)
    assert anew.by_id("spread").keys() == anew.by_id("score").keys() == {video.id for video in videos}
    content = config.out / "content"
    made = {path: path.read_bytes() for path in content.iterdir() if path.suffix == ".parquet"}
    from_content = mdsvqa.score(videos, str(model), content=content, out=tmp_path / "from-content")
    assert from_content.rows() == anew.rows()
    assert not (tmp_path / "from-content" / "_content").exists()
    assert {path: path.read_bytes() for path in content.iterdir() if path.suffix == ".parquet"} == made
    # What it reads lies where the steps after it look.
    source, pool = ([v for v in videos if v.split == split] for split in ("train", "pool"))
    difficulty = mdsvqa.predict_difficulty(str(model), [*source, *pool], anew, settings=DifficultySettings(folds=2))
    assert difficulty.by_id("difficulty").keys() == {video.id for video in pool}
    labels = {video.id: 1.0 + i % 4 for i, video in enumerate(pool)}
    better = mdsvqa.finetune(str(model), videos, labels, scores=anew, out=tmp_path / "better.safetensors")
    again = mdsvqa.score(videos[:2], better.model, content=content, out=tmp_path / "again")
    assert len(again.by_id("score")) == 2
    assert outcome.spread is not None


def test_more_videos_are_scored_later_and_a_study_goes_on_from_the_file(
    write_study: Callable[..., Path], small_corpus: Path, tmp_path: Path
) -> None:
    config = read_study(write_study(quality={"features": ["content", "statistical"]}))
    run_study(config, Silent())
    videos, model = load_videos(small_corpus), str(config.out / "round-1" / "model.safetensors")
    for some in (videos[:3], videos[:5]):
        found = mdsvqa.score(some, model, content=config.out / "content", out=tmp_path / "scores")
        assert list(found.by_id("score")) == [video.id for video in some]
    later = read_study(write_study("later.yaml", out="later", quality={"model": model}))
    assert feature_sets(later) == ("statistical", "content")
    before = {row["id"]: row["score"] for row in read_table(config.out / "round-1" / "scores").to_pylist()}
    data = gather(later, Run(later.out))
    scores = StatisticalModel.of_study(later, data, Run(later.out)).scores(data).score
    np.testing.assert_allclose(scores, [before[video.id] for video in data.videos], atol=1e-9)
    other = read_study(write_study("other.yaml", out="other", quality={"model": model}, content={"frames": 3}))
    with pytest.raises(InputError, match="was trained on content by"):
        StatisticalModel.of_study(other, gather(other, Run(other.out)), Run(other.out))


def test_content_that_the_model_did_not_learn_from_is_refused(
    write_study: Callable[..., Path], small_corpus: Path, tmp_path: Path
) -> None:
    config = read_study(write_study(quality={"features": ["content"]}))
    run_study(config, Silent())
    videos, model = load_videos(small_corpus)[:2], str(config.out / "round-1" / "model.safetensors")
    mdsvqa.encode(videos, settings=ContentSettings(frames=3), out=tmp_path / "other")
    with pytest.raises(InputError, match="frames: 3 there, 8 now"):
        mdsvqa.score(videos, model, content=tmp_path / "other", out=tmp_path / "scores")
    plain = read_study(write_study("plain.yaml", out="plain"))
    run_study(plain, Silent())
    with pytest.raises(InputError, match="go with a model that was trained on content"):
        mdsvqa.score(videos, str(plain.out / "round-1" / "model.safetensors"), content=config.out / "content")


def test_the_encoder_recorded_with_a_model_is_used_and_another_one_refused(
    write_study: Callable[..., Path], small_corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    import mdsvqa.models.transformers_vision

    encoder, moved, other = (tmp_path / "named" / name for name in ("encoder", "moved", "other"))
    for folder, seed in ((encoder, 0), (other, 1)):
        make_dinov2(folder, seed)
    config = read_study(write_study(quality={"features": ["content"]}, content={"encoder": str(encoder)}))
    run_study(config, Silent())
    videos, model = load_videos(small_corpus)[:3], str(config.out / "round-1" / "model.safetensors")
    within = {row["id"]: row["score"] for row in read_table(config.out / "round-1" / "scores").to_pylist()}
    found = mdsvqa.score(videos, model, out=tmp_path / "scores").by_id("score")
    assert found == pytest.approx({video.id: within[video.id] for video in videos}, abs=1e-4)
    with pytest.raises(InputError, match="is not the one that the model was trained with"):
        mdsvqa.score(videos, model, encoder=str(other), out=tmp_path / "by-another")
    # It has gone: what it made is enough.
    (moved / "deeper").mkdir(parents=True)
    encoder.rename(moved / "deeper" / "encoder")
    kept = mdsvqa.score(videos, model, content=config.out / "content", out=tmp_path / "kept").by_id("score")
    assert kept == pytest.approx({video.id: within[video.id] for video in videos}, abs=1e-9)
    there = str(moved / "deeper" / "encoder")
    assert mdsvqa.score(videos, model, encoder=there, out=tmp_path / "moved").by_id("score") == found


def make_dinov2(folder: Path, seed: int) -> None:
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)

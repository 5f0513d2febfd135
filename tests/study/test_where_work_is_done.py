"""The same tables by processes here and by a Ray cluster, row for row, and each goes on with what the other made."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

import cluster_work
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.settings import ContentSettings, VlmSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.models.vlm.table_scoring import score_with_model
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_meta, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.study.rehearsal.repeats import Job, run_repeat
from mdsvqa.videos.about import NAMES
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.video import Video
from rehearsals import make_inputs, second_data_set

RAY = EngineSettings(name="ray", gpus_per_worker=0, cpus_per_worker=1)
# One worker, which decodes in two processes of its own.
TWO_CORES = EngineSettings(name="ray", gpus_per_worker=0, cpus_per_worker=2)
Step = Callable[[Sequence[Video], Run], pa.Table]


@pytest.fixture(scope="module")
def videos(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    """Forty of the corpus, one of which is no video."""
    broken = tmp_path_factory.mktemp("broken") / "broken.mp4"
    broken.write_bytes(b"no video")
    found = load_videos(small_corpus)[:40]
    return [*found[:7], Video("broken", broken), *found[7:]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny DINOv2."""
    pytest.importorskip("transformers")
    from mdsvqa.models.transformers_vision import transformers

    folder = tmp_path_factory.mktemp("encoder") / "dinov2"
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    model = transformers.Dinov2Model(transformers.Dinov2Config(**size, image_size=32, patch_size=8))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    processor = transformers.BitImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return str(folder)


def equal_by_either(step: Step, videos: Sequence[Video], folder: Path, engine: EngineSettings = RAY) -> None:
    """Makes a table here, on the cluster, and in two halves, and compares row for row."""
    here, there, both = Run(folder / "here", Silent(), 2), Run(folder / "there", engine=engine), folder / "both"
    table = step(videos, here)
    assert table.num_rows == len(videos)
    assert step(videos, there).equals(table)
    assert read_meta(there.out)["maker"] == read_meta(here.out)["maker"]
    # Where a window ends: what is read in other batches differs in the last digits.
    step(videos[:12], Run(both, Silent(), 2))
    assert step(videos, Run(both, engine=engine)).equals(table)


def test_features(videos: list[Video], cluster: Any, tmp_path: Path) -> None:
    equal_by_either(lambda some, run: extract_features(some, 2, run), videos, tmp_path)


def test_content_by_the_embedded_encoder(videos: list[Video], cluster: Any, tmp_path: Path) -> None:
    equal_by_either(lambda some, run: encode_content(some, ContentSettings(frames=2), run), videos, tmp_path)


@pytest.mark.slow
def test_content_by_a_checkpoint(videos: list[Video], encoder: str, cluster: Any, tmp_path: Path) -> None:
    settings = ContentSettings(encoder=encoder, frames=2, batch_size=8)
    equal_by_either(lambda some, run: encode_content(some, settings, run), videos, tmp_path)


@pytest.mark.parametrize(
    ("reading", "engine"), [("expected", RAY), pytest.param("generate", TWO_CORES, marks=pytest.mark.slow)]
)
def test_scores_of_a_vision_language_model(
    reading: str, engine: EngineSettings, videos: list[Video], tiny_vlm: Path, cluster: Any, tmp_path: Path
) -> None:
    from mdsvqa.models.vlm.load import score_with_vlm

    settings = VlmSettings(reading=reading, frames=2, max_pixels=8 * 28 * 28, max_new_tokens=24)
    equal_by_either(lambda some, run: score_with_vlm(some, str(tiny_vlm), settings, run), videos, tmp_path, engine)


@pytest.mark.slow
def test_difficulty_by_a_failure_predictor(videos: list[Video], tiny_vlm: Path, cluster: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from mdsvqa.difficulty.vlm.predict import predict_with_vlm
    from mdsvqa.models.settings import LoraSettings
    from mdsvqa.models.training.lora import add_lora, save_adapter
    from mdsvqa.models.transformers_vision import transformers

    adapter = tmp_path / "adapter"
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_vlm)
    save_adapter(add_lora(model, LoraSettings(rank=4, alpha=8), 0), adapter, str(tiny_vlm))
    settings = VlmSettings(frames=2, max_pixels=8 * 28 * 28)
    predict = partial(predict_with_vlm, model=str(tiny_vlm), adapter=str(adapter), settings=settings)
    here = predict(videos, run=Run(tmp_path / "here", Silent(), 2))
    assert predict(videos, run=Run(tmp_path / "there", engine=RAY)).equals(here)
    assert read_table(tmp_path / "there" / "readings").equals(read_table(tmp_path / "here" / "readings"))


@pytest.mark.slow
def test_a_video_that_kills_every_worker_has_no_score_and_the_others_have(
    videos: list[Video], cluster: Any, tmp_path: Path
) -> None:
    run = Run(tmp_path / "scores", engine=RAY)
    load = partial(cluster_work.three, videos[15].id)
    rows = score_with_model(videos, load, "Loading three", "auto", run)[0].to_pylist()
    assert [row["id"] for row in rows] == [video.id for video in videos]
    assert {row["id"]: row["status"] for row in rows if row["status"] != "ok"} == {
        "broken": "undecodable",
        videos[15].id: "undecodable",
    }
    assert {row["score"] for row in rows if row["status"] == "ok"} == {3.0}
    # Where it does no harm it is scored, in its place.
    again = score_with_model(videos, partial(cluster_work.three, ""), "Loading three", "auto", run)[0].to_pylist()
    assert [row["id"] for row in again if row["status"] != "ok"] == ["broken"]
    assert again[15] == {**rows[15], "status": "ok", "score": 3.0, "text": None, **about(again[15])}


def about(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in NAMES}


@pytest.mark.slow
def test_repeats_of_a_rehearsal(cluster: Any, tmp_path: Path) -> None:
    inputs = make_inputs()
    jobs = [Job(second_data_set(), repeat, ["random", "mds", "facility-location"], 5) for repeat in range(4)]
    found = Run(tmp_path, engine=RAY).map(partial(run_repeat, inputs), jobs, crashed=lambda job: [])
    assert list(found) == [run_repeat(inputs, job) for job in jobs]


def test_a_worker_is_given_its_gpus_and_chooses_none(videos: list[Video], encoder: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"device cuda:1: with --engine ray each worker is given its GPUs"):
        encode_content(videos, ContentSettings(encoder=encoder, device="cuda:1"), Run(tmp_path / "c", engine=RAY))

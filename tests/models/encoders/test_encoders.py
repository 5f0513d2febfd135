"""Vision encoders against plain code: the real classes at a tiny size, one frame a call, no network."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from typer.testing import CliRunner

pytest.importorskip("transformers")

import mdsvqa.models.transformers_vision as tv
from mdsvqa.cli.app import app
from mdsvqa.models import checkpoints
from mdsvqa.models.encoders import encoders, vision_encoding
from mdsvqa.models.encoders.encoders import EncoderError, VisionEncoder, find_encoder, load_encoder
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.encoders.pixels import Preparation
from mdsvqa.models.settings import ContentSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import TableError, frame_matrices, read_meta, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import read_study
from mdsvqa.study.data import gather
from mdsvqa.videos.decoding import Sampling, sample_clip
from mdsvqa.videos.video import Video

FRAMES, PROJECTED, HIDDEN = 3, 24, 32
SIZE = {"hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**SIZE, "image_size": 32, "patch_size": 8}
TEXT = {**SIZE, "vocab_size": 50, "max_position_embeddings": 8}
SQUARE = {"height": 32, "width": 32}
KINDS = ("clip", "clip vision", "siglip", "siglip2 naflex", "dinov2", "dinov2 registers")


def make(kind: str) -> tuple[Any, Any]:
    """A tiny model of one kind, and its image processor."""
    import transformers as hf

    match kind:
        case "clip":
            # The width of the projection in the vision part's own configuration is another: 512.
            config = hf.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=PROJECTED)
            return hf.CLIPModel(config), hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
        case "clip vision":
            model = hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**VISION, projection_dim=PROJECTED))
            return model, hf.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=SQUARE)
        case "siglip":
            config = hf.SiglipConfig(text_config=TEXT, vision_config=VISION)
            return hf.SiglipModel(config), hf.SiglipImageProcessor(size=SQUARE)
        case "siglip2 naflex":
            vision = {**SIZE, "patch_size": 8, "num_patches": 16}
            config = hf.Siglip2Config(text_config=TEXT, vision_config=vision)
            return hf.Siglip2Model(config), hf.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
        case "dinov2":
            # Without a crop, videos of different proportions do not fit into one batch.
            processor = hf.BitImageProcessor(size={"shortest_edge": 32}, do_center_crop=False)
            return hf.Dinov2Model(hf.Dinov2Config(**VISION)), processor
        case _:
            processor = hf.BitImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE)
            return hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**VISION)), processor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint of some kind, made when it is first asked for."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("checkpoints") / kind.replace(" ", "-")
            torch.manual_seed(0)
            model, processor = make(kind)
            with torch.no_grad():
                # Larger than they begin, or every picture would have the same feature.
                for weight in model.parameters():
                    weight.normal_(0, 0.3)
            model.save_pretrained(made[kind])
            processor.save_pretrained(made[kind])
        return made[kind]

    return of


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    """Seven videos of ten frames and two proportions; the fourth file is empty."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(3)
    for number in range(7):
        width, height = (96, 64) if number % 2 else (64, 112)
        with av.open(str(folder / f"{number}.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for _ in range(10):
                coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
                out.mux(stream.encode(VideoFrame.from_ndarray(picture, "rgb24")))
            out.mux(stream.encode())
    (folder / "3.mp4").write_bytes(b"")
    return [Video(str(number), folder / f"{number}.mp4") for number in range(7)]


def frames_of(video: Video) -> NDArray[np.uint8]:
    assert video.path is not None
    return sample_clip(video.path, video.id, Sampling(frames=FRAMES)).frames


@torch.no_grad()
def plain(kind: str, folder: Path, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a script computes with transformers alone, a frame at a time, in float32."""
    import transformers as hf

    processor = tv.AutoImageProcessor.from_pretrained(folder)
    model = (hf.CLIPVisionModelWithProjection if kind == "clip vision" else hf.AutoModel).from_pretrained(folder).eval()
    features = []
    for frame in frames:
        inputs = processor(images=frame, return_tensors="pt")
        if kind == "clip vision":
            feature = model(**inputs).image_embeds
        elif kind.startswith("dinov2"):
            feature = model(**inputs).last_hidden_state[:, 0]
        else:
            feature = model.get_image_features(**inputs).pooler_output
        features.append((feature / feature.norm())[0].numpy())
    return np.stack(features)


def encode(videos: Sequence[Video], folder: Path, model: Path | str, workers: int = 0, **settings: Any) -> Any:
    options = ContentSettings(encoder=str(model), **{"frames": FRAMES, "device": "cpu", **settings})
    return encode_content(videos, options, Run(folder, Silent(), workers))


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_plain_code_frame_by_frame(kind: str, checkpoint, videos, tmp_path: Path) -> None:
    folder = checkpoint(kind)
    # Batches of 4 frames hold frames of different videos.
    table = encode(videos, tmp_path / "content", folder, batch_size=4)
    assert table["id"].to_pylist() == [video.id for video in videos]
    found = frame_matrices(table)
    assert str(table.schema.field("frames").type.value_type.value_type) == "halffloat"
    for number, (video, features) in enumerate(zip(videos, found, strict=True)):
        if number == 3:
            assert len(features) == 0
            continue
        wanted = plain(kind, folder, frames_of(video))
        assert features.shape == (FRAMES, PROJECTED if kind.startswith("clip") else HIDDEN)
        assert np.abs(features - wanted).max() < 1e-3
        assert np.abs(np.linalg.norm(features, axis=1) - 1).max() < 1e-3
        # Not because all frames look alike to it.
        assert np.linalg.norm(features[0] - features[1]) > 0.02
    assert table["status"].to_pylist()[3] == "undecodable"
    assert "empty file" in table["text"].to_pylist()[3]


@pytest.mark.parametrize("kind", KINDS)
def test_the_processor_in_halves_gives_its_own_numbers(kind: str, checkpoint) -> None:
    processor = tv.AutoImageProcessor.from_pretrained(checkpoint(kind))
    preparation = Preparation.of(processor)
    assert preparation.in_halves == (kind != "siglip2 naflex")
    rng = np.random.default_rng(0)
    for height, width in ((32, 32), (20, 70), (233, 101), (480, 854), (9, 11)):
        frames = rng.integers(0, 256, (2, 3, height, width), np.uint8)
        shrunk = preparation.shrink(frames)
        assert (shrunk["pixel_values"].dtype == np.uint8) == preparation.in_halves
        found = preparation.scale(torch.from_numpy(shrunk["pixel_values"]))
        wanted = [processor(images=frame, return_tensors="pt")["pixel_values"][0] for frame in frames]
        assert torch.equal(found, torch.stack(wanted))


def test_only_the_vision_part_is_loaded(checkpoint) -> None:
    for kind in ("clip", "siglip", "siglip2 naflex"):
        model = load_encoder(find_encoder(str(checkpoint(kind))), ContentSettings(device="cpu")).model
        assert not [name for name, _ in model.named_parameters() if "text" in name]


def test_batches_are_filled_across_videos_and_halved_when_they_do_not_fit(checkpoint, videos, monkeypatch) -> None:
    files = find_encoder(str(checkpoint("clip vision")))
    encoder = load_encoder(files, ContentSettings(device="cpu", batch_size=4))
    prepared = [files.preparation.shrink(frames_of(video)) for video in videos[:3]]
    wanted = [encoder.encode([pixels])[0] for pixels in prepared]
    sizes: list[int] = []
    forward = VisionEncoder._forward

    def tight(self: VisionEncoder, pixels: Any) -> Any:
        sizes.append(len(pixels["pixel_values"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, pixels)

    monkeypatch.setattr(VisionEncoder, "_forward", tight)
    found = encoder.encode(prepared)
    assert sizes == [4, 2, 2, 4, 2, 2, 1]
    for features, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(features, expected, atol=1e-5)
    monkeypatch.setattr(encoders, "run_halving", lambda items, run, failed: [failed(item) for item in items])
    assert encoder.encode(prepared) == [encoders.NO_MEMORY] * 3


def test_numbers_that_are_not_finite_fail_the_video(checkpoint, videos, tmp_path: Path, monkeypatch) -> None:
    forward = VisionEncoder._forward

    def broken(self: VisionEncoder, pixels: Any) -> Any:
        features = forward(self, pixels)
        features[0] = np.nan
        return features

    monkeypatch.setattr(VisionEncoder, "_forward", broken)
    table = encode(videos[:2], tmp_path / "content", checkpoint("clip"))
    assert table["status"].to_pylist() == ["failed", "ok"]
    assert "float32" in table["text"].to_pylist()[0]
    monkeypatch.undo()
    # Tried again, in its place.
    assert encode(videos[:2], tmp_path / "content", checkpoint("clip"))["status"].to_pylist() == ["ok", "ok"]


def test_a_killed_run_goes_on_and_ends_in_the_same_table(checkpoint, videos, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(vision_encoding, "SHARD", 2)
    folder, content = checkpoint("siglip"), tmp_path / "content"
    undisturbed = encode(videos, tmp_path / "undisturbed", folder, batch_size=4).to_pylist()
    encode_all, seen = VisionEncoder.encode, []

    def killed(self: VisionEncoder, videos: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(videos))
        return encode_all(self, videos)

    monkeypatch.setattr(VisionEncoder, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        encode(videos, content, folder, batch_size=4)
    assert len(read_table(content)) == 4
    seen.clear()
    monkeypatch.setattr(
        VisionEncoder, "encode", lambda self, videos: seen.append(len(videos)) or encode_all(self, videos)
    )
    assert encode(videos, content, folder, batch_size=4).to_pylist() == undisturbed
    assert seen == [2, 1]
    # Nothing is left to do: the weights are not even loaded.
    monkeypatch.setattr(vision_encoding, "load_encoder", lambda *_: pytest.fail("loaded"))
    assert encode(videos, content, folder, batch_size=4).to_pylist() == undisturbed
    # What took longer than a minute is not made anew unasked.
    (content / "_seconds").write_text("1000\n")
    with pytest.raises(TableError, match="frames: 3 there, 2 now"):
        encode(videos, content, folder, frames=2)


def test_workers_prepare_ahead_and_a_mended_video_gets_its_row(checkpoint, videos, tmp_path: Path) -> None:
    copies = [Video(video.id, tmp_path / f"{video.id}.mp4") for video in videos[2:5]]
    for video, copy in zip(videos[2:5], copies, strict=True):
        assert video.path is not None
        assert copy.path is not None
        copy.path.write_bytes(video.path.read_bytes())
    content, folder = tmp_path / "content", checkpoint("clip")
    before = encode(copies, content, folder, workers=2)
    assert before["status"].to_pylist() == ["ok", "undecodable", "ok"]
    copies[1].path.write_bytes(copies[0].path.read_bytes())
    after = encode(copies, content, folder, workers=2)
    assert after["status"].to_pylist() == ["ok"] * 3
    rows = frame_matrices(after)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[2], frame_matrices(before)[2])


def test_the_table_names_the_encoder_by_content_and_revision(checkpoint, videos, tmp_path: Path, monkeypatch) -> None:
    folder = checkpoint("dinov2")
    encode(videos[:1], tmp_path / "content", folder)
    maker = read_meta(tmp_path / "content")["maker"]
    assert (maker["encoder"], maker["revision"], maker["frames"], maker["version"]) == ("dinov2", "", FRAMES, 1)
    asked = []

    def snapshot(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        cached = tmp_path / "snapshots" / "0a1b2c"
        if not cached.exists():
            cached.parent.mkdir()
            cached.symlink_to(folder)
        return str(cached)

    monkeypatch.setattr(checkpoints, "snapshot_download", snapshot)
    found = find_encoder("facebook/dinov2-base@refs/pr/1").maker
    assert asked == [("facebook/dinov2-base", "refs/pr/1")]
    assert (found["encoder"], found["revision"]) == ("facebook/dinov2-base", "0a1b2c")
    assert found["weights"] == maker["weights"]


def test_other_checkpoints_are_refused_by_what_they_are(checkpoint, tmp_path: Path) -> None:
    import transformers as hf

    def refused(folder: Path, *parts: str) -> None:
        with pytest.raises(EncoderError) as caught:
            load_encoder(find_encoder(str(folder)), ContentSettings(device="cpu"))
        message = str(caught.value)
        assert message.startswith(f"encoder {str(folder)!r}: ")
        assert "\n" not in message
        assert all(part in message for part in parts), message

    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}')
    refused(tmp_path / "llama", "is a LlamaForCausalLM", "SigLIP 2 or DINOv2", "facebook/dinov2-base")
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", "no readable config.json")
    # A CLIP without its projection would be given a random one.
    hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION)).save_pretrained(tmp_path / "bare")
    hf.CLIPImageProcessor().save_pretrained(tmp_path / "bare")
    refused(tmp_path / "bare", "lack visual_projection.weight")
    (tmp_path / "bare" / "model.safetensors").rename(tmp_path / "bare" / "pytorch_model.bin")
    refused(tmp_path / "bare", "no weights in safetensors", "owner/name@refs/pr/1")
    hf.SiglipVisionModel(hf.SiglipVisionConfig(**VISION, vision_use_head=False)).save_pretrained(tmp_path / "headless")
    refused(tmp_path / "headless", "image processor")
    hf.SiglipImageProcessor(size=SQUARE).save_pretrained(tmp_path / "headless")
    refused(tmp_path / "headless", "no pooled output")


def test_a_checkpoint_that_cannot_be_loaded_leaves_no_table(checkpoint, videos, tmp_path: Path) -> None:
    import transformers as hf

    hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION)).save_pretrained(tmp_path / "bare")
    hf.CLIPImageProcessor().save_pretrained(tmp_path / "bare")
    with pytest.raises(EncoderError):
        encode(videos, tmp_path / "content", tmp_path / "bare")
    assert not (tmp_path / "content").exists()
    assert len(encode(videos[:1], tmp_path / "content", checkpoint("clip"))) == 1


def test_a_hub_name_without_network_is_one_sentence(videos, tmp_path: Path, monkeypatch) -> None:
    nowhere = "http://127.0.0.1:9"
    fetch = partial(checkpoints.snapshot_download, endpoint=nowhere, cache_dir=tmp_path / "hub")
    monkeypatch.setattr(checkpoints, "snapshot_download", fetch)
    monkeypatch.setattr(checkpoints.constants, "ENDPOINT", nowhere)
    with pytest.raises(InputError) as caught:
        encode(videos, tmp_path / "content", "google/siglip2-base-patch16-224")
    message = str(caught.value)
    assert message.startswith(f"encoder 'google/siglip2-base-patch16-224' could not be fetched from {nowhere}")
    assert "--local-dir" in message
    assert "\n" not in message
    assert not (tmp_path / "content").exists()


def test_the_command_takes_an_encoder(checkpoint, videos, tmp_path: Path) -> None:
    listed = "".join(f"{video.id},{video.path}\n" for video in videos)
    (tmp_path / "videos.csv").write_text(f"id,path\n{listed}")
    command = ["content", str(tmp_path / "videos.csv"), "--out", str(tmp_path / "content"), "-j", "1", "--json"]
    done = CliRunner().invoke(
        app, [*command, "--encoder", str(checkpoint("clip")), "--frames", "2", "--batch-size", "3"]
    )
    assert done.exit_code == 0, done.output
    assert '"ok": 6' in done.output
    assert [len(frames) for frames in frame_matrices(read_table(tmp_path / "content"))] == [2, 2, 2, 0, 2, 2, 2]
    wrong = CliRunner().invoke(app, [*command, "--encoder", "clip"])
    assert isinstance(wrong.exception, InputError)
    assert "--encoder: 'clip' is neither handcrafted nor a checkpoint" in str(wrong.exception)


def test_a_study_names_its_encoder(checkpoint, videos, tmp_path: Path) -> None:
    (tmp_path / "clip").symlink_to(checkpoint("clip"))
    rows = [f"{video.id},{video.path},{3 if i < 3 else ''}" for i, video in enumerate(videos) if i != 3]
    (tmp_path / "videos.csv").write_text("\n".join(["id,path,mos", *rows]) + "\n")
    (tmp_path / "features.csv").write_text("id,a\n" + "".join(f"{video.id},{i}\n" for i, video in enumerate(videos)))
    study = tmp_path / "study.yaml"
    lines = "videos: videos.csv\nworkers: 1\nquality: {features: features.csv}\n"
    study.write_text(f"{lines}content: {{encoder: ./clip, frames: {FRAMES}, device: cpu}}\n")
    config = read_study(study)
    assert config.content.encoder == str(tmp_path / "clip")
    material = gather(config, Run(config.out))
    assert material.content.frames.shape == (6 * FRAMES, PROJECTED)
    study.write_text("videos: videos.csv\ncontent: {encoder: owner/name}\n")
    assert read_study(study).content.encoder == "owner/name"
    study.write_text("videos: videos.csv\ncontent: {encoder: clip-large}\n")
    with pytest.raises(ConfigError, match=r"content\.encoder: 'clip-large' is neither handcrafted nor a checkpoint"):
        read_study(study)

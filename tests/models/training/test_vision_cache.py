"""The vision tower looks once at each video of a training, and nothing changes by it."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.training.vision_cache import VisionCache
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.videos.video import Video

VIDEOS = [Video(f"v{k}", Path(f"v{k}.mp4"), "made", "train", 3.0) for k in range(5)]


class MadeClips(ClipCache):
    """Clips of noise in place of decoded ones."""

    def load(self, video: Video) -> ModelClip:
        k = VIDEOS.index(video)
        frames = 2 + 2 * (k % 2)
        pixels = np.random.default_rng(k).integers(0, 256, (frames, 3, 56, 28 * (1 + k % 3)), np.uint8)
        return ModelClip(video.id, pixels, 1.0, frames // 2 * 2 * (1 + k % 3))


@pytest.fixture
def reader(tiny_vlm: Path) -> VlmReader:
    settings = VlmSettings(reading="expected", device="cpu")
    return VlmReader(load_checkpoint(settings, str(tiny_vlm)), settings)


def count_passes(reader: VlmReader) -> list[int]:
    passes: list[int] = []
    reader.family.inside(reader.model).visual.register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_ten_epochs_look_once_at_each_video_and_read_the_same(reader: VlmReader, tmp_path: Path) -> None:
    clips = MadeClips(tmp_path / "clips", reader.sight)
    with torch.no_grad():
        wanted = reader.expectation([clips.load(video) for video in VIDEOS]).value
    passes = count_passes(reader)
    for _ in range(10):
        # A rerun finds them too.
        cache = VisionCache(clips, reader, tmp_path / "vision", None)
        with torch.no_grad():
            found = reader.expectation([cache.load(video) for video in VIDEOS]).value
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert len(passes) == len(VIDEOS)


def test_what_finds_no_room_is_looked_at_whenever_it_is_read(reader: VlmReader, tmp_path: Path) -> None:
    clips = MadeClips(tmp_path / "clips", reader.sight)
    size = reader.looked_at(clips.load(VIDEOS[0])).seen.nbytes
    passes = count_passes(reader)
    cache = VisionCache(clips, reader, tmp_path / "vision", size)
    for _ in range(3):
        assert cache.load(VIDEOS[0]).seen is not None
        assert cache.load(VIDEOS[3]).seen is not None
    assert len(passes) == 1 + 3
    assert VisionCache(clips, reader, tmp_path / "none", 0).load(VIDEOS[0]).seen is not None
    assert not list((tmp_path / "none").glob("*"))


def test_clips_with_and_without_what_is_seen_in_them_share_a_batch(reader: VlmReader, tmp_path: Path) -> None:
    clips = [MadeClips(tmp_path, reader.sight).load(video) for video in VIDEOS]
    wanted = [score.score for score in reader.read(clips)]
    mixed = [reader.looked_at(clip) if k % 2 else clip for k, clip in enumerate(clips)]
    assert [score.score for score in reader.read(mixed)] == pytest.approx(wanted, abs=1e-5)

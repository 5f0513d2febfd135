"""Many bad files at once among good ones: the good ones' rows are those without the bad ones."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mdsvqa.models.base import Score
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.plugin import score_videos
from mdsvqa.models.settings import ContentSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.runtime.run import Run
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.manifest import find_videos
from mdsvqa.videos.video import Video

GOOD = 200


def film(path: Path, seed: int, frames: int = 2, size: tuple[int, int] = (48, 32)) -> None:
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for _ in range(frames):
            picture = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def sound(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of good films, and one with the same and bad ones between them."""
    root = tmp_path_factory.mktemp("folders")
    good, mixed = root / "good", root / "mixed"
    good.mkdir()
    for i in range(GOOD):
        film(good / f"v{i:03d}.mkv", i)
    shutil.copytree(good, mixed)
    whole = (good / "v003.mkv").read_bytes()
    noise = bytearray(whole)
    for place in np.random.default_rng(0).integers(0, len(noise), 300):
        noise[place] ^= 255
    (mixed / "a empty.mp4").touch()
    (mixed / "v001 text.mp4").write_text("not a film\n" * 100)
    (mixed / "v050 cut.mkv").write_bytes(whole[: len(whole) // 3])
    (mixed / "v051 noise.mkv").write_bytes(noise)
    (mixed / "v100 new\nline.mp4").write_bytes(b"x")
    (mixed / "v101 picture.mp4").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 50)
    sound(mixed / "v150 sound.mp4")
    (mixed / "z zeros.mkv").write_bytes(bytes(5000))
    # No videos, whatever they are called.
    (mixed / "folder.mp4").mkdir()
    (mixed / "link.mp4").symlink_to(root / "nowhere.mp4")
    if hasattr(os, "mkfifo"):
        os.mkfifo(mixed / "pipe.mp4")
    return good, mixed


class Bright:
    """Scores by brightness, and raises where there is a picture of one pixel."""

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        if any(clip.frames.shape[2] < 2 for clip in clips):
            raise ValueError("a picture of one pixel")
        return [Score(clip.id, float(1 + clip.frames.mean() / 64)) for clip in clips]


def scored(videos: Sequence[Video], run: Run) -> Any:
    return score_videos(videos, Bright(), {"step": "scores", "model": "bright"}, 2, run)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda videos, run: extract_features(videos, 2, run), marks=pytest.mark.slow),
        lambda videos, run: encode_content(videos, ContentSettings(frames=2), run),
        scored,
    ],
    ids=["features", "content", "scores"],
)
def test_rows_of_good_files_are_those_without_the_bad_ones(
    step: Callable[[Sequence[Video], Run], Any], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    found = []
    for name, folder in zip(("good", "mixed"), folders, strict=True):
        rows = step(find_videos(folder), Run(tmp_path / name, workers=1)).to_pylist()
        found.append({row["id"]: row for row in rows})
    good, mixed = found
    assert len(good) == GOOD
    assert {row["status"] for row in good.values()} == {"ok"}
    assert {video: mixed[video] for video in good} == good
    bad = {video: row for video, row in mixed.items() if video not in good}
    assert len(bad) == 8
    # Noise may leave frames that decode.
    bad.pop("v051 noise.mkv")
    assert all(row["status"] == "undecodable" and row["text"] for row in bad.values())
    assert bad["a empty.mp4"]["text"] == "empty file (0 bytes)"


def test_a_class_that_raises_on_one_of_them_loses_that_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    odd = tmp_path / "odd.mkv"
    film(odd, 1, size=(1, 1))
    videos = find_videos(folders[1])[:20]
    rows = {
        row["id"]: row for row in scored([Video("odd", odd), *videos], Run(tmp_path / "out", workers=1)).to_pylist()
    }
    assert rows["odd"]["status"] == "failed"
    assert rows["odd"]["text"].startswith("ValueError: a picture of one pixel (test_bad_folder.py, line ")
    assert all(rows[video.id]["status"] == "ok" for video in videos if video.id[1:4].isdecimal() and video.id[4] == ".")

"""Raw video by the columns of a manifest, and animated WebP: frames by number, and reasons where there are none."""

import re
import shlex
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video, sample_clip
from mdsvqa.videos.films import look_at
from mdsvqa.videos.labels import write_training_set
from mdsvqa.videos.manifest import ManifestError, read_manifest, write_manifest
from mdsvqa.videos.video import RawFormat, Video

WIDTH, HEIGHT = 50, 38
# By hand, of pictures of 50 x 38: with chroma of half the size (rounded up), of half the width, and of 10 bits.
FRAME_BYTES = {"yuv420p": 50 * 38 * 3 // 2, "yuv422p": 50 * 38 * 2, "yuv420p10le": 50 * 38 * 3, "rgb24": 50 * 38 * 3}
HEADER = "id,path,width,height,pix_fmt,fps\n"


def raw_file(path: Path, pix_fmt: str, frames: int) -> Path:
    """Frame n is flat grey; its luma, or each of its colours, is 16 + 4 n."""
    deep = pix_fmt.endswith("10le")
    chroma = FRAME_BYTES[pix_fmt] // (2 if deep else 1) - WIDTH * HEIGHT
    written = []
    for n in range(frames):
        luma = np.full(WIDTH * HEIGHT, 16 + 4 * n)
        rest = np.full(chroma, 16 + 4 * n if pix_fmt == "rgb24" else 128)
        values = np.concatenate([luma, rest])
        written.append((values * 4).astype("<u2").tobytes() if deep else values.astype(np.uint8).tobytes())
    path.write_bytes(b"".join(written))
    return path


def one(path: Path) -> Video:
    (video,) = read_manifest(path)
    return video


@pytest.mark.parametrize("pix_fmt", FRAME_BYTES)
def test_raw_video_is_read_by_its_columns(tmp_path: Path, pix_fmt: str) -> None:
    raw_file(tmp_path / "a.yuv", pix_fmt, 50)
    (tmp_path / "m.csv").write_text(f"{HEADER}a,a.yuv,{WIDTH},{HEIGHT},{pix_fmt},25\n")
    video = one(tmp_path / "m.csv")
    assert video.raw == RawFormat(WIDTH, HEIGHT, pix_fmt, Fraction(25))
    clip = decode_video(video, Sampling(frames=4))
    assert isinstance(clip, Clip), clip
    # The middles of four parts of 2 s: frames 6.25, 18.75, ...
    assert (clip.timestamps * 25).round().tolist() == [6, 18, 31, 43]
    assert (clip.fps, clip.duration) == (25, 2)
    grey = np.array([16 + 4 * n for n in (6, 18, 31, 43)], np.float64)
    wanted = grey if pix_fmt == "rgb24" else np.clip((grey - 16) * 255 / 219, 0, 255)
    np.testing.assert_allclose(clip.frames.mean(axis=(1, 2, 3)), wanted, atol=1)
    assert clip.frames.shape == (4, 3, HEIGHT, WIDTH)
    every = decode_video(video, Sampling(rate=25, longest_side=25))
    assert isinstance(every, Clip)
    assert every.frames.shape == (50, 3, 19, 25)
    info = look_at(tmp_path / "a.yuv", video.raw)
    assert (info.width, info.height, info.frames, info.fps, info.duration) == (WIDTH, HEIGHT, 50, 25, 2)


def test_rates_as_people_write_them(tmp_path: Path) -> None:
    raw_file(tmp_path / "a.yuv", "yuv420p", 3)
    for written, rate in (
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(2997, 100)),
        ("24.0", Fraction(24)),
    ):
        (tmp_path / "m.csv").write_text(f"{HEADER}a,a.yuv,{WIDTH}.0,{HEIGHT},yuv420p,{written}\n")
        found = one(tmp_path / "m.csv").raw
        assert found is not None
        assert (found.fps, found.width) == (rate, WIDTH)
    (tmp_path / "m.jsonl").write_text(
        f'{{"path": "a.yuv", "width": {WIDTH}, "height": {HEIGHT}, "pix_fmt": "yuv420p", "fps": 30}}\n'
    )
    assert one(tmp_path / "m.jsonl").raw == RawFormat(WIDTH, HEIGHT, "yuv420p", Fraction(30))


@pytest.mark.parametrize("cells", ["wide,38,yuv420p,25", "50,38,yuv420p,0", "50.5,38,yuv420p,25", "-50,38,yuv420p,25"])
def test_a_format_that_is_none_is_said(tmp_path: Path, cells: str) -> None:
    raw_file(tmp_path / "a.yuv", "yuv420p", 3)
    (tmp_path / "m.csv").write_text(f"{HEADER}a,a.yuv,{cells}\n")
    with pytest.raises(
        ManifestError, match=r"m\.csv, line 2, row 1, id 'a': found a raw video of .* expected width and"
    ):
        read_manifest(tmp_path / "m.csv")


def test_the_same_columns_of_other_videos_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"{HEADER}a,a.mp4,wide,high,any,variable\n")
    assert one(tmp_path / "m.csv").raw is None
    (tmp_path / "m.jsonl").write_text('{"id": "a", "fps": [30, 1], "width": {"of": 3}}\n')
    assert one(tmp_path / "m.jsonl") == Video("a", None)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (f"{WIDTH},{HEIGHT},yuv999p,25", "raw video: no pictures can be of 50x38 yuv999p"),
        (f"{WIDTH},{HEIGHT},yuv444p,25", "its 8550 bytes are 1.50 pictures of 50x38 yuv444p (5700 bytes each)"),
        ("1920,1080,yuv420p,25", "its 8550 bytes are 0.00 pictures of 1920x1080 yuv420p (3110400 bytes each)"),
        ("999999,999999,yuv420p,25", "raw video: no pictures can be of 999999x999999 yuv420p"),
    ],
)
def test_a_format_that_does_not_fit_the_file_is_the_reason(tmp_path: Path, cells: str, said: str) -> None:
    raw_file(tmp_path / "a.yuv", "yuv420p", 3)
    (tmp_path / "m.csv").write_text(f"{HEADER}a,a.yuv,{cells}\n")
    found = decode_video(one(tmp_path / "m.csv"), Sampling(frames=2))
    assert isinstance(found, Undecodable)
    assert said in found.reason


def test_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    stated = RawFormat(8, 8, "gray", Fraction(25))
    (tmp_path / "b.yuv").write_bytes(b"")
    for name, reason in (("a.yuv", "file not found"), ("b.yuv", "empty file (0 bytes)")):
        found = decode_video(Video("a", tmp_path / name, raw=stated), Sampling(frames=1))
        assert isinstance(found, Undecodable)
        assert found.reason == reason


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg to wrap it with")
def test_the_line_in_the_reason_wraps_the_file(tmp_path: Path) -> None:
    raw_file(tmp_path / "my clip_50x38.yuv", "yuv420p", 50)
    (tmp_path / "m.csv").write_text("id,path,width,height\na,my clip_50x38.yuv,50,38\n")
    found = decode_video(one(tmp_path / "m.csv"), Sampling(frames=2))
    assert isinstance(found, Undecodable)
    assert "columns width, height, pix_fmt and fps" in found.reason
    line = re.search(r"ffmpeg .*", found.reason)
    assert line is not None
    subprocess.run([*shlex.split(line[0]), "-v", "error"], cwd=tmp_path, check=True)
    wrapped = sample_clip(tmp_path / "my clip_50x38.nut", "a", Sampling(frames=4))
    stated = RawFormat(WIDTH, HEIGHT, "yuv420p", Fraction(30))
    raw = sample_clip(tmp_path / "my clip_50x38.yuv", "a", Sampling(frames=4), raw=stated)
    np.testing.assert_array_equal(wrapped.frames, raw.frames)
    np.testing.assert_allclose(wrapped.timestamps, raw.timestamps, atol=1e-6)


def test_lists_keep_the_format(tmp_path: Path) -> None:
    raw_file(tmp_path / "a.yuv", "yuv420p", 3)
    stated = RawFormat(WIDTH, HEIGHT, "yuv420p", Fraction(30000, 1001))
    videos = [Video("a", tmp_path / "a.yuv", mos=3.0, raw=stated), Video("b", tmp_path / "b.mp4", mos=2.0)]
    write_manifest(tmp_path / "m.csv", videos)
    assert read_manifest(tmp_path / "m.csv") == videos
    write_training_set(tmp_path / "t.csv", videos, ["a"])
    assert [video.raw for video in read_manifest(tmp_path / "t.csv")] == [stated, None]
    write_manifest(tmp_path / "m.csv", videos[1:])
    assert "pix_fmt" not in (tmp_path / "m.csv").read_text()


def animation(path: Path, durations: list[int]) -> Path:
    pictures = [Image.fromarray(np.full((48, 64, 3), 20 + 20 * n, np.uint8)) for n in range(len(durations))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, lossless=True)
    return path


def test_animated_webp_is_read_by_the_times_of_its_frames(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", [100, 200, 700, 1000])
    clip = sample_clip(path, "a", Sampling(frames=4))
    # On screen at 0.25, 0.75, 1.25, 1.75 s of 2 s: frames that start at 0.1, 0.3, 1 s.
    np.testing.assert_allclose(clip.timestamps, [0.1, 0.3, 1.0])
    assert clip.frames[:, 0, 0, 0].tolist() == [40, 60, 80]
    assert clip.duration == pytest.approx(2)
    info = look_at(path)
    assert (info.width, info.height, info.frames, info.codec) == (64, 48, 4, "webp")
    (tmp_path / "b.webp").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Undecodable, match=r"truncated: \d+ of \d+ bytes"):
        sample_clip(tmp_path / "b.webp", "b", Sampling(frames=1))


def test_a_still_webp_is_no_video(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.webp")
    with pytest.raises(Undecodable, match="still picture"):
        sample_clip(tmp_path / "a.webp", "a", Sampling(frames=1))


def test_a_damaged_animation_is_said(tmp_path: Path) -> None:
    whole = bytearray(animation(tmp_path / "a.webp", [100] * 3).read_bytes())
    place = whole.index(b"VP8L", whole.index(b"ANMF", whole.index(b"ANMF") + 4))
    whole[place + 8 : place + 20] = bytes(12)
    (tmp_path / "a.webp").write_bytes(whole)
    with pytest.raises(Undecodable, match="damaged"):
        sample_clip(tmp_path / "a.webp", "a", Sampling(frames=3))

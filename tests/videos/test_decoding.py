"""Every test video carries the number of each frame in its picture, so that a test sees which frame came back."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from mdsvqa.videos import decoding
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_all, probe, sample_clip
from mdsvqa.videos.video import Video
from numbered_videos import clockwise_corners, corners, numbered, numbers, write_video

# With 60 frames at 30 Hz the centres of four parts of 2 s are at 0.25, 0.75, 1.25, 1.75 s: frames 7.5, 22.5, ...
FOUR = [7, 22, 37, 52]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv422p"),
        ("a.mp4", "libx265", "yuv420p10le"),
        ("a.mkv", "ffv1", "yuv444p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.avi", "libx264", "yuv420p"),
        ("a.flv", "flv1", "yuv420p"),
    ],
)
def test_frames_are_picked_by_time_in_every_container(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    extra = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / name, codec=codec, pix_fmt=pix_fmt, **extra)
    clip = sample_clip(path, "a", Sampling(frames=4))
    assert numbers(clip) == FOUR
    # MKV, WebM and FLV round to milliseconds.
    assert clip.timestamps == pytest.approx(np.array(FOUR) / 30, abs=1e-3)
    assert clip.duration == pytest.approx(2.0, abs=1e-3)
    assert clip.fps == pytest.approx(30.0, abs=0.02)
    assert clip.id == "a"
    assert clip.frames.shape == (4, 3, 48, 72)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.flags.c_contiguous
    assert numbers(sample_clip(path, "a", Sampling(rate=10))) == list(range(0, 60, 3))
    assert numbers(sample_clip(path, "a", Sampling(rate=30))) == list(range(60))


def test_raw_stream_without_timestamps_counts_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264")
    clip = sample_clip(path, "a", Sampling(frames=4))
    assert numbers(clip) == FOUR
    # At the rate that its sequence parameter set states, though FFmpeg's demuxer says 25 Hz for want of a header.
    assert clip.timestamps == pytest.approx(np.array(FOUR) / 30)


def test_variable_frame_rate_follows_time_not_frame_numbers(tmp_path: Path) -> None:
    # Frames 0-9 are shown for 1 s each, frames 10-18 for 0.1 s each, frame 19 for the 1/30 s that MKV writes by
    # default: 10.933 s, so the centres of 11 parts lie at 0.497, 1.491, ... 9.442, 10.436.
    pts = [1000 * k for k in range(10)] + [10000 + 100 * k for k in range(10)]
    path = write_video(tmp_path / "a.mkv", pts, tick=Fraction(1, 1000))
    clip = sample_clip(path, "a", Sampling(frames=11))
    assert numbers(clip) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14]
    assert clip.timestamps[-1] == pytest.approx(10.4)
    assert numbers(sample_clip(path, "a", Sampling(rate=0.5))) == [0, 2, 4, 6, 8, 10]


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", [300 + k for k in range(60)])
    clip = sample_clip(path, "a", Sampling(frames=4))
    assert numbers(clip) == FOUR
    assert clip.timestamps == pytest.approx(np.array(FOUR) / 30)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("options", [{}, {"x264-params": "open-gop=1:bframes=4:b-pyramid=normal"}])
def test_seeking_gives_the_frames_of_decoding_all(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = write_video(tmp_path / name, range(400), gop=25, **options)
    for sampling in (Sampling(frames=1), Sampling(frames=5), Sampling(frames=16), Sampling(rate=1.7), Sampling(rate=6)):
        fast = sample_clip(path, "a", sampling)
        slow = sample_clip(path, "a", sampling, spare=False)
        assert numbers(fast) == [int(t * 30 + 0.01) for t in slow.timestamps]
        assert np.array_equal(fast.frames, slow.frames)
        assert np.array_equal(fast.timestamps, slow.timestamps)


def test_seeking_decodes_fewer_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", range(400), gop=20)
    tallies: list[decoding._Tally] = []

    class Watched(decoding._Tally):
        def __init__(self) -> None:
            super().__init__()
            tallies.append(self)

    monkeypatch.setattr(decoding, "_Tally", Watched)
    sample_clip(path, "a", Sampling(frames=4))
    assert sum(tally.fed for tally in tallies) < 200


def test_short_videos_give_each_frame_once(tmp_path: Path) -> None:
    clip = sample_clip(write_video(tmp_path / "a.mp4", range(3)), "a", Sampling(frames=8))
    assert numbers(clip) == [0, 1, 2]
    one = sample_clip(write_video(tmp_path / "b.mp4", [0]), "b", Sampling(rate=2))
    assert numbers(one) == [0]
    assert one.timestamps.tolist() == [0.0]


def test_odd_sizes_and_threads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", size=(91, 53), pix_fmt="yuv444p", codec="ffv1")
    clip = sample_clip(path, "a", Sampling(frames=4), threads=2)
    assert numbers(clip) == FOUR
    assert clip.frames.shape == (4, 3, 53, 91)


def test_reduces_by_area_and_never_enlarges(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", size=(90, 60), pix_fmt="bgr0", codec="ffv1")
    clip = sample_clip(path, "a", Sampling(frames=4, longest_side=45))
    means = numbered(7, 90, 60).reshape(30, 2, 45, 2, 3).mean(axis=(1, 3))
    assert np.abs(clip.frames[0].transpose(1, 2, 0) - means).max() <= 1
    assert sample_clip(path, "a", Sampling(frames=4, shortest_side=40)).frames.shape == (4, 3, 40, 60)
    assert sample_clip(path, "a", Sampling(frames=4, longest_side=500)).frames.shape == (4, 3, 60, 90)


def test_reduced_yuv_is_the_mean_over_the_area_of_each_plane() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    frame = VideoFrame.from_ndarray(noise, "rgb24").reformat(format="yuv420p")
    planes = frame.to_ndarray().astype(np.float64).ravel()
    luma, chroma = planes[: 160 * 96].reshape(96, 160), planes[160 * 96 :].reshape(2, 48, 80)
    y = (luma.reshape(24, 4, 40, 4).mean(axis=(1, 3)) - 16) * 255 / 219
    u, v = (chroma.reshape(2, 24, 2, 40, 2).mean(axis=(2, 4)) - 128) * 255 / 224
    # BT.601 (ITU-R BT.601-7, 2.5.1), with its luma weights 0.299, 0.587, 0.114.
    expected = np.stack([y + 1.402 * v, y - (0.299 * 1.402 * v + 0.114 * 1.772 * u) / 0.587, y + 1.772 * u])
    printer = decoding._Printer(1, Sampling(frames=1, most_pixels=40 * 24))
    printer.take(frame)
    assert printer.pictures.shape == (1, 3, 24, 40)
    assert np.abs(printer.pictures[0] - np.clip(expected, 0, 255)).max() < 1


@pytest.mark.parametrize("pix_fmt", ["rgb565le", "rgb24", "bgr0", "gbrp10le"])
def test_white_stays_white_in_every_kind_of_rgb(pix_fmt: str) -> None:
    frame = VideoFrame.from_ndarray(np.full((48, 72, 3), 255, np.uint8), "rgb24").reformat(format=pix_fmt)
    printer = decoding._Printer(1, Sampling(frames=1, longest_side=36))
    printer.take(frame)
    assert printer.pictures.shape == (1, 3, 24, 36)
    assert (printer.pictures == 255).all()


@pytest.mark.parametrize(("matrix", "space"), [("BT.601", 5), ("BT.709", 1)])
@pytest.mark.parametrize("colour_range", [1, 2])
def test_colours_follow_the_matrix_and_range_of_the_file(
    tmp_path: Path, matrix: str, space: int, colour_range: int
) -> None:
    colour = (200, 40, 90)
    pictures = [np.full((48, 64, 3), colour, np.uint8)] * 3
    path = write_video(
        tmp_path / "a.mkv", range(3), pictures=pictures, size=(64, 48), colours=(space, colour_range), codec="ffv1"
    )
    clip = sample_clip(path, "a", Sampling(frames=1))
    assert np.abs(clip.frames[0].mean(axis=(1, 2)) - colour).max() < 3, matrix


# The matrix of an MP4 track header maps stored to shown points: x' = a x + c y, y' = b x + d y, y downwards
# (ISO/IEC 14496-12, 8.3.2). A phone held upright writes a=0 b=1 c=-1 d=0: the picture turns clockwise.
@pytest.mark.parametrize(
    ("matrix", "rotation", "shown"),
    [
        ((0, 1, -1, 0), 270, [10, 250, 170, 90]),
        ((0, -1, 1, 0), 90, [170, 90, 10, 250]),
        ((-1, 0, 0, -1), 180, [90, 10, 250, 170]),
    ],
)
def test_rotated_pictures_come_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], rotation: int, shown: list[int]
) -> None:
    path = write_video(tmp_path / "a.mp4", range(3), pictures=[corners((64, 48))] * 3, size=(64, 48))
    identity = b"".join(int(v).to_bytes(4, "big") for v in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    a, b, c, d = (v << 16 for v in matrix)
    turned = b"".join((v & 0xFFFFFFFF).to_bytes(4, "big") for v in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    content = path.read_bytes()
    track_header = content.index(b"tkhd")
    at = content.index(identity, track_header)
    path.write_bytes(content[:at] + turned + content[at + 36 :])
    clip = sample_clip(path, "a", Sampling(frames=1, longest_side=32))
    assert clockwise_corners(clip) == pytest.approx(shown, abs=8)
    size = (64, 48) if rotation == 180 else (48, 64)
    assert clip.frames.shape[2:] == (size[1] // 2, size[0] // 2)
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (*size, rotation)


def test_probe(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "a.mp4", codec="libx264", size=(72, 48), sound=True))
    assert (info.width, info.height, info.codec, info.pix_fmt, info.rotation) == (72, 48, "h264", "yuv420p", 0)
    assert (info.fps, info.duration, info.frames) == (pytest.approx(30), pytest.approx(2), 60)


def test_sound_that_outlasts_the_picture_is_no_truncation(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv"):
        path = write_video(tmp_path / name, range(30), sound=True)
        assert numbers(sample_clip(path, "a", Sampling(frames=2))) == [7, 22]


def test_recording_that_starts_between_keyframes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", range(100), gop=20, sc_threshold="0")
    with av.open(str(path)) as recording:
        positions = [packet.pos for packet in recording.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[positions[13] // 188 * 188 :])
    clip = sample_clip(path, "a", Sampling(frames=4))
    assert numbers(clip) == [30, 50, 70, 90]
    assert clip.timestamps == pytest.approx(np.array([10, 30, 50, 70]) / 30)


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that give no frames, each with a piece of the reason."""
    folder.mkdir(exist_ok=True)

    def holding(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 72, 3), dtype=np.uint8) for _ in range(60)]
    whole = write_video(folder / "whole.mp4", pictures=noise, container={"movflags": "faststart"}).read_bytes()
    late_index = write_video(folder / "late.mp4", pictures=noise).read_bytes()
    webm = write_video(folder / "whole.webm", pictures=noise, codec="libvpx-vp9").read_bytes()
    still = bytes(cv2.imencode(".png", numbered(3, 72, 48))[1])
    with av.open(str(folder / "sound.mp4"), "w") as out:
        audio = out.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.rate = 8000
        out.mux(audio.encode(silence))
        out.mux(audio.encode())
    (folder / "folder.mp4").mkdir(exist_ok=True)
    return {
        "missing": (folder / "nowhere.mp4", "file not found"),
        "folder": (folder / "folder.mp4", "a folder"),
        "empty": (holding("empty.mp4", b""), "empty file (0 bytes)"),
        "text": (holding("text.mp4", b"The video will follow.\n" * 200), "not a video"),
        "page": (holding("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>"), "not a video"),
        "random": (holding("random.mp4", rng.bytes(50_000)), "not a video"),
        "picture": (holding("picture.mp4", still), "a still picture (png)"),
        "sound": (folder / "sound.mp4", "no video stream (audio only)"),
        "no index": (holding("no_index.mp4", late_index[: len(late_index) // 2]), "truncated"),
        "cut": (holding("cut.mp4", whole[: len(whole) // 2]), "truncated"),
        "header": (holding("header.mp4", whole[:40]), "truncated"),
        "cut webm": (holding("cut.webm", webm[: len(webm) // 2]), "truncated"),
        "zeros": (holding("zeros.mp4", whole[: len(whole) // 2] + bytes(len(whole) // 2)), "damaged"),
    }


def test_bad_files_among_good_ones(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = write_video(tmp_path / "good.mp4")
    bad = bad_files(tmp_path / "bad")
    videos = [Video("first", good), *(Video(id, path) for id, (path, _) in bad.items())]
    videos += [Video("pathless", None), Video("last", good)]
    capfd.readouterr()
    found = list(decode_all(videos, Sampling(frames=4), workers=2))
    assert [video for video, _ in found] == videos
    results = {video.id: result for video, result in found}
    for id in ("first", "last"):
        assert numbers(results.pop(id)) == FOUR
    pathless = results.pop("pathless")
    assert str(pathless) == "pathless: the manifest gives no path"
    for id, result in results.items():
        path, reason = bad[id]
        assert isinstance(result, Undecodable), id
        assert reason in result.reason, (id, result.reason)
        assert str(result) == f"{path}: {result.reason}"
    here = [str(result) for _, result in decode_all(videos[1:-1], Sampling(frames=4))]
    assert here == [str(result) for _, result in found[1:-1]]
    assert capfd.readouterr().err == ""


def test_probe_of_bad_files_names_them(tmp_path: Path) -> None:
    for id, (path, _) in bad_files(tmp_path).items():
        if id not in ("cut", "cut webm", "zeros"):  # their headers are whole
            with pytest.raises(Undecodable) as caught:
                probe(path)
            assert str(path) in str(caught.value)


def test_a_few_missing_packets_are_no_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", range(200), gop=10, container={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert numbers(sample_clip(path, "a", Sampling(frames=4))) == [25, 75, 125, 175]

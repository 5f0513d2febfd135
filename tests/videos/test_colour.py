"""Pictures as they are to be shown: over black, of square pixels, tone-mapped, deinterlaced."""

import platform
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from mdsvqa.videos import decoding
from mdsvqa.videos.about import about_file, squared_size
from mdsvqa.videos.colour import picture_channels
from mdsvqa.videos.decoding import Sampling, decode_video, probe, sample_clip
from mdsvqa.videos.deinterlacing import deinterlaced
from mdsvqa.videos.tone_mapping import hlg_to_light, light_to_pq, pq_to_light, roll_off, tone_mapped
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import View
from videos.films import deep_frame, film, flat, hdr_film

PQ, HLG = 16, 18
TONEMAP = View(hdr="tonemap")
REFERENCE = View(chroma="reference")
BWDIF = View(deinterlace="bwdif")


@pytest.mark.parametrize("space", [1, 5])
@pytest.mark.parametrize("width", [64, 100, 353, 360, 854])
def test_colours_may_be_those_that_other_readers_of_video_give(tmp_path: Path, width: int, space: int) -> None:
    """PyAV's own conversion, that of torchvision's reader; decord's is the same of FFmpeg's."""
    picture = np.random.default_rng(width).integers(0, 256, (48, width, 3), np.uint8)
    path = film(tmp_path / "a.mkv", [picture] * 2, pix_fmt="yuv420p", colorspace=str(space))
    with av.open(str(path)) as container:
        wanted = next(container.decode(video=0)).to_ndarray(format="rgb24").transpose(2, 0, 1)
    found, full = (sample_clip(path, "a", Sampling(frames=2, view=view)).frames[0] for view in (REFERENCE, View()))
    assert np.abs(found.astype(int) - wanted).max() <= (0 if platform.machine() == "x86_64" else 2)
    assert np.abs(full.astype(int) - wanted).mean() > 5


def see_through(path: Path, codec: str, pix_fmt: str, **options: str) -> Path:
    """White on the left, opaque; red on the right, one quarter opaque above and transparent below."""
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[:, :32] = 255
    picture[:24, 32:], picture[24:, 32:] = (255, 0, 0, 64), (255, 0, 0, 0)
    return film(path, [picture] * 3, codec=codec, pix_fmt=pix_fmt, format="rgba", **options)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mkv", "ffv1", "bgra", {}),
        ("a.mkv", "ffv1", "yuva444p", {}),
        ("a.mov", "qtrle", "argb", {}),
        ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("a.apng", "apng", "rgba", {}),
        # FFmpeg's own decoder of VP9 does not see what is transparent.
        ("a.webm", "libvpx-vp9", "yuva420p", {"crf": "10"}),
    ],
)
def test_what_is_transparent_is_black(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    path = see_through(tmp_path / name, codec, pix_fmt, **options)
    for size in (None, 32):
        frame = sample_clip(path, "a", Sampling(frames=2, longest_side=size)).frames[1].astype(int)
        _, height, width = frame.shape
        places = [(height // 4, width // 8), (height // 8, width * 7 // 8), (height * 7 // 8, width * 7 // 8)]
        found = np.array([frame[:, y, x] for y, x in places])
        # 255 x 64 / 255 = 64.
        np.testing.assert_allclose(found, [[255] * 3, [64, 0, 0], [0, 0, 0]], atol=6)


def test_the_fourth_byte_of_an_uncompressed_avi_is_no_transparency(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[..., :3] = (10, 90, 200)
    path = film(tmp_path / "a.avi", [picture] * 3, codec="rawvideo", pix_fmt="bgra", format="bgra")
    assert sample_clip(path, "a", Sampling(frames=1)).frames[0, :, 5, 5].tolist() == [200, 90, 10]


def test_a_transparent_gif_is_black_where_nothing_is_painted(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[:, :32] = (200, 100, 50, 255)
    frames = [Image.fromarray(picture), Image.fromarray(picture[:, ::-1].copy())]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    first, second = sample_clip(tmp_path / "a.gif", "a", Sampling(rate=10)).frames
    assert first[:, 24, 16].tolist() == second[:, 24, 48].tolist() == [200, 100, 50]
    assert not first[:, 24, 48].any()
    assert not second[:, 24, 16].any()


@pytest.mark.parametrize(
    ("name", "codec", "size", "sar", "shown"),
    [
        ("a.mp4", "libx264", (72, 58), Fraction(16, 15), (77, 58)),
        ("a.mkv", "libx264", (72, 58), Fraction(64, 45), (102, 58)),
        ("a.ts", "mpeg2video", (72, 48), Fraction(32, 27), (85, 48)),
        ("a.avi", "mpeg4", (72, 48), Fraction(8, 9), (64, 48)),
        ("a.mp4", "libx264", (72, 48), None, (72, 48)),
        ("a.mp4", "libx264", (72, 48), Fraction(1, 1), (72, 48)),
    ],
)
def test_models_see_square_pixels_and_artefact_features_stored_ones(
    tmp_path: Path, name: str, codec: str, size: tuple[int, int], sar: Fraction | None, shown: tuple[int, int]
) -> None:
    path = film(tmp_path / name, [flat(90, size)] * 4, codec=codec, pix_fmt="yuv420p", sar=sar)
    assert sample_clip(path, "a", Sampling(frames=2)).frames.shape == (2, 3, shown[1], shown[0])
    stored = sample_clip(path, "a", Sampling(frames=2, sar="stored"))
    assert stored.frames.shape == (2, 3, size[1], size[0])
    about = stored.about
    assert about.sar == (None if sar is None else f"{sar.numerator}:{sar.denominator}")
    assert (about.interlaced, about.rotation) == (False, 0)
    assert probe(path).about.sar == about.sar
    # The limit of size holds for what is shown.
    small = sample_clip(path, "a", Sampling(frames=1, longest_side=36)).frames
    assert max(small.shape[2:]) == 36


def test_a_wide_picture_keeps_its_middle_in_its_middle(tmp_path: Path) -> None:
    picture = flat(0, (64, 48))
    picture[:, 32:] = 255
    path = film(tmp_path / "a.mkv", [picture] * 2, codec="libx264", sar=Fraction(3, 2), crf="1")
    frame = sample_clip(path, "a", Sampling(frames=1)).frames[0]
    assert frame.shape == (3, 48, 96)
    assert frame[:, :, :46].max() < 10
    assert frame[:, :, 50:].min() > 245


def test_a_turned_picture_is_squared_before_it_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)
        for _ in range(3):
            out.mux(stream.encode(VideoFrame.from_ndarray(flat(9), "rgb24")))
        out.mux(stream.encode())
    clip = sample_clip(path, "a", Sampling(frames=1))
    # 64 x 4/3 = 85 wide as it lies, so as high when it stands.
    assert clip.frames.shape == (1, 3, 85, 48)
    assert clip.about.rotation in (90, 270)


def test_pixels_of_a_nonsense_shape_stay() -> None:
    assert squared_size(100, 100, Fraction(5, 1)) == (100, 100)
    assert squared_size(100, 100, Fraction(1, 5)) == (100, 100)
    assert squared_size(1440, 1080, Fraction(4, 3)) == (1920, 1080)


def test_pq_and_hlg_are_those_of_the_recommendations() -> None:
    # ITU-R BT.2408, table 1: code values of light in cd/m2 under PQ, and of HLG on a display of 1000 cd/m2.
    light = pq_to_light(np.array([0.0, 0.58, 0.75, 1.0], np.float32))
    np.testing.assert_allclose(light, [0, 203, 1000, 10_000], rtol=0.02)
    np.testing.assert_allclose(light_to_pq(light), [0, 0.58, 0.75, 1.0], atol=1e-5)
    hlg = hlg_to_light(np.float32([[0.0, 0.38, 0.75, 1.0]] * 3))
    np.testing.assert_allclose(hlg, [[0, 26, 203, 1000]] * 3, rtol=0.03, atol=1e-3)


def test_the_roll_off_leaves_what_is_dark_and_ends_at_white() -> None:
    signal = np.linspace(0, 1, 2001, dtype=np.float32)
    brightest, white = light_to_pq(np.float32([1000, 203]))
    mapped = roll_off(signal, float(brightest), float(white))
    knee = (1.5 * white / brightest - 0.5) * brightest
    np.testing.assert_allclose(mapped[signal < knee], signal[signal < knee], rtol=1e-6)
    assert (np.diff(mapped) >= -1e-6).all()
    assert mapped[-1] == pytest.approx(float(white), abs=1e-6)
    # No kink at the knee: the slope there is 1.
    slopes = np.diff(mapped) / np.diff(signal)
    assert abs(np.diff(slopes)).max() < 0.1


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tone_mapping_of_greys(transfer: int) -> None:
    # 64 to 940 is the narrow range of 10 bits.
    luma = np.tile(np.arange(64, 940, dtype=np.uint16), (16, 1))
    frame = deep_frame(luma, transfer)
    red, green, blue = picture_channels(VideoReformatter(), frame, 876, 16, TONEMAP)
    np.testing.assert_allclose(red.astype(int), green, atol=1)
    np.testing.assert_allclose(red.astype(int), blue, atol=1)
    grey = green[8].astype(float)
    assert (np.diff(grey) >= 0).all()
    assert (grey[0], grey[-1]) == (0, 255 if transfer == PQ else pytest.approx(254, abs=1))
    # Light below the knee (some 88 cd/m2) is that of the display: of 20.3 cd/m2, a tenth of the reference white.
    signal = np.arange(876) / 876
    lights = np.asarray(
        pq_to_light(signal.astype(np.float32)) if transfer == PQ else hlg_to_light(np.float32([signal] * 3))[0]
    )
    tenth = int(np.argmin(abs(lights - 20.3)))
    assert grey[tenth] == pytest.approx(255 * 0.1 ** (1 / 2.4), abs=1.5)
    # Reference white keeps room above it for highlights: nine tenths of the signal.
    assert 225 <= grey[int(np.argmin(abs(lights - 203)))] <= 235


def test_tone_mapping_of_a_saturated_colour_keeps_its_hue() -> None:
    red = np.float32([0.5, 0.25, 0.25]).reshape(3, 1, 1)
    mapped = tone_mapped(red, "PQ", wide=False).reshape(3).astype(float)
    assert mapped[0] > mapped[1] == mapped[2]
    # Below the knee: light over the reference white, by gamma 2.4.
    light = pq_to_light(red).reshape(3)
    np.testing.assert_allclose(mapped, 255 * (light / 203) ** (1 / 2.4), atol=1)


def test_hdr_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = hdr_film(tmp_path / "a.mkv", np.full((48, 64), 573, np.uint16), PQ)
    kept, mapped = (sample_clip(path, "a", Sampling(frames=1, view=view)) for view in (View(), TONEMAP))
    # (573 - 64) / 876 = 0.581: 203 cd/m2, code value 148 of 255.
    assert kept.frames.mean() == pytest.approx(0.581 * 255, abs=1.5)
    assert mapped.frames.mean() == pytest.approx(230, abs=3)
    assert kept.about == mapped.about
    assert (kept.about.transfer, kept.about.primaries, kept.about.range) == ("smpte2084", "bt2020", "tv")
    assert kept.about.hdr == "PQ"
    sdr = film(tmp_path / "b.mkv", [flat(100)] * 2)
    plain, asked = (sample_clip(sdr, "b", Sampling(frames=1, view=view)).frames for view in (View(), TONEMAP))
    np.testing.assert_array_equal(plain, asked)


def interlaced_film(path: Path, frames: int = 12) -> Path:
    """A bar that moves between the two fields of each frame."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"flags": "+ildct+ilme", "x264opts": "tff=1", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(frames):
            picture = np.full((64, 96, 3), 40, np.uint8)
            for field in (0, 1):
                left = 4 * (2 * number + field) % 80
                picture[field::2, left : left + 16] = 220
            out.mux(stream.encode(VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    return path


def combing(picture: np.ndarray) -> float:
    """Mean step from line to line against that over two lines."""
    luma = picture.astype(float).mean(axis=0)
    return float(abs(np.diff(luma, axis=0)).mean() - abs(luma[2:] - luma[:-2]).mean())


def test_interlaced_frames_are_noted_and_deinterlaced_on_request(tmp_path: Path) -> None:
    path = interlaced_film(tmp_path / "a.mp4")
    every = Sampling(rate=10)
    as_stored = sample_clip(path, "a", every)
    whole = sample_clip(path, "a", Sampling(rate=10, view=BWDIF))
    assert as_stored.about.interlaced
    assert whole.about.interlaced
    assert probe(path).about.interlaced
    np.testing.assert_array_equal(as_stored.timestamps, whole.timestamps)
    assert as_stored.frames.shape == whole.frames.shape
    assert combing(as_stored.frames[5]) > 5
    assert combing(whole.frames[5]) < 1
    # Some frames of a clip are those of all of it: what stands around them is decoded too.
    some = sample_clip(path, "a", Sampling(frames=4, view=BWDIF))
    places = [round(time * 10) for time in some.timestamps]
    np.testing.assert_array_equal(some.frames, whole.frames[places])


def test_what_is_not_interlaced_is_reached_by_seeking_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, int]] = []
    decode = decoding._decode_runs

    def spy(path: Path, packets: Any, runs: Any, sampling: Sampling, threads: int, sparing: bool) -> Any:
        asked.append((sparing, len(runs)))
        return decode(path, packets, runs, sampling, threads, sparing)

    monkeypatch.setattr(decoding, "_decode_runs", spy)
    plain = film(tmp_path / "b.mp4", [flat(2 * n, (96, 64)) for n in range(120)], codec="libx264", pix_fmt="yuv420p")
    some = Sampling(frames=2)
    stored = sample_clip(plain, "b", some)
    np.testing.assert_array_equal(sample_clip(plain, "b", replace(some, view=BWDIF)).frames, stored.frames)
    assert asked[0] == asked[1]
    assert len(asked) == 2
    # Both ways end in all frames of what is interlaced.
    asked.clear()
    sample_clip(interlaced_film(tmp_path / "a.mp4"), "a", replace(some, view=BWDIF))
    assert asked[-1] == (False, 1)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg to compare with")
def test_deinterlacing_is_that_of_ffmpeg(tmp_path: Path) -> None:
    path = interlaced_film(tmp_path / "a.mp4")
    filters = "bwdif=mode=send_frame:deint=interlaced"
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-vf", filters, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
        capture_output=True,
        check=True,
    ).stdout
    wanted = np.frombuffer(raw, np.uint8).reshape(12, -1)[:, : 96 * 64].reshape(12, 64, 96)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = list(deinterlaced(container.decode(stream), stream.time_base))
    lumas = [np.frombuffer(memoryview(f.planes[0]), np.uint8).reshape(64, -1)[:, :96] for f in found]
    # The first has no frame before it, for which versions of FFmpeg do different things.
    np.testing.assert_array_equal(np.stack(lumas)[1:], wanted[1:])


def test_frames_before_the_first_interlaced_one_are_what_it_is_guessed_from(tmp_path: Path) -> None:
    frames: list[VideoFrame] = []
    plain = film(tmp_path / "b.mp4", [flat(60 * n, (96, 64)) for n in range(3)], codec="libx264", pix_fmt="yuv420p")
    for path in (plain, interlaced_film(tmp_path / "a.mp4", 6)):
        with av.open(str(path)) as container:
            frames += container.decode(video=0)
    tick = Fraction(1, 10)
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base = number, tick
    assert [frame.interlaced_frame for frame in frames] == [False] * 3 + [True] * 6
    # All of them through the filter.
    graph = av.filter.Graph()
    source = graph.add_buffer(width=96, height=64, format=frames[0].format, time_base=tick)
    filter_, sink = graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    source.link_to(filter_)
    filter_.link_to(sink)
    graph.configure()
    wanted = []
    for frame in [*frames, None]:
        source.push(frame)
        while True:
            try:
                wanted.append(sink.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    found = list(deinterlaced(frames, tick))
    assert [frame.pts for frame in found] == list(range(9))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.to_ndarray(), other.to_ndarray())
    np.testing.assert_array_equal(found[1].to_ndarray(), frames[1].to_ndarray())


def test_progressive_frames_pass_the_filter_as_they_are(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [flat(20 * n) for n in range(8)])
    plain, filtered = (sample_clip(path, "a", Sampling(rate=10, view=view)) for view in (View(), BWDIF))
    np.testing.assert_array_equal(plain.frames, filtered.frames)
    np.testing.assert_array_equal(plain.timestamps, filtered.timestamps)
    assert not filtered.about.interlaced


def test_a_decoded_video_knows_its_file(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [flat(20)] * 2)
    clip = decode_video(Video("a", path), Sampling(frames=1))
    state = path.stat()
    assert not isinstance(clip, Exception)
    assert (clip.about.size, clip.about.mtime) == (state.st_size, state.st_mtime_ns)
    assert about_file(tmp_path / "none").mtime is None

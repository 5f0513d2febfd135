"""Files that are whole and decodable, but not as a camera would write them; and files that were cut off."""

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from containers import Coded, Track, coded, display_matrix, edit_list, replace_boxes, write_matroska
from mdsvqa.videos import decoding
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.cropping import Cropper, Part
from mdsvqa.videos.decoding import Sampling, Undecodable, probe, sample_clip
from mdsvqa.videos.orientation import nearest_orientation
from numbered_videos import clockwise_corners, corners, numbered, numbers, write_video
from places import DATA

ALL = Sampling(rate=1000)
# Of a frame in an MP4 file that FFmpeg writes at 30 frames a second.
TICKS = 512
MILLISECONDS = [round(1000 * number / 30) for number in range(120)]


def both_ways(path: Path, sampling: Sampling = ALL) -> Clip:
    """The clip, after a look that sparing packets changes nothing."""
    clip = sample_clip(path, "a", sampling)
    plain = sample_clip(path, "a", sampling, spare=False)
    assert np.array_equal(clip.frames, plain.frames)
    assert np.array_equal(clip.timestamps, plain.timestamps)
    return clip


# Edit lists: length in ms, start in ticks, rate. FFmpeg's muxer starts at two frames, by which B-frames shift times.
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize(
    ("edits", "shown"),
    [
        ([(3000, 32 * TICKS, 1)], [*range(30, 120)]),
        ([(100, 47 * TICKS, 1)], [45, 46, 47]),
        ([(1500, -1, 1), (2000, 22 * TICKS, 1)], [*range(20, 80)]),
        ([(9000, 102 * TICKS, 1)], [*range(100, 120)]),
    ],
)
def test_edit_lists_show_what_they_say(
    tmp_path: Path, codec: str, edits: list[tuple[int, int, float]], shown: list[int]
) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(120), codec=codec, gop=60, bf="2")
    path = tmp_path / "a.mp4"
    shift = 0 if codec == "libx264" else -TICKS
    told = [(length, start if start < 0 else start + shift, rate) for length, start, rate in edits]
    path.write_bytes(replace_boxes(whole.read_bytes(), {b"elst": edit_list(*told)}))
    clip = both_ways(path)
    assert numbers(clip) == shown
    assert clip.timestamps == pytest.approx(np.arange(len(shown)) / 30)
    assert clip.duration == pytest.approx(len(shown) / 30)
    assert clip.note is None
    assert numbers(both_ways(path, Sampling(frames=1))) == [shown[len(shown) // 2]]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize(("first", "second"), [(30, 90), (90, 10), (30, 30)])
def test_edit_lists_of_several_parts(tmp_path: Path, codec: str, first: int, second: int) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(120), codec=codec, gop=60, bf="2")
    path = tmp_path / "a.mp4"
    shift = 2 if codec == "libx264" else 1
    edits = edit_list((1000, (first + shift) * TICKS, 1), (500, (second + shift) * TICKS, 1))
    path.write_bytes(replace_boxes(whole.read_bytes(), {b"elst": edits}))
    clip = both_ways(path)
    expected = [*range(first, first + 30), *range(second, second + 15)]
    found = numbers(clip)
    # FFmpeg's demuxer lets the second part begin a frame or two before the first one ends.
    lost = 45 - len(found)
    assert lost <= 2
    assert found == expected[:30] + expected[30 + lost :]
    assert clip.duration == pytest.approx(45 / 30, abs=2.5 / 30)


def test_an_edit_list_that_shows_nothing_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    path = tmp_path / "a.mp4"
    path.write_bytes(replace_boxes(whole.read_bytes(), {b"elst": edit_list((1000, 500 * TICKS, 1))}))
    with pytest.raises(Undecodable, match="edit list"):
        sample_clip(path, "a", ALL)


BAD_STAMPS: dict[str, Callable[[int], int]] = {
    "twice": lambda number: 59 if number == 60 else number,
    "back": lambda number: 20 if number == 60 else number,
    "far ahead": lambda number: 110 if number == 60 else number,
    "an hour ahead": lambda number: 108_060 if number == 60 else number,
}


@pytest.mark.parametrize("bad", BAD_STAMPS)
@pytest.mark.parametrize(("codec", "options"), [("libx264", {}), ("libx264", {"bf": "0"}), ("libvpx-vp9", {})])
def test_a_bad_time_stamp_costs_one_frame(tmp_path: Path, codec: str, options: dict[str, str], bad: str) -> None:
    track = coded(write_video(tmp_path / "whole.mkv", range(120), codec=codec, gop=60, **options))
    stamps = [round(1000 * BAD_STAMPS[bad](number) / 30) for number in range(120)]
    clip = both_ways(write_matroska(tmp_path / "a.mkv", track, stamps))
    assert numbers(clip) == [number for number in range(120) if number != 60]
    assert clip.timestamps[[0, 59, 60, -1]] == pytest.approx([0, 59 / 30, 61 / 30, 119 / 30], abs=1e-3)
    assert clip.duration == pytest.approx(4.0, abs=0.05)
    assert clip.note == "1 of 120 frames left out: their time stamps are damaged"
    few = both_ways(tmp_path / "a.mkv", Sampling(frames=4))
    assert numbers(few) == [15, 45, 75, 105]


def test_a_variable_rate_survives_a_bad_time_stamp(tmp_path: Path) -> None:
    track = coded(write_video(tmp_path / "whole.mkv", range(120), gop=12, bf="0"))
    starts = [1000 * k for k in range(20)] + [20_000 + 20 * k for k in range(100)]
    good = both_ways(write_matroska(tmp_path / "good.mkv", track, starts), Sampling(frames=16))
    starts[60] = starts[59]
    clip = both_ways(write_matroska(tmp_path / "bad.mkv", track, starts), Sampling(frames=16))
    assert numbers(clip) == numbers(good)
    # The centres of 16 parts of 22 s: 0.6875, 2.0625, ..., 21.3125 s, of which two fall behind 20 s.
    assert numbers(good)[:3] == [0, 2, 3]
    assert len(good.frames) == 16
    assert clip.duration == pytest.approx(22.0, abs=0.05)
    assert clip.timestamps == pytest.approx(good.timestamps)


def test_time_stamps_that_jump_leave_no_gap(tmp_path: Path) -> None:
    track = coded(write_video(tmp_path / "whole.mkv", range(120), gop=12))
    for name, later in (("ahead", 3_600_000), ("back", -1500)):
        stamps = [time + (later if number >= 60 else 0) for number, time in enumerate(MILLISECONDS)]
        clip = both_ways(write_matroska(tmp_path / f"{name}.mkv", track, stamps), Sampling(frames=16))
        assert len(clip.frames) == 16
        assert numbers(clip) == [int((part + 0.5) * 120 / 16) for part in range(16)]
        assert clip.note == "the time stamps jump 1 times: the gaps are closed"


def test_frames_are_never_counted_at_a_rate_that_is_a_unit_of_time(tmp_path: Path) -> None:
    track = coded(write_video(tmp_path / "whole.mkv", range(120), codec="libvpx-vp9"))
    clip = both_ways(write_matroska(tmp_path / "a.mkv", track, [7] * 120))
    assert numbers(clip) == list(range(120))
    assert clip.note == "no order in the time stamps: frames are counted"
    assert clip.fps == pytest.approx(25.0)


def test_few_frames_out_of_many_are_noted(tmp_path: Path) -> None:
    # 119 frames in 4 s, and then a picture that stays for half a minute.
    pts = [*range(119), 119 + 900]
    path = write_video(tmp_path / "a.mp4", pts)
    clip = both_ways(path, Sampling(frames=16))
    assert len(clip.frames) < 8
    assert clip.note == f"{len(clip.frames)} of 16 frames: few of the file's 120 are shown at those times"
    assert both_ways(path, Sampling(frames=2)).note is None


def shown_corners(a: float, b: float, c: float, d: float) -> list[int]:
    """Where the grey levels of the four corners are to be seen, by moving each by the matrix."""
    grey = {(-1, -1): 250, (1, -1): 170, (1, 1): 90, (-1, 1): 10}
    moved = {}
    for (x, y), level in grey.items():
        shown_x, shown_y = a * x + c * y, b * x + d * y
        moved[int(np.sign(shown_x)), int(np.sign(shown_y))] = level
    return [moved[corner] for corner in grey]


MATRICES = [(a, 0, 0, d) for a, d in product((1, -1), repeat=2)] + [(0, b, c, 0) for b, c in product((1, -1), repeat=2)]


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_turn_and_mirror_image_comes_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    size = (64, 48)
    whole = write_video(tmp_path / "whole.mp4", range(30), pictures=[corners(size)] * 30, size=size)
    path = tmp_path / "a.mp4"
    path.write_bytes(replace_boxes(whole.read_bytes(), {b"tkhd": display_matrix(*matrix)}))
    sideways = matrix[0] == 0
    for sampling in (Sampling(frames=1), Sampling(frames=1, longest_side=32), Sampling(frames=1, window=32)):
        clip = both_ways(path, sampling)
        assert clockwise_corners(clip) == pytest.approx(shown_corners(*matrix), abs=8), sampling
    assert both_ways(path).frames.shape == (30, 3, *((64, 48) if sideways else (48, 64)))
    info = probe(path)
    assert (info.width, info.height) == ((48, 64) if sideways else (64, 48))
    # A turn keeps the order of the corners on their way round, a mirror image turns it around.
    determinant = matrix[0] * matrix[3] - matrix[1] * matrix[2]
    assert info.mirrored == (determinant < 0)


def test_matrices_that_are_no_turns_give_the_nearest_or_none() -> None:
    for degrees, scale, mirrored in product(range(0, 360, 10), (0.5, 1, 2), (False, True)):
        if degrees % 90 == 45:
            continue
        turn = np.deg2rad(degrees)
        # y downwards: counterclockwise by `degrees`.
        matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        a, c, b, d = (matrix @ np.diag([-1 if mirrored else 1, 1])).ravel()
        found = nearest_orientation(a, b, c, d)
        assert (90 * found.turns, found.mirrored) == (round(degrees / 90) % 4 * 90, mirrored)
    assert nearest_orientation(0, 0, 0, 0) == nearest_orientation(1, 0, 0, 1)


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "yuyv422", "rgb24", "gray"]
)
@pytest.mark.parametrize("size", [(640, 480), (638, 478), (641, 479)])
def test_a_frame_that_is_cropped_first_is_the_same(pix_fmt: str, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    frame = VideoFrame.from_ndarray(noise, "rgb24").reformat(format=pix_fmt, dst_colorspace=1)
    whole, cropped = decoding._Printer(1, Sampling(frames=1)), decoding._Printer(1, Sampling(frames=1, window=160))
    whole.take(frame)
    cropped.take(frame)
    top, left = ((side - 160) // 2 // 8 * 8 for side in size[::-1])
    assert np.array_equal(cropped.pictures[0], whole.pictures[0][:, top : top + 160, left : left + 160])


def test_cropping_converts_little() -> None:
    frame = VideoFrame(1280, 1080, "yuv420p")
    cropped, part = Cropper().crop(frame, Part(160, 56, 960, 960))
    assert cropped is frame  # the window is most of it
    assert part == Part(160, 56, 960, 960)
    frame = VideoFrame(7680, 4320, "yuv420p")
    cropped, part = Cropper().crop(frame, Part(3360, 1680, 960, 960))
    assert (cropped.width, cropped.height) == (1008, 1008)
    assert part == Part(16, 16, 960, 960)
    assert VideoReformatter().reformat(cropped, format="gbrp").width == cropped.width


def joined(*tracks: Track) -> Track:
    """Tracks one behind the other; the setup of the first."""
    pictures: list[Coded] = []
    for track in tracks:
        pictures += [Coded(p.data, p.number + len(pictures), p.key) for p in track.pictures]
    return Track(tracks[0].codec, tracks[0].setup, tracks[0].size, pictures)


@pytest.mark.parametrize("codec", ["libvpx-vp9", "mjpeg"])
def test_pictures_that_change_their_size_come_at_the_one_shown_longest(tmp_path: Path, codec: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    small = coded(write_video(tmp_path / "s.mkv", range(40), codec=codec, size=(72, 48), pix_fmt=pix_fmt))
    pictures = [numbered(number, 144, 96) for number in range(40, 120)]
    large = coded(
        write_video(tmp_path / "l.mkv", range(80), pictures=pictures, codec=codec, size=(144, 96), pix_fmt=pix_fmt)
    )
    clip = both_ways(write_matroska(tmp_path / "a.mkv", joined(small, large), MILLISECONDS))
    assert clip.frames.shape == (120, 3, 96, 144)
    assert numbers(clip) == list(range(120))
    assert clip.note == "the picture's size changes on the way: all of it is read at 144x96"
    # As long as it takes, not as many frames: 40 small ones for 10 s, 80 large ones for 2.67 s.
    slow = [250 * number for number in range(40)] + [10_000 + round(1000 * k / 30) for k in range(80)]
    clip = both_ways(write_matroska(tmp_path / "b.mkv", joined(small, large), slow), Sampling(frames=6))
    assert clip.frames.shape[2:] == (48, 72)
    assert numbers(clip) == [int(4 * (part + 0.5) * 12.667 / 6) for part in range(5)] + [88]
    assert "read at 72x48" in str(clip.note)
    assert both_ways(tmp_path / "a.mkv", Sampling(frames=4, longest_side=36)).frames.shape == (4, 3, 24, 36)


@pytest.mark.parametrize(
    ("stated", "size_known"), [(20_000.0, True), (1e12, True), (0.0, True), (None, True), (20_000.0, False)]
)
def test_a_stated_length_is_no_evidence_of_missing_bytes(
    tmp_path: Path, stated: float | None, size_known: bool
) -> None:
    track = coded(write_video(tmp_path / "whole.mkv", range(120)))
    path = write_matroska(tmp_path / "a.mkv", track, MILLISECONDS, duration=stated, size_known=size_known)
    clip = both_ways(path)
    assert numbers(clip) == list(range(120))
    assert clip.duration == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("box", [b"mvhd", b"mdhd"])
@pytest.mark.parametrize("length", [0, 10_000_000, 2**32 - 1])
def test_lengths_in_mp4_headers_are_no_evidence(tmp_path: Path, box: bytes, length: int) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(60))
    path = tmp_path / "a.mp4"

    def changed(inside: bytes) -> bytes:
        return inside[:16] + struct.pack(">I", length) + inside[20:]

    path.write_bytes(replace_boxes(whole.read_bytes(), {box: changed}))
    assert numbers(both_ways(path)) == list(range(60))


def with_sound(path: Path, seconds: int, codec: str, audio: str) -> Path:
    """Two seconds of picture, and sound of some length from the start on."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 72, 48, "yuv420p"
        heard = out.add_stream(audio, rate=44100, layout="mono")
        heard.bit_rate = 64_000
        for second in range(max(2, seconds)):
            for number in range(30 * second, 30 * (second + 1) if second < 2 else 0):
                frame = VideoFrame.from_ndarray(numbered(number, 72, 48), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                out.mux(stream.encode(frame))
            tone = np.random.default_rng(second).integers(-9000, 9000, (1, 44100)).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            sound.rate, sound.pts = 44100, 44100 * second
            resampled = av.AudioResampler(heard.codec_context.format, "mono", 44100).resample(sound)
            for part in resampled:
                out.mux(heard.encode(part))
        out.mux(stream.encode())
        out.mux(heard.encode())
    return path


CONTAINERS = [
    ("mp4", "libx264", "aac"),
    ("mkv", "libx264", "aac"),
    ("wmv", "wmv2", "wmav2"),
    ("flv", "flv1", "aac"),
    ("avi", "mpeg4", "mp2"),
    ("mov", "libx264", "aac"),
]


@pytest.mark.parametrize(("ending", "codec", "audio"), CONTAINERS)
def test_sound_may_last_longer_than_the_picture(tmp_path: Path, ending: str, codec: str, audio: str) -> None:
    path = with_sound(tmp_path / f"a.{ending}", 9, codec, audio)
    clip = both_ways(path)
    assert numbers(clip) == list(range(60))
    assert clip.duration == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("ending", "codec", "audio"), CONTAINERS)
def test_files_that_were_cut_off_say_so(tmp_path: Path, ending: str, codec: str, audio: str) -> None:
    whole = with_sound(tmp_path / f"a.{ending}", 2, codec, audio).read_bytes()
    for name, content in (
        ("half", whole[: len(whole) // 2]),
        ("unfilled", whole[: len(whole) // 2] + bytes(len(whole) // 2)),
    ):
        path = tmp_path / f"{name}.{ending}"
        path.write_bytes(content)
        with pytest.raises(Undecodable, match="truncated"):
            sample_clip(path, "a", Sampling(frames=4))
    junk = tmp_path / f"junk.{ending}"
    junk.write_bytes(whole + b"\0\x12 what came behind" * 9)
    assert numbers(both_ways(junk)) == list(range(60))


def test_recordings_that_start_late_are_whole(tmp_path: Path) -> None:
    for ending, codec in (("ts", "libx264"), ("mkv", "libx264"), ("flv", "flv1"), ("mp4", "libx264")):
        path = write_video(tmp_path / f"a.{ending}", range(150_000, 150_060), codec=codec)
        clip = both_ways(path, Sampling(frames=4))
        assert numbers(clip) == [(k - 150_000) % 512 for k in (150_007, 150_022, 150_037, 150_052)], ending
        assert clip.timestamps == pytest.approx(np.array([7, 22, 37, 52]) / 30, abs=2e-3)


def test_fragments_that_start_late_are_whole(tmp_path: Path) -> None:
    options = {"movflags": "dash+frag_keyframe+empty_moov"}
    content = write_video(tmp_path / "whole.mp4", range(120), gop=30, container=options, sc_threshold="0").read_bytes()
    starts = [at for at in range(len(content)) if content[at : at + 4] in (b"moof", b"sidx")]
    moofs = [at - 4 for at in starts if content[at : at + 4] == b"moof"]
    header = content[: min(starts) - 4]
    path = tmp_path / "a.mp4"
    for first, last in ((1, 2), (2, 4), (3, 4)):
        end = moofs[last] if last < len(moofs) else len(content)
        path.write_bytes(header + content[moofs[first] : end])
        clip = both_ways(path)
        assert numbers(clip)[0] == 30 * first
        assert numbers(clip) == list(range(30 * first, 30 * last))
        assert clip.duration == pytest.approx((last - first) * 1.0)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("flags", [Disposition.default, Disposition.attached_pic, Disposition(0)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_a_picture_track_never_beats_a_film(tmp_path: Path, ending: str, flags: Disposition, pictures: int) -> None:
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w") as out:
        preview = out.add_stream("mjpeg", rate=30)
        preview.width, preview.height, preview.pix_fmt = 320, 192, "yuvj420p"
        preview.disposition = flags
        film = out.add_stream("libx264", rate=30)
        film.width, film.height, film.pix_fmt = 72, 48, "yuv420p"
        film.disposition = Disposition(0)
        for number in range(60):
            for stream, count in ((preview, pictures), (film, 60)):
                if number < count:
                    frame = VideoFrame.from_ndarray(numbered(number, stream.width, stream.height), "rgb24")
                    frame.pts, frame.time_base = number, Fraction(1, 30)
                    out.mux(stream.encode(frame))
        out.mux(preview.encode())
        out.mux(film.encode())
    clip = both_ways(path, Sampling(frames=4))
    assert clip.frames.shape[2:] == (48, 72)
    assert numbers(clip) == [7, 22, 37, 52]
    assert (probe(path).width, probe(path).codec) == (72, "h264")


def test_a_film_without_a_decoder_is_not_replaced_by_its_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as out:
        preview = out.add_stream("mjpeg", rate=30)
        preview.width, preview.height, preview.pix_fmt = 64, 48, "yuvj420p"
        film = out.add_stream("libx264", rate=30)
        film.width, film.height, film.pix_fmt = 72, 48, "yuv420p"
        for number in range(30):
            for stream, count in ((preview, 1), (film, 30)):
                if number < count:
                    frame = VideoFrame.from_ndarray(numbered(number, stream.width, stream.height), "rgb24")
                    frame.pts, frame.time_base = number, Fraction(1, 30)
                    out.mux(stream.encode(frame))
        out.mux(preview.encode())
        out.mux(film.encode())
    content = path.read_bytes()
    assert content.count(b"avc1") == 1
    path.write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(Undecodable, match="no decoder for the codec"):
        sample_clip(path, "a", Sampling(frames=1))


def test_an_index_that_is_cut_anywhere(tmp_path: Path) -> None:
    content = write_video(tmp_path / "whole.mp4", range(120)).read_bytes()
    path = tmp_path / "a.mp4"
    for size in range(content.index(b"moov") + 4, content.index(b"stco") + 12, 5):
        path.write_bytes(content[:size])
        with pytest.raises(Undecodable, match="truncated"):
            sample_clip(path, "a", Sampling(frames=1))


@pytest.mark.parametrize(("gop", "b_frames"), [(30, "3"), (30, "2"), (12, "3"), (12, "0")])
def test_program_streams_state_few_times(tmp_path: Path, gop: int, b_frames: str) -> None:
    # Of those that FFmpeg fills in, three are there twice in the first file.
    path = write_video(tmp_path / "a.mpg", range(120), codec="mpeg2video", gop=gop, bf=b_frames)
    clip = both_ways(path)
    assert numbers(clip) == [*range(120)]
    assert clip.timestamps == pytest.approx(np.arange(120) / 30, abs=2e-3)
    assert clip.duration == pytest.approx(4)
    assert clip.note is None


FAULTS = DATA / "faults" / "videos"


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the files are not there")
@pytest.mark.parametrize(
    ("name", "count", "duration", "size"),
    [
        ("00_good.mp4", 120, 4.0, (96, 160)),
        ("01a_editlist_midgop.mp4", 105, 3.5, (96, 160)),
        ("02_vfr_dup1.mkv", 119, 22.0, (96, 160)),
        ("02_vfr_good.mkv", 120, 22.0, (96, 160)),
        ("04_reschange.ts", 120, 3.96, (96, 160)),
        ("05_audio_longer.wmv", 120, 4.0, (96, 160)),
        ("06_dashseg2.mp4", 60, 2.0, (96, 160)),
        ("08_gap1h.mp4", 119, 3.96, (96, 160)),
    ],
)
def test_files_that_were_read_wrongly_before(name: str, count: int, duration: float, size: tuple[int, int]) -> None:
    clip = both_ways(FAULTS / name)
    assert len(clip.frames) == count
    assert clip.duration == pytest.approx(duration, abs=0.05)
    assert clip.frames.shape[2:] == size

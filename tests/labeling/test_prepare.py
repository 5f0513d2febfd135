"""What browsers play goes out untouched; everything else becomes a copy that they play."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from s3fs import S3FileSystem

from mdsvqa.labeling.material import Material
from mdsvqa.labeling.prepare.browsers import look_at
from mdsvqa.labeling.prepare.copies import write_copy
from mdsvqa.labeling.prepare.run import FOLDER, make_playable, prepare
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Remote
from mdsvqa.runtime.progress import Silent
from mdsvqa.study.labeling import LabelingSettings
from mdsvqa.videos.colour import picture_channels
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import View
from object_store import BUCKET, s3_server
from rating_study import write_file

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return lambda name, *arguments, **named: write_file(tmp_path / name, *arguments, **named)


VFR = [0, 33, 66, 100, 133, 233, 266, 300, 333, 366, 466, 500, 533, 566, 600, 633, 666, 700, 733, 766, 866, 900, 933,
       966, 1000, 1033, 1066, 1100, 1133, 1166]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "made", "against"),
    [
        ("plain.mp4", {}, ()),
        ("vp9.webm", {"codec": "libvpx-vp9", "deadline": "realtime"}, ()),
        ("full.mp4", {"pix_fmt": "yuvj420p"}, ()),
        ("hevc.mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le"}, ("HEVC", "10 bits")),
        ("ten.mp4", {"pix_fmt": "yuv420p10le"}, ("10 bits",)),
        ("chroma.mp4", {"pix_fmt": "yuv422p"}, ("4:2:2",)),
        ("chroma.mkv", {"pix_fmt": "yuv444p"}, ("container .mkv", "4:4:4")),
        ("apple.mov", {}, ("container .mov",)),
        ("turned.mp4", {"rotation": 90}, ("rotated by 90 degrees",)),
        ("fields.mp4", {"x264-params": "interlaced=1"}, ("interlaced",)),
        ("wide.mp4", {"aspect": Fraction(4, 3)}, ("pixels of 4:3",)),
        ("phone.mp4", {"times": VFR}, ("variable frame rate",)),
        ("old.avi", {"codec": "mpeg4"}, ("container .avi", "MPEG-4 Visual")),
    ],
)
def test_what_stands_against_sending_a_file_and_the_copy_of_it(
    write: Write, tmp_path: Path, name: str, made: dict[str, Any], against: tuple[str, ...]
) -> None:
    look = look_at(write(name, **made))
    assert look.against == against
    if not against:
        return
    psnr, frames = write_copy(look, tmp_path / "copy.mp4")
    copy = look_at(tmp_path / "copy.mp4")
    assert copy.against == ()
    assert (copy.width, copy.height) == (look.width & ~1, look.height & ~1)
    assert copy.frames == frames
    assert copy.duration == pytest.approx(look.duration, abs=1.5 / float(copy.rate))
    assert psnr is None or psnr > 40
    assert list(tmp_path.glob("*.part.*")) == []
    with av.open(str(tmp_path / "copy.mp4")) as container:
        stream = container.streams.video[0]
        # High, not High 4:4:4 Predictive, which browsers do not play.
        assert (stream.codec_context.name, stream.profile, stream.pix_fmt) == ("h264", "High", "yuv420p")
        assert stream.codec_context.sample_aspect_ratio in (None, 0, 1)


def test_a_turned_video_comes_upright(write: Write, tmp_path: Path) -> None:
    look = look_at(write("turned.mp4", rotation=90))
    assert (look.width, look.height) == (96, 160)
    write_copy(look, tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    # A quarter turn counterclockwise takes the bright corner from the top left to the bottom left.
    corners = {"top left": shown[:20, :20], "bottom left": shown[-20:, :20], "top right": shown[:20, -20:]}
    means = {name: float(corner.mean()) for name, corner in corners.items()}
    assert max(means, key=lambda name: means[name]) == "bottom left"
    assert means["bottom left"] > 225


def test_psnr_of_a_copy_against_ffmpeg(write: Write, tmp_path: Path) -> None:
    look = look_at(write("apple.mov", crf="10"))
    found, frames = write_copy(look, tmp_path / "copy.mp4", crf=30)
    with av.open(str(look.path)) as ours, av.open(str(tmp_path / "copy.mp4")) as theirs:
        errors = [
            np.square(a.to_ndarray()[:96].astype(float) - b.to_ndarray()[:96]).mean()
            for a, b in zip(ours.decode(video=0), theirs.decode(video=0), strict=True)
        ]
    assert frames == len(errors) == 30
    assert found == pytest.approx(10 * np.log10(255**2 / np.mean(errors)), abs=1e-6)


def test_hdr_and_damaged_files_are_left_out_with_the_reason(write: Write, tmp_path: Path) -> None:
    pq = write("pq.mp4", codec="libx265", pix_fmt="yuv420p10le", **{"x265-params": "transfer=16:log-level=none"})
    cut = write("cut.mp4", movflags="faststart")
    cut.write_bytes(cut.read_bytes()[:400])
    (tmp_path / "text.mp4").write_text("no video")
    found = {
        path.name: make_playable(Video(path.name, path), tmp_path, False) for path in (pq, cut, tmp_path / "text.mp4")
    }
    assert "HDR (PQ)" in str(found["pq.mp4"])
    assert "hdr: tonemap" in str(found["pq.mp4"])
    assert all(isinstance(reason, str) for reason in found.values())
    material = Material(tmp_path, tmp_path / "rating", LabelingSettings(), [Video("cut", cut)])
    with pytest.raises(InputError, match="not one of its videos can be shown"):
        prepare(material, Silent())


def test_a_whole_study_is_prepared_and_found_again(write: Write, tmp_path: Path) -> None:
    videos = [Video(f"v{n}", write(f"v{n}.mp4", crf=str(18 + 3 * n))) for n in range(5)]
    videos.append(Video("apple", write("apple.mov")))
    material = Material(tmp_path, tmp_path / "rating", LabelingSettings(), videos)
    prepared = prepare(material, Silent())
    assert [each.id for each in prepared.of("video")] == ["v0", "v1", "v2", "v3", "v4", "apple"]
    assert [each.treatment for each in prepared.of("video")][:5] == ["untouched"] * 5
    assert sorted(each.expected for each in prepared.of("training")) == [1, 2, 3, 4, 5]
    levels = {each.expected: each for each in prepared.of("training")}
    assert levels[1].bytes < levels[4].bytes
    sizes = [each.bytes for each in prepared.of("video")]
    names = {path.name for path in (tmp_path / "rating" / FOLDER).iterdir()}
    for trap in prepared.of("trap"):
        source = next(each for each in prepared.of("video") if each.content == trap.content)
        assert (trap.frames, trap.width, trap.height) == (source.frames, source.width, source.height)
        assert trap.duration == pytest.approx(source.duration, abs=0.01)
        assert trap.file.suffix == source.file.suffix
        assert min(sizes) <= trap.bytes <= max(sizes)
        assert "trap" not in trap.file.name
        assert trap.file.name in names
    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "rating").rglob("*") if path.is_file()}
    again = prepare(material, Silent())
    assert again.stimuli == prepared.stimuli
    assert {path: path.stat().st_mtime_ns for path in changed} == changed
    # Another file under the same name is another video.
    write("v0.mp4", frames=20)
    assert prepare(material, Silent()).of("video")[0].frames == 20
    assert json.loads((tmp_path / "rating" / "prepared.json").read_text())["made_of"] != prepared.made_of


def with_tone(path: Path, source: Path, codec: str) -> Path:
    """The pictures of a file, with a tone of 440 Hz as long as they last."""
    with av.open(str(source)) as pictures, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(pictures.streams.video[0])
        sound: Any = container.add_stream(codec, rate=48_000)
        for packet in pictures.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
        wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(57_600) / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.rate, frame.pts = 48_000, 0
        for each in [*sound.encode(frame), *sound.encode(None)]:
            container.mux(each)
    return path


def samples_of(path: Path) -> np.ndarray[Any, Any]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


@pytest.mark.parametrize(
    ("name", "codec", "made"),
    [("tone.mp4", "aac", {}), ("tone.webm", "libopus", {"codec": "libvpx-vp9", "deadline": "realtime"})],
)
def test_traps_have_the_sound_of_their_clip(
    write: Write, tmp_path: Path, name: str, codec: str, made: dict[str, Any]
) -> None:
    silent = write(f"silent{Path(name).suffix}", **made)
    source = with_tone(tmp_path / name, silent, codec)
    heard = prepare(
        Material(tmp_path, tmp_path / "heard", LabelingSettings(audio=True), [Video("tone", source)]), Silent()
    )
    (shown,), traps = heard.of("video"), heard.of("trap")
    assert shown.treatment == "untouched"
    assert traps
    for trap in traps:
        np.testing.assert_array_equal(samples_of(trap.file), samples_of(source))
        assert trap.duration == pytest.approx(shown.duration, abs=0.01)
        assert trap.file.suffix == source.suffix
        assert look_at(trap.file, audio=True).against == ()
    quiet = prepare(Material(tmp_path, tmp_path / "quiet", LabelingSettings(), [Video("tone", source)]), Silent())
    with av.open(str(quiet.of("trap")[0].file)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize(
    ("method", "answers", "before"), [("pairs", {1.0, 0.0, 0.5}, "v"), ("dcr", {1.0, 2.0, 3.0, 4.0, 5.0}, "ref")]
)
def test_traps_behind_another_clip_name_an_answer_of_the_method(
    write: Write, tmp_path: Path, method: Any, answers: set[float], before: str
) -> None:
    videos = [Video(f"v{n}", write(f"v{n}.mp4", crf=str(20 + n))) for n in range(6)]
    reference = Video("ref", write("ref.mp4"))
    settings = LabelingSettings(method=method, session_minutes=0.5, trap_every=2)
    material = Material(
        tmp_path, tmp_path / "rating", settings, videos, [reference], {video.id: "ref" for video in videos}
    )
    traps = prepare(material, Silent()).of("trap")
    assert {trap.expected for trap in traps} == answers
    assert all(trap.reference.startswith(before) for trap in traps)


def test_a_video_without_a_reference_is_not_ratable_by_dcr(write: Write, tmp_path: Path) -> None:
    videos = [Video("one", write("one.mp4")), Video("alone", write("alone.mp4"))]
    reference = Video("ref", write("ref.mp4"))
    settings = LabelingSettings(method="dcr", trap_every=0)
    material = Material(tmp_path, tmp_path / "rating", settings, videos, [reference], {"one": "ref"})
    prepared = prepare(material, Silent())
    assert [each.id for each in prepared.of("video")] == ["one"]
    assert prepared.left_out == {"alone": "it has no reference"}


@pytest.mark.parametrize(("kind", "transfer"), [("PQ", 16), ("HLG", 18)])
def test_hdr_is_rated_in_sdr_where_the_study_allows_it_and_that_is_named(
    write: Write, tmp_path: Path, kind: str, transfer: int
) -> None:
    options = f"transfer={transfer}:colorprim=9:colormatrix=9:log-level=none"
    bright = write("bright.mp4", codec="libx265", pix_fmt="yuv420p10le", **{"x265-params": options})
    plain = write("plain.mp4")
    videos = [Video("bright", bright), Video("plain", plain)]
    settings = LabelingSettings(hdr="tonemap", trap_every=0)
    prepared = prepare(Material(tmp_path, tmp_path / "rating", settings, videos), Silent())
    assert prepared.left_out == {}
    assert prepared.tone_mapped() == {"bright": kind}
    shown = prepared.of("video")[0]
    assert shown.treatment.startswith(f"H.264 copy: {kind} tone-mapped to SDR, ")
    copy = look_at(shown.file)
    assert (copy.hdr, copy.against) == ("", ())
    with av.open(str(shown.file)) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.color_trc), int(frame.colorspace), int(frame.color_primaries)) == (1, 1, 1)
    # The same pictures as whoever decodes HDR in this package gets, but for the encoder.
    with av.open(str(bright)) as container:
        first = next(container.decode(video=0))
    wanted = np.stack(
        picture_channels(VideoReformatter(), first, first.width, first.height, View(hdr="tonemap")), -1
    ).astype(float)
    found = frame.to_ndarray(format="rgb24", src_colorspace="ITU709").astype(float)
    assert np.abs(found - wanted).mean() < 4
    kept = np.stack(picture_channels(VideoReformatter(), first, first.width, first.height), -1).astype(float)
    assert np.abs(kept - wanted).mean() > 10
    # Without the setting it is left out again.
    others = prepare(Material(tmp_path, tmp_path / "rating", LabelingSettings(trap_every=0), videos), Silent())
    assert list(others.left_out) == ["bright"]


def test_videos_of_a_store_are_kept_in_the_folder_of_the_study(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(f"v{n}.mp4", crf=str(18 + 3 * n)) for n in range(3)]
    apple = write("apple.mov")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    with s3_server(monkeypatch) as store:
        for path in (*files, apple):
            store.put(path.name, path.read_bytes())
        named = [path.name for path in (*files, apple)]
        videos = [Video(name, Remote(f"s3://{BUCKET}/{name}")) for name in (*named, "none.mp4")]
        material = Material(tmp_path, tmp_path / "rating", LabelingSettings(), videos)
        prepared = prepare(material, Silent())
        shown = {each.id: each for each in prepared.of("video")}
        assert list(shown) == named
        assert prepared.left_out["none.mp4"].startswith("not in the store: ")
        for path in files:
            # As it is, and where the server of the study may send it from for as long as that lasts.
            assert shown[path.name].treatment == "untouched"
            assert shown[path.name].file.parent == tmp_path / "rating" / FOLDER
            assert shown[path.name].file.read_bytes() == path.read_bytes()
        assert shown["apple.mov"].treatment == "H.264 copy: container .mov"
        store.forget()
        assert prepare(material, Silent()).stimuli == prepared.stimuli
        assert store.seen["HEAD"] == len(videos)
        # Another object under the same name is another video.
        store.put("v0.mp4", write("v0.mp4", frames=20).read_bytes())
        assert prepare(material, Silent()).of("video")[0].frames == 20
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        S3FileSystem.clear_instance_cache()
        with pytest.raises(InputError, match="refuses"):
            make_playable(videos[0], tmp_path, False)
    assert list((tmp_path / "spool").rglob("*.mp4")) == []

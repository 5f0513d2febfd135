"""What a folder holds: names of any kind, endings that are read, endings that are passed over."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.stores import StoreError
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, decode_video
from mdsvqa.videos.folder import list_folder, named_file, plain_name, said_of_passed_over
from mdsvqa.videos.labels import write_label_request
from mdsvqa.videos.manifest import ManifestError, find_videos, load_videos, read_manifest, write_manifest
from mdsvqa.videos.video import Video
from videos.films import film, flat

posix_names = pytest.mark.skipif(sys.platform != "linux", reason="names of files are characters here")
# Not UTF-8 (Latin-1, Shift JIS, cut in the middle of a character), controls, ends of lines, and ones that look escaped.
NAMES = {
    b"caf\xe9.mkv": r"caf\xe9.mkv",
    b"\x83e\x83X\x83g.mkv": r"\x83e\x83X\x83g.mkv",
    b"\xff\xfe.mkv": r"\xff\xfe.mkv",
    b"cut\xe2\x82.mkv": r"cut\xe2\x82.mkv",
    b"two\nlines.mkv": r"two\x0alines.mkv",
    b"tab\there.mkv": r"tab\x09here.mkv",
    b"bell\x07\x1b[31m.mkv": r"bell\x07\x1b[31m.mkv",
    b"del\x7f.mkv": r"del\x7f.mkv",
    "c1\x85.mkv".encode(): r"c1\u0085.mkv",
    "line\u2028.mkv".encode(): r"line\u2028.mkv",
    "fine é 日本.mkv".encode(): "fine é 日本.mkv",
}


@pytest.fixture(scope="module")
def a_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return film(tmp_path_factory.mktemp("film") / "a.mkv", [flat(90)] * 3).read_bytes()


@pytest.fixture
def odd(tmp_path: Path, a_film: bytes) -> Path:
    folder = tmp_path / "odd"
    (folder / os.fsdecode(b"dir\xfc")).mkdir(parents=True)
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(a_film)
    (folder / os.fsdecode(b"dir\xfc/a.mkv")).write_bytes(a_film)
    (folder / os.fsdecode(b"broken\xe9.mkv")).write_bytes(b"no video")
    return folder


@posix_names
def test_every_name_has_a_row_of_its_own(odd: Path, tmp_path: Path) -> None:
    videos = find_videos(odd)
    wanted = {*NAMES.values(), r"dir\xfc/a.mkv", r"broken\xe9.mkv"}
    assert [video.id for video in videos] == sorted(wanted)
    for workers in (0, 2):
        out = tmp_path / f"features-{workers}"
        rows = {row["id"]: row for row in extract_features(videos, 2, Run(out, workers=workers)).to_pylist()}
        assert rows.keys() == wanted
        assert rows.pop(r"broken\xe9.mkv")["status"] == "undecodable"
        assert {row["status"] for row in rows.values()} == {"ok"}
        assert len({tuple(row["features"]) for row in rows.values()}) == 1
        assert read_table(out)["id"].to_pylist() == [video.id for video in videos]


@posix_names
def test_a_name_that_looks_escaped_keeps_its_id(tmp_path: Path, a_film: bytes) -> None:
    for name in (rb"caf\xe9.mkv", b"caf\xe9.mkv", b"a\n.mkv", rb"a\x0a.mkv"):
        (tmp_path / os.fsdecode(name)).write_bytes(a_film)
    found = {video.id: os.fsencode(video.path.name) for video in find_videos(tmp_path) if video.path}
    assert found == {
        r"caf\xe9.mkv": rb"caf\xe9.mkv",
        r"caf\xe9.mkv (2)": b"caf\xe9.mkv",
        r"a\x0a.mkv": rb"a\x0a.mkv",
        r"a\x0a.mkv (2)": b"a\n.mkv",
    }


@posix_names
def test_lists_of_such_files_are_utf_8_and_name_them(odd: Path, tmp_path: Path) -> None:
    videos = find_videos(odd)
    for path in (odd / "manifest.csv", tmp_path / "elsewhere.csv"):
        write_manifest(path, videos)
        path.read_text("utf-8")
        again = read_manifest(path)
        assert [video.id for video in again] == [video.id for video in videos]
        assert [os.fsencode(str(video.path)) for video in again] == [os.fsencode(str(v.path)) for v in videos]
    write_label_request(tmp_path / "to_label.csv", videos)
    again = read_manifest(tmp_path / "to_label.csv")
    assert all(video.path is not None and video.path.is_file() for video in again)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "Cc", "Cs", "Zl", "Zp"]), max_size=8))
def test_plain_names_can_be_written_anywhere(name: str) -> None:
    plain = plain_name(name)
    plain.encode("utf-8")
    assert len(plain.splitlines()) <= 1
    assert plain_name(plain) == plain


@posix_names
@given(st.binary(min_size=1, max_size=8).filter(lambda name: not {0, 47} & set(name)))
def test_an_escaped_name_finds_its_file(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    path = tmp_path_factory.mktemp("names") / os.fsdecode(b"_" + name)
    path.write_bytes(b"")
    assert os.fsencode(named_file(Path(plain_name(str(path))))) == os.fsencode(path)


def test_half_a_pair_in_an_id_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a\\ud800", "path": "a.mp4"}\n')
    with pytest.raises(ManifestError, match=r"m\.jsonl, line 1, row 1: found the id 'a\\ud800'"):
        read_manifest(tmp_path / "m.jsonl")


def test_endings_that_are_passed_over_are_counted_and_named(tmp_path: Path, a_film: bytes) -> None:
    (tmp_path / "in").mkdir()
    for name in ["a.yuv", "b.YUV", "in/c.yuv", "notes.txt", "README", ".hidden", "in/._a.mkv", "a.mkv"]:
        (tmp_path / name).write_bytes(a_film)
    listing = list_folder(tmp_path)
    assert listing.passed_over == Counter({".yuv": 3, ".txt": 1, "": 1})
    said: list[str] = []
    assert [video.id for video in load_videos(tmp_path, note=said.append)] == ["a.mkv"]
    (line,) = said
    assert "5 files ignored: .yuv (3), .txt (1), without ending (1)" in line
    assert "width, height, pix_fmt and fps" in line
    (tmp_path / "a.mkv").unlink()
    with pytest.raises(ManifestError, match=r"found no video.*5 files ignored: \.yuv \(3\)"):
        load_videos(tmp_path)


def test_many_endings_are_named_as_far_as_they_fit() -> None:
    said = said_of_passed_over(Counter({f".e{n}": n + 1 for n in range(12)}))
    assert said.startswith("78 files ignored: .e11 (12), .e10 (11)")
    assert said.endswith("others (10)")
    assert said_of_passed_over(Counter({".md": 1})) == "1 file ignored: .md (1)"
    assert said_of_passed_over(Counter()) == ""


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        *(("a.apng", "apng", "rgb24"), ("a.h264", "libx264", "yuv420p"), ("a.264", "libx264", "yuv420p")),
        *(("a.hevc", "libx265", "yuv420p"), ("a.ivf", "libvpx-vp9", "yuv420p"), ("a.m2v", "mpeg2video", "yuv420p")),
        *(("a.nut", "ffv1", "yuv420p"), ("a.y4m", "rawvideo", "yuv420p"), ("a.mjpeg", "mjpeg", "yuvj420p")),
    ],
)
def test_more_endings_are_read(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    if name == "a.y4m":
        film(tmp_path / "a.y4m", [flat(200)] * 6, codec="wrapped_avframe", pix_fmt=pix_fmt)
    else:
        film(tmp_path / name, [flat(200)] * 6, codec=codec, pix_fmt=pix_fmt, **options)
    (video,) = find_videos(tmp_path)
    assert video.id == name
    clip = decode_video(video, Sampling(frames=3))
    assert isinstance(clip, Clip), clip
    assert clip.frames.shape == (3, 3, 48, 64)
    assert clip.frames.mean() == pytest.approx(200, abs=3)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("abfs://box@account/a.mp4", "Install adlfs"),
        ("nosuch://bucket/a.mp4", "expected a file on this machine or a scheme that fsspec knows"),
    ],
)
def test_a_scheme_that_nothing_here_reads_is_an_error_that_names_row_and_package(
    tmp_path: Path, written: str, said: str
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"id,path\nfirst,first.mp4\nsecond,{written}\n")
    with pytest.raises(ManifestError, match=rf"m\.csv, line 3, row 2, id 'second': found .*a\.mp4; .*{said}"):
        read_manifest(path)
    path.write_text(f"id,mos\n{written},3\n")
    with pytest.raises(ManifestError, match=said):
        read_manifest(path, videos_folder=tmp_path)
    # Without a folder of videos an id is a name, whatever it looks like.
    assert read_manifest(path)[0] == Video(written, None, mos=3.0)
    with pytest.raises(StoreError, match=said):
        load_videos(Path(f"{written.removesuffix('a.mp4')}manifest.csv"))


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path\nfile:///data/my%20clip.mp4\n")
    assert read_manifest(path) == [Video("my clip", Path("/data/my clip.mp4"))]


def test_a_colon_is_no_scheme(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path\nscene: 1/a.mp4\nC://b.mp4\nd:e.mp4\n")
    assert [np.str_(video.id) for video in read_manifest(path)] == ["a", "b", "d:e"]

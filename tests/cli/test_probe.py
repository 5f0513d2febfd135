"""`mdsvqa probe`, and what the other commands say of HDR, interlaced pictures and files that they pass over."""

import json
import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from commands import printed
from mdsvqa.runtime.results import read_meta, read_table
from mdsvqa.study.config import StudyConfig
from videos.films import film, flat, hdr_film

PQ, HLG = 16, 18


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "videos"
    place.mkdir()
    grey = np.full((48, 64), 573, np.uint16)
    hdr_film(place / "hlg.mkv", grey, HLG)
    hdr_film(place / "pq 1.mkv", grey, PQ)
    hdr_film(place / "pq 2.mkv", grey, PQ)
    film(place / "plain.mkv", [flat(100)] * 3)
    film(place / "wide.mp4", [flat(100)] * 3, codec="libx264", pix_fmt="yuv420p", sar=Fraction(4, 3))
    alpha = np.full((48, 64, 4), 128, np.uint8)
    film(place / "glass.mkv", [alpha] * 3, pix_fmt="bgra", format="rgba")
    film(place / "[b]old.mkv", [flat(100)] * 3)
    (place / "bad.mp4").write_bytes(b"no video")
    for name in ("a.yuv", "b.yuv", "notes.md"):
        (place / name).write_bytes(b"123")
    if sys.platform == "linux":
        film(place / os.fsdecode(b"caf\xe9.mkv"), [flat(5)] * 3)
    return place


def test_probe_counts_what_is_unusual(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said, aside = printed(capsys, "probe", folder)
    ok = 8 if sys.platform == "linux" else 7
    assert f"{ok} of {ok + 1} videos can be decoded: HDR 3, PQ 2, HLG 1, not square 1, transparent 1" in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.split()}
    assert {"64x48", "10", "ffv1", "yuv420p10le", "arib-std-b67", "bt2020", "tv"} <= set(lines["hlg.mkv"])
    assert "4:3" in lines["wide.mp4"]
    assert "[b]old.mkv" in lines
    assert "bgra" in lines["glass.mkv"]
    assert "3 files ignored: .yuv (2), .md (1)" in aside
    assert "bad.mp4: not a video" in aside


def test_probe_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "probe", folder, "--json", "--strict", code=4)[0])
    assert found["unusual"] == {"HDR": 3, "PQ": 2, "HLG": 1, "not square": 1, "transparent": 1}
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["bad.mp4"]["status"] == "undecodable"
    pq = rows["pq 1.mkv"]
    assert (pq["width"], pq["height"], pq["fps"], pq["codec"]) == (64, 48, 10.0, "ffv1")
    assert (pq["transfer"], pq["primaries"], pq["range"]) == ("smpte2084", "bt2020", "tv")
    assert (pq["interlaced"], pq["rotation"], pq["size"]) == (False, 0, (folder / "pq 1.mkv").stat().st_size)
    if sys.platform == "linux":
        assert rows[r"caf\xe9.mkv"]["status"] == "ok"


def test_content_counts_hdr_and_records_only_what_was_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, aside = printed(capsys, "content", folder, "--out", tmp_path / "kept")
    assert "HDR: 3 (PQ 2, HLG 1), read by their code values" in aside
    assert "3 files ignored: .yuv (2), .md (1)" in aside
    out, aside = printed(capsys, "content", folder, "--out", tmp_path / "mapped", "--hdr", "tonemap", "--json")
    assert json.loads(out)["unusual"] == {"HDR": 3, "PQ": 2, "HLG": 1, "not square": 1}
    assert "HDR: 3 (PQ 2, HLG 1), tone-mapped to SDR" in aside
    kept, mapped = (read_meta(tmp_path / name)["maker"] for name in ("kept", "mapped"))
    assert mapped == {**kept, "hdr": "tonemap"}
    rows = [
        {row["id"]: row["frames"] for row in read_table(tmp_path / name).to_pylist()} for name in ("kept", "mapped")
    ]
    different = {id for id in rows[0] if rows[0][id] != rows[1][id]}
    assert different == {"hlg.mkv", "pq 1.mkv", "pq 2.mkv"}
    # One is not taken for the other; what took long is not made anew unasked.
    (tmp_path / "kept" / "_seconds").write_text("1000\n")
    _, aside = printed(capsys, "content", folder, "--out", tmp_path / "kept", "--hdr", "tonemap", code=1)
    assert "hdr: unknown there, tonemap now" in aside


def test_an_unknown_way_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, aside = printed(capsys, "content", folder, "--out", tmp_path / "c", "--deinterlace", "yadif", code=2)
    assert "--deinterlace" in aside
    assert "bwdif" in aside


def test_a_view_of_a_study_holds_for_all_that_looks_at_videos() -> None:
    config = StudyConfig.model_validate({"videos": "m.csv", "hdr": "tonemap", "content": {"hdr": "keep"}})
    assert (config.quality.hdr, config.quality.vlm.hdr, config.content.hdr) == ("tonemap", "tonemap", "keep")
    plain = StudyConfig.model_validate({"videos": "m.csv"})
    for part in (plain, plain.quality, plain.quality.vlm, plain.content):
        assert not {"hdr", "deinterlace"} & part.record(whole=True).keys()
    asked = StudyConfig.model_validate({"videos": "m.csv", "quality": {"vlm": {"deinterlace": "bwdif"}}, "hdr": "keep"})
    assert asked.quality.vlm.record()["deinterlace"] == "bwdif"
    assert asked.quality.vlm.seen()["deinterlace"] == "bwdif"
    assert asked.quality.deinterlace == "none"
    made = StudyConfig(videos=Path("m.csv"), deinterlace="bwdif", quality=plain.quality, content=plain.content)
    assert (made.quality.vlm.deinterlace, made.content.deinterlace) == ("bwdif", "bwdif")

"""A step in which no video succeeded ends with exit code 1; one that failed is tried again by the same command."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from commands import printed

CLASS = """
from mdsvqa.models.base import Score


class Model:
    def score(self, clips):
        return [{returned} for clip in clips]
"""


def film(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
        frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 99, np.uint8), format="rgb24")
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos of which one can be decoded."""
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "bad.mp4").write_bytes(b"no film" * 99)
    film(videos / "good.mkv")
    return videos


def test_no_video_that_can_be_decoded(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / "good.mkv").read_bytes()
    (folder / "good.mkv").write_bytes(b"no film" * 99)
    content = ("content", folder, "--out", tmp_path / "content", "--workers", 1, "--json")
    for options in ((), ("--strict",)):
        assert json.loads(printed(capsys, *content, *options, code=1)[0])["ok"] == 0
    (folder / "good.mkv").write_bytes(whole)
    assert json.loads(printed(capsys, *content)[0])["ok"] == 1
    assert json.loads(printed(capsys, *content, "--strict", code=4)[0])["ok"] == 1


@pytest.mark.parametrize("split", ["train", "pool"])
def test_no_labeled_video_that_can_be_decoded(
    split: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "videos.csv").write_text(f"id,path,split,mos\na,bad.mp4,{split},3\nb,good.mkv,pool,\n")
    score = ("score", folder / "videos.csv", "--out", tmp_path / "out", "--workers", 1)
    out, err = printed(capsys, *score, code=1)
    assert out == ""
    found = "found 1, of which not one can be used (a: not a video" if split == "train" else "found 0. Add some"
    assert f"error: the statistical model learns from labeled videos (split train, with MOS); {found}" in err
    # Nothing is decoded where there is nothing to learn from.
    assert ("Features" in err) == (split == "train")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("Score(clip.id, float('nan'))", "a Score has a finite number and the status 'ok'"),
        ("Score(clip.id, 'good')", "a Score has a finite number and the status 'ok'"),
        ("Score(clip.id, 7.3)", "found 7.3, expected a score from 1 to 5"),
        ("3.5", "must return one Score a clip, in order"),
        ("Score(clip.id, 4.0) for _ in 'ab'", "must return one Score a clip, in order; found 2 for 1 clip"),
    ],
)
def test_a_class_that_fails_is_one_error_and_mended_goes_on_by_the_same_command(
    returned: str,
    words: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"model_{tmp_path.name}".replace("-", "_")
    command = ("score", folder, "--model", f"{name}:Model", "--out", tmp_path / "out", "--workers", 1, "--json")
    for text, code in ((returned, 1), ("Score(clip.id, 4.0)", 0)):
        (tmp_path / f"{name}.py").write_text(CLASS.format(returned=text))
        sys.modules.pop(name, None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        out, err = printed(capsys, *command, code=code)
        if code:
            assert out == ""
            assert "error: " in err
            assert words in err
            assert "mdsvqa/models/plugin.py" not in err
        else:
            assert json.loads(out)["ok"] == 1

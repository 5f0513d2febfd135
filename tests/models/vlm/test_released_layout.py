"""The commands on files in the layout of the released ones: what they print, write and record."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from commands import ended, printed
from mdsvqa.runtime.results import read_meta, read_table
from places import STACK

BASE, ADAPTER = STACK / "base", STACK / "adapter"
QUICK = ("--max-new-tokens", 16, "--max-pixels", 8 * 28 * 28, "--workers", 1)


@pytest.fixture(scope="module")
def three(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    for path in sorted((small_corpus.parent / "videos").iterdir())[:3]:
        shutil.copy(path, folder)
    return folder


def test_scores_say_what_made_them_and_how_many_replies_were_cut(three: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "scores"
    _, said = printed(capsys, "score", three, "--model", BASE, "--adapter", ADAPTER, "--out", out, *QUICK, code=1)
    # Random weights never come to an answer.
    assert "3 of 3 replies were cut before their answer" in said
    assert {row["status"] for row in read_table(out).to_pylist()} == {"unparsable"}
    maker = read_meta(out)["maker"]
    assert (maker["adapter_tensors"], maker["repetition_penalty"]) == (44, 1.05)
    printed(
        capsys, "score", three, "--model", BASE, "--out", tmp_path / "b", *QUICK, "--repetition-penalty", 1.3, code=1
    )
    assert read_meta(tmp_path / "b")["maker"]["repetition_penalty"] == 1.3


def test_an_adapter_that_does_not_fit_whole_ends_in_one_sentence(three: Path, tmp_path: Path, capsys) -> None:
    config = json.loads((ADAPTER / "adapter_config.json").read_text())
    folder = shutil.copytree(ADAPTER, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 64}))
    for command in (
        ("score", three, "--model", BASE, "--adapter", folder, "--out", tmp_path / "a", *QUICK),
        ("score", three, "--model", BASE, "--adapter", folder, "--merge", "--out", tmp_path / "b", *QUICK),
        ("difficulty", "predict", three, "--model", BASE, "--adapter", folder, "--out", tmp_path / "c"),
        ("merge", "--model", BASE, "--adapter", folder, "--out", tmp_path / "d"),
        ("doctor", "--model", BASE, "--adapter", folder),
    ):
        said = printed(capsys, *command, code=1)[1]
        (line,) = [line for line in said.splitlines() if line.startswith("error:")]
        assert "0 of 44 tensors fit this model" in line
    assert not (tmp_path / "d").exists()


def test_a_prompt_of_ones_own_is_asked_with_a_warning(three: Path, tmp_path: Path, capsys) -> None:
    own = ("--prompt", "Rate it from 1 to 5.", "--read", "expected")
    _, said = printed(capsys, "score", three, "--model", BASE, "--out", tmp_path / "own", *own, *QUICK, code=1)
    assert "was not trained on this prompt" in said
    _, said = printed(capsys, "score", three, "--model", BASE, "--out", tmp_path / "usual", *own[2:], *QUICK, code=1)
    assert "was not trained" not in said
    makers = [read_meta(tmp_path / name)["maker"] for name in ("own", "usual")]
    assert makers[0]["prompt"] != makers[1]["prompt"]
    assert makers[0]["settings"]["prompt"] == own[1]


def test_ways_to_sample_exclude_each_other_in_words(three: Path, tmp_path: Path) -> None:
    wrong = {("--sampling", "count"): 1, ("--sampling", "rate", "--frames", 4): 1, ("--sampling", "middle"): 2}
    for options, code in wrong.items():
        assert ended("score", three, "--model", BASE, "--out", tmp_path / "a", *options, *QUICK) == code
    for options in (("--sampling", "rate"), ("--sampling", "count", "--frames", 3), ("--fps", 1)):
        out = tmp_path / "_".join(map(str, options)).strip("-")
        # Random weights give no digit a chance: a run in which nothing was scored ends with 1.
        assert ended("score", three, "--model", BASE, "--out", out, "--read", "expected", *options, *QUICK) == 1
        assert len(read_table(out)) == 3

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import typer

from commands import ended
from mdsvqa.cli import app as cli
from places import DATA

WriteStudy = Callable[..., Path]
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data are not there: {DATA}")


def run(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    assert ended(*arguments) == code


def answer(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict:
    """The one JSON object that a command prints on stdout."""
    capsys.readouterr()
    run(*arguments, "--json", code=code)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def bad_videos(folder: Path, good: bytes) -> dict[str, str]:
    """Eight files that are no videos, each with a piece of the reason."""
    rng = np.random.default_rng(0)
    picture = bytes(cv2.imencode(".png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))[1])
    for name, content in {
        "empty.mp4": b"",
        "text.mp4": b"The video will follow.\n" * 100,
        "cut.mp4": good[: len(good) // 2],
        "header.mp4": good[:40],
        "random.mp4": rng.bytes(20_000),
        "picture.mp4": picture,
    }.items():
        (folder / name).write_bytes(content)
    with av.open(str(folder / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.rate = 8000
        out.mux(stream.encode(silence))
        out.mux(stream.encode())
    return {
        "empty.mp4": "empty file",
        "text.mp4": "not a video",
        "cut.mp4": "truncated",
        "header.mp4": "truncated",
        "random.mp4": "not a video",
        "picture.mp4": "still picture",
        "sound.mp4": "audio only",
        "missing.mp4": "file not found",
    }


def test_eight_kinds_of_bad_video_among_good_ones_are_named_with_their_reasons(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_corpus.open() as file:
        rows = list(csv.DictReader(file))[:12]
    for row in rows:
        shutil.copy(small_corpus.parent / row["path"], tmp_path / f"{row['id']}.mp4")
    bad = bad_videos(tmp_path, (tmp_path / f"{rows[0]['id']}.mp4").read_bytes())
    lines = [f"{row['id']},{row['id']}.mp4,{row['mos']}" for row in rows]
    lines[3:3] = [f"{name},{name},3.0" for name in bad]
    (tmp_path / "videos.csv").write_text("\n".join(["id,path,mos", *lines]) + "\n")
    done = answer(capsys, "score", tmp_path / "videos.csv", "--out", tmp_path / "scores")
    assert (done["videos"], done["ok"], done["left_out"]) == (20, 12, 8)
    reasons = {failure["id"]: failure["reason"] for failure in done["failures"]}
    assert reasons.keys() == bad.keys()
    for name, reason in bad.items():
        assert reason in reasons[name]
    again = answer(capsys, "content", tmp_path / "videos.csv", "--out", tmp_path / "content", "--strict", code=4)
    assert {failure["id"] for failure in again["failures"]} == bad.keys()


def test_the_steps_one_by_one(small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores, content = tmp_path / "scores", tmp_path / "content"
    assert answer(capsys, "score", small_corpus, "--out", scores)["ok"] == 76
    assert answer(capsys, "content", small_corpus, "--out", content)["ok"] == 76
    rated = answer(capsys, "difficulty", small_corpus, "--scores", scores, "--out", tmp_path / "difficulty")
    assert rated["ok"] == 24
    command = ("select", tmp_path / "difficulty", "--content", content, "-k", 3)
    chosen = answer(capsys, *command, "--out", tmp_path / "selection")["selected"]
    assert len(set(chosen)) == 3
    assert answer(capsys, *command)["selected"] == chosen
    (tmp_path / "labeled.csv").write_text("\n".join(["id", *chosen]) + "\n")
    others = answer(capsys, *command, "--exclude", tmp_path / "labeled.csv")["selected"]
    assert not set(others) & set(chosen)
    (tmp_path / "labels.csv").write_text("\n".join(["id,mos", *(f"{i},{k + 2}" for k, i in enumerate(chosen))]) + "\n")
    tuned = answer(
        capsys,
        *("finetune", small_corpus, "--features", scores / "_features", "--model", scores / "_model.safetensors"),
        *("--labels", tmp_path / "labels.csv", "--out", tmp_path / "tuned.safetensors"),
    )
    assert (tuned["source"], tuned["new"]) == (32, 3)
    after = answer(
        capsys, "score", small_corpus, "--out", tmp_path / "after", "--model", tmp_path / "tuned.safetensors"
    )
    assert after["ok"] == 76


def test_a_study_from_init_to_report(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("init")
    run("init", code=1)
    assert "--force" in capsys.readouterr().err
    study = tmp_path / "study.yaml"
    study.write_text(study.read_text().replace("videos: manifest.csv", f"videos: {small_corpus}"))
    run("report", "study.yaml", code=1)
    assert "Run it first" in capsys.readouterr().err
    done = answer(capsys, "run", "study.yaml")
    assert done["waiting_for"] is None
    assert len(done["selected"]) == 1
    page = tmp_path / "results" / "report.html"
    assert done["report"] == str(page)
    before = page.read_bytes()
    page.unlink()
    run("report", "study.yaml")
    assert page.read_bytes() == before


def test_labels_needed_is_exit_code_3(small_corpus: Path, tmp_path: Path, write_study: WriteStudy) -> None:
    with small_corpus.open() as file:
        rows = list(csv.DictReader(file))
    lines = [
        f"{r['id']},{small_corpus.parent / r['path']},{r['dataset']},{r['split']},"
        + ("" if r["split"] == "pool" else r["mos"])
        for r in rows
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,path,dataset,split,mos", *lines]) + "\n")
    study = write_study(videos="manifest.csv", labels="labels.csv")
    run("run", study, code=3)
    assert (tmp_path / "results" / "round-1" / "to_label.csv").is_file()


def test_evaluate_prints_the_promised_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 60)
    table = tmp_path / "any.csv"
    lines = [f"{i:04d},{value:.4f},{value + rng.normal():.4f}" for i, value in enumerate(mos)]
    table.write_text("\n".join(["name,MOS,my model", *lines, "0060,,3.0", "0061,2.0,"]) + "\n")
    found = answer(capsys, "evaluate", table, "--mos", "MOS", "--score", "my model")
    metrics = ["srcc", "plcc", "krcc", "rmse", "plcc_raw"]
    assert list(found) == ["score", "n", *metrics, "fit", "left_out", "notes", "warnings"]
    assert (found["score"], found["n"], found["left_out"]) == ("my model", 60, 2)
    for name in ("srcc", "plcc", "krcc", "rmse", "plcc_raw"):
        assert list(found[name]) == ["value", "low", "high"]
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
    run("evaluate", table, "--mos", "mos", code=1)
    assert "found name, MOS, my model" in capsys.readouterr().err


@needs_data
def test_evaluate_reproduces_the_published_figures(capsys: pytest.CaptureFixture[str]) -> None:
    pool = DATA / "youtube_sfv_sdr" / "pool.csv"
    found = answer(capsys, "evaluate", pool, "--mos", "mos", "--score", "base_score")
    assert found["n"] == 1624
    assert found["srcc"]["value"] == pytest.approx(0.665, abs=5e-4)
    assert found["plcc"]["value"] == pytest.approx(0.710, abs=0.003)


@needs_data
def test_the_released_failure_scores_select_a_subset_of_low_srcc(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = DATA / "youtube_sfv_sdr" / "pool.csv"
    found = []
    for seed in range(10):
        chosen = tmp_path / str(seed)
        options = ("--rule", "difficulty", "-k", 64, "--ties", "random", "--seed", seed, "--out", chosen)
        run("select", pool, "--column", "failure_score", *options)
        subset = answer(capsys, "evaluate", pool, "--score", "base_score", "--only", chosen, "--draws", 10)
        assert subset["n"] == 64
        found.append(subset["srcc"]["value"])
    assert np.mean(found) == pytest.approx(0.28, abs=0.06)


def every_command() -> dict[str, tuple[Any, Any]]:
    """Commands and groups by their words, each with its context."""
    found: dict[str, tuple[Any, Any]] = {}

    def walk(command: Any, context: Any, words: str) -> None:
        found[words] = command, context
        for name in getattr(command, "commands", {}):
            inner = command.commands[name]
            walk(inner, inner.make_context(name, [], parent=context, resilient_parsing=True), f"{words} {name}".strip())

    whole = typer.main.get_command(cli.app)
    walk(whole, whole.make_context("mdsvqa", [], resilient_parsing=True), "")
    return found


COMMANDS = every_command()
# What an option does, as its help begins.
VERBS = """
Add Apply Ask Assume Begin Choose Clip Compare Compute Copy Cut Decode Divide Draw Encode End Enlarge Evaluate Exit
Fill Find Fine-tune Forget Give Group Have Hold Install Invite Join Keep Learn Let Listen Load Look Make Measure
Merge Name Never Pass Penalise Predict Print Put Raise Rank Rate Read Reduce Repeat Replace Route Run Say Scale
Score Send Set Show Simulate Spend Start Stop Tabulate Take Train Turn Upload Use Wait Weigh Work Write
"""


def test_there_are_all_commands() -> None:
    assert {"", "run", "difficulty train", "label serve", "gmad rank"} < COMMANDS.keys()
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself(words: str) -> None:
    command, context = COMMANDS[words]
    assert len(command.help) > 20
    for each in command.get_params(context):
        if not each.hidden:
            assert each.help.split()[0] in VERBS.split(), (each.name, each.help)
            assert each.help.endswith("."), (each.name, each.help)


@pytest.mark.parametrize("words", ["", "difficulty", "run", "label mos"])
def test_help_is_printed(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(*words.split(), "--help")
    shown = capsys.readouterr().out
    assert "Usage: mdsvqa" in shown
    assert len(shown) > 200


def test_wrong_input_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mdsvqa", "run", str(tmp_path / "nowhere.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_scores_and_model_in_a_folder_belong_together(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores"
    answer(capsys, "score", small_corpus, "--out", scores)
    model = (scores / "_model.safetensors").read_bytes()
    lines = small_corpus.read_text().splitlines()
    fewer = small_corpus.with_name("fewer.csv")
    fewer.write_text("\n".join([lines[0], *lines[6:]]) + "\n")
    # What took longer than a minute is not made anew unasked.
    (scores / "_seconds").write_text("1000\n")
    run("score", fewer, "--out", scores, code=1)
    assert (scores / "_model.safetensors").read_bytes() == model
    done = answer(capsys, "score", fewer, "--out", scores, "--model", scores / "_model.safetensors")
    fewer.unlink()
    assert (done["videos"], done["ok"]) == (71, 71)


def test_score_by_a_vision_language_model_reads_both_ways_and_names_what_does_not_fit(
    tiny_vlm: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for path in sorted((small_corpus.parent / "videos").glob("target-test*"))[:5]:
        shutil.copy(path, videos)
    (videos / "empty.mp4").touch()
    arguments = ("score", videos, "--model", tiny_vlm, "--workers", 1)
    for read in ("generate", "expected"):
        found = answer(capsys, *arguments, "--read", read, "--out", tmp_path / read, "--max-new-tokens", 48)
        assert found["videos"] == 6
        assert {"id": "empty.mp4", "reason": "empty file (0 bytes)"} in found["failures"]
    assert found["ok"] == 5
    (tmp_path / "expected" / "_seconds").write_text("1000\n")
    run(*arguments, "--out", tmp_path / "expected", code=1)
    assert "reading: expected there, generate now" in capsys.readouterr().err
    run("score", videos, "--adapter", "a/b", "--out", tmp_path / "out", code=1)
    assert "--adapter" in capsys.readouterr().err
    run(*arguments, "--samples", 3, "--read", "expected", "--out", tmp_path / "out", code=1)
    assert "samples" in capsys.readouterr().err


def test_doctor_speaks_json(tiny_vlm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "doctor", "--model", tiny_vlm)
    assert {"facts", "packages", "fits", "checkpoint", "advice"} == set(found)
    assert "fits into" in found["fits"]

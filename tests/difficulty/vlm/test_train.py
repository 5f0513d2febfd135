"""A vision-language model learns to predict its failures: by the command line, over kills, and is asked afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from typer.testing import CliRunner

from mdsvqa.cli.app import app
from mdsvqa.difficulty.held_out import videos_to_learn_from
from mdsvqa.difficulty.settings import DifficultySettings, FailureTraining
from mdsvqa.difficulty.vlm.train import failure_set
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import read_table
from mdsvqa.videos.video import Video

STEPS = ["--steps", "12", "--batch-size", "8", "--learning-rate", "0.002", "--evaluations", "6", "--patience", "9"]


@pytest.fixture(scope="module")
def scores(tiny_vlm: Path, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scores") / "scores"
    run("score", str(small_corpus), "--model", str(tiny_vlm), "--read", "expected", "--out", str(out), "-j", "1")
    return out


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def command(small_corpus: Path, scores: Path, tiny_vlm: Path, out: Path, *more: str) -> list[str]:
    where = ["--scores", str(scores), "--model", str(tiny_vlm), "--out", str(out), "-j", "1"]
    return ["difficulty", "train", str(small_corpus), *where, *STEPS, "--learn-from", "train", *more]


@pytest.fixture(scope="module")
def trained(tiny_vlm: Path, small_corpus: Path, scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("failure") / "g"
    told = json.loads(run(*command(small_corpus, scores, tiny_vlm, out, "--json")).splitlines()[-1])
    assert [line["step"] for line in told["log"]] == [0, 2, 4, 6, 8, 10, 12]
    return out


def test_the_adapter_comes_with_a_card_and_a_log_and_a_rerun_trains_nothing(
    trained: Path, tiny_vlm: Path, small_corpus: Path, scores: Path
) -> None:
    card = (trained / "README.md").read_text()
    assert card.startswith("---\nbase_model: ")
    for said in ("LoRA rank: 64", "LoRA alpha: 128", "fidelity", "held-out videos", "Assess how difficult"):
        assert said in card
    config = json.loads((trained / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (64, 128, 0.05)
    before = (trained / "adapter_model.safetensors").stat().st_mtime_ns
    run(*command(small_corpus, scores, tiny_vlm, trained))
    assert (trained / "adapter_model.safetensors").stat().st_mtime_ns == before
    result = CliRunner().invoke(app, command(small_corpus, scores, tiny_vlm, trained, "--seed", "5"))
    assert result.exit_code != 0


@pytest.mark.slow
def test_kills_and_reruns_end_in_the_same_adapter(
    trained: Path, tiny_vlm: Path, small_corpus: Path, scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "g"
    arguments = [sys.executable, "-m", "mdsvqa", *command(small_corpus, scores, tiny_vlm, out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng = np.random.default_rng(7)
    for _ in range(2):
        state = newest(out)
        process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # By progress, not by the clock: a while after the next checkpoint.
        while process.poll() is None and newest(out) == state:
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0, 0.6)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    for name in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
        assert (out / name).read_bytes() == (trained / name).read_bytes(), name


def newest(folder: Path) -> int:
    checkpoint = folder / "checkpoint.safetensors"
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


def test_difficulties_are_continuous_with_a_status_and_a_rerun_reads_nothing(
    trained: Path, tiny_vlm: Path, small_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "difficulty"
    asked = ["difficulty", "predict", str(small_corpus), "--model", str(tiny_vlm), "--adapter", str(trained)]
    run(*asked, "--out", str(out), "-j", "1")
    table = read_table(out)
    assert table.column_names == ["id", "difficulty", "status"]
    assert table.num_rows == 24
    values = np.array(table["difficulty"].to_pylist(), float)
    ok = np.array(table["status"].to_pylist()) == "ok"
    assert np.array_equal(np.isfinite(values), ok)
    assert ok.mean() > 0.5
    assert len(np.unique(values[ok])) == ok.sum()
    assert values[ok].min() >= 1
    assert values[ok].max() <= 5
    run(*asked, "--out", str(out), "-j", "1")
    assert read_table(out).equals(table)


@pytest.mark.parametrize("rule", ["mc-dropout", "noise-stability"])
def test_rules_of_instability_disturb_the_score_and_are_the_same_again(
    rule: str, tiny_vlm: Path, small_corpus: Path, tmp_path: Path
) -> None:
    disturbs_and_is_the_same_again(tiny_vlm, rule, small_corpus, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mc-dropout", "noise-stability"])
def test_rules_of_instability_disturb_the_score_of_every_family(
    rule: str, any_vlm: Path, small_corpus: Path, tmp_path: Path
) -> None:
    disturbs_and_is_the_same_again(any_vlm, rule, small_corpus, tmp_path)


def disturbs_and_is_the_same_again(model: Path, rule: str, small_corpus: Path, tmp_path: Path) -> None:
    asked = ["difficulty", "predict", str(small_corpus), "--model", str(model), "--rule", rule, "--passes", "4"]
    values = []
    for name in "ab":
        run(*asked, "--out", str(tmp_path / name), "-j", "1")
        values.append(read_table(tmp_path / name)["difficulty"].to_pylist())
    assert values[0] == values[1]
    found = np.array(values[0], float)
    assert np.nanmin(found) > 0
    assert np.nanmax(found) < 2


def test_a_model_of_every_family_predicts_its_failures(any_vlm: Path, small_corpus: Path, tmp_path: Path) -> None:
    scores, adapter, out = (tmp_path / name for name in ("scores", "g", "difficulty"))
    run("score", str(small_corpus), "--model", str(any_vlm), "--read", "expected", "--out", str(scores), "-j", "1")
    short = ["--steps", "2", "--evaluations", "1"]
    run(*command(small_corpus, scores, any_vlm, adapter, *short))
    asked = ["difficulty", "predict", str(small_corpus), "--model", str(any_vlm), "--adapter", str(adapter)]
    run(*asked, "--out", str(out), "-j", "1")
    values = np.array(read_table(out)["difficulty"].to_pylist(), float)
    assert np.isfinite(values).mean() > 0.5
    assert len(set(values[np.isfinite(values)])) == np.isfinite(values).sum()


def test_reinforce_trains_too(tiny_vlm: Path, small_corpus: Path, scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    run(*command(small_corpus, scores, tiny_vlm, out, "--objective", "reinforce", "--steps", "3"))
    lines = (out / "log.csv").read_text().splitlines()
    assert "reward" in lines[0]
    assert "well_formed" in lines[0]
    assert "reinforce" in (out / "README.md").read_text()


def test_adapters_need_a_checkpoint_and_scores_are_asked_for_by_name(small_corpus: Path, tmp_path: Path) -> None:
    for more, said in (
        (["--adapter", "x"], "--adapter: goes with --model"),
        (["--rule", "mc-dropout"], "--rule mc-dropout: goes with --model"),
        ([], "--scores: name the table"),
    ):
        result = CliRunner().invoke(app, ["difficulty", "predict", str(small_corpus), "--out", str(tmp_path), *more])
        assert isinstance(result.exception, InputError)
        assert said in str(result.exception)


def videos(split: str, count: int, dataset: str = "a") -> list[Video]:
    return [Video(f"{split}-{k}", Path("x"), dataset, split, 3.0 + k / 50) for k in range(count)]  # type: ignore[arg-type]


def test_held_out_videos_are_learned_from_where_there_are_enough() -> None:
    settings = DifficultySettings()
    train, enough, few = videos("train", 40), videos("test", 30), videos("test", 29)
    chosen, told = videos_to_learn_from([*train, *enough], settings)
    assert chosen == enough
    assert "30 source videos of split test" in told
    chosen, told = videos_to_learn_from([*train, *few], settings)
    assert chosen == train
    assert "at least 30" in told
    assert videos_to_learn_from([*train, *few], settings, "test")[0] == few
    # Those of the target's own test set are not the source's.
    other = [Video("t", Path("x"), "target", "test", 3.0), Video("p", Path("x"), "target", "pool")]
    assert videos_to_learn_from([*train, *other], settings, "test")[0] == []


def test_a_fifth_is_held_out_in_every_data_set_and_too_few_are_an_error() -> None:
    some = [*videos("train", 40), *videos("test", 20, "b")]
    found = failure_set(some, {video.id: 3.0 for video in some}, FailureTraining(error="raw"))
    assert np.bincount(found.dataset[found.held_out]).tolist() == [8, 4]
    assert found.error[1] == pytest.approx(0.02)
    with pytest.raises(InputError, match="at least 6 videos"):
        failure_set(some[:10], {video.id: 3.0 for video in some}, FailureTraining())

"""Studies of models that are not the embedded one: a class that trains itself, checkpoints over rounds, a server."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kills import kill_often
from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.report.figures import measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.study.result import StudyResult
from mdsvqa.study.run import run_study

WriteStudy = Callable[..., Path]
# A model of one number: how much bright videos are better than dark ones.
LEARNER = r"""
import json
from pathlib import Path
import numpy as np
from mdsvqa.models.base import Score

class Learner:
    def __init__(self, slope=0.0):
        self.slope = slope

    def score(self, clips):
        light = [clip.frames.mean() / 255 - 0.5 for clip in clips]
        return [Score(clip.id, float(np.clip(3 + self.slope * x, 1, 5))) for clip, x in zip(clips, light)]

    def finetune(self, videos, folder):
        with (Path(__file__).parent / "calls.jsonl").open("a") as file:
            file.write(json.dumps([[video.id, video.mos, video.dataset] for video in videos]) + "\n")
        (folder / "slope.json").write_text("2.0")
        return Learner(len(videos) / 100)

class Stubborn:
    score = Learner.score
    slope = 1.0

class Broken(Learner):
    def finetune(self, videos, folder):
        return "done"
"""


@pytest.fixture
def learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_learner.py").write_text(LEARNER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "calls.jsonl"
    sys.modules.pop("own_learner", None)


def to_page(study: Path) -> tuple[StudyConfig, StudyResult, str]:
    config = read_study(study)
    result = run_study(config, Silent())
    _, page = write_results(result.config, result, measure(result.config, result))
    return config, result, page.read_text()


def test_a_class_that_fine_tunes_itself_goes_through_rounds_and_comparisons_to_its_page(
    write_study: WriteStudy, learner: Path
) -> None:
    settings = {"rounds": 2, "selection": {"budget": 5}, "comparison": {"rules": ["k-means"], "seeds": 2}}
    study = write_study(quality={"model": "own_learner:Learner", "frames": 2}, **settings)
    config, result, page = to_page(study)
    assert not result.waiting_for
    assert len(result.scores) == 3
    assert not np.array_equal(result.scores[0], result.scores[1])
    calls = [json.loads(line) for line in learner.read_text().splitlines()]
    # Two rounds, and the last of two rounds of two rules with two seeds: these rules ask nothing of the model between.
    assert len(calls) == 2 + 2 * 2
    source = [video.id for video in result.data.videos if video.split == "train"]
    for turn, call in enumerate(calls[:2], 1):
        chosen = {row["id"] for row in result.selected if row["round"] <= turn}
        assert [video for video, _, _ in call[: len(source)]] == source
        assert {video for video, _, _ in call[len(source) :]} == chosen
        assert {dataset for _, _, dataset in call[len(source) :]} == {"simulated-target (new labels)"}
        assert (config.out / f"round-{turn}" / "finetuned" / "slope.json").is_file()
    assert {(run.rule, run.seed) for run in result.rule_runs} == {(r, s) for r in ("random", "k-means") for s in (0, 1)}
    assert all(len(run.selected) == 5 for run in result.rule_runs)
    assert "k-means" in page
    assert "whole pool labeled" not in page
    # All is there: nothing is trained or scored again.
    again = run_study(config, Silent())
    assert len(learner.read_text().splitlines()) == len(calls)
    np.testing.assert_array_equal(again.scores[2], result.scores[2])


def test_a_class_without_finetune_has_one_round_and_its_owner_is_told_what_to_do(
    write_study: WriteStudy, learner: Path
) -> None:
    quality = {"model": "own_learner:Stubborn", "frames": 2}
    _, result, page = to_page(write_study(quality=quality))
    assert "Fine-tune your model on" in result.waiting_for
    assert "Fine-tune your model on" in page
    rows = list(csv.DictReader((result.config.out / "training_set.csv").open()))
    assert {row["id"] for row in rows if row["new"] == "1"} == {row["id"] for row in result.selected}
    with pytest.raises(ConfigError, match=r"method finetune\(videos, folder\)"):
        run_study(read_study(write_study(quality=quality, rounds=2)), Silent())


def test_a_finetune_that_returns_no_model_is_said(write_study: WriteStudy, learner: Path) -> None:
    study = write_study(quality={"model": "own_learner:Broken", "frames": 2})
    with pytest.raises(Exception, match=r"Broken.finetune must return a model with a method score\(clips\)"):
        run_study(read_study(study), Silent())


@pytest.fixture
def write_vlm(write_study: WriteStudy, tiny_vlm: Path) -> WriteStudy:
    def write(name: str = "study.yaml", **settings: object) -> Path:
        training = {"steps": 4, "batch_size": 8, "evaluations": 2, "learning_rate": 1e-3, "watched": 4}
        quick = {
            "quality": {"model": str(tiny_vlm), "vlm": {"reading": "expected"}},
            "finetuning": {"vlm": {**training, **settings.pop("training", {})}},  # type: ignore[dict-item]
            "workers": 1,
        }
        return write_study(name, **{**quick, **settings})

    return write


def learned_from(folder: Path) -> set[str]:
    return {row["id"] for row in csv.DictReader((folder / "training_set.csv").open()) if row["new"] == "1"}


@pytest.mark.parametrize("start", [pytest.param("base", marks=pytest.mark.slow), "round"])
def test_each_round_of_a_checkpoint_learns_from_all_labels_anew_or_from_the_round_before(
    write_vlm: WriteStudy, start: str
) -> None:
    config, result, page = to_page(write_vlm(rounds=2, training={"start": start}))
    assert len(result.scores) == 3
    first, second = (config.out / f"round-{turn}" / "finetuned" for turn in (1, 2))
    by_round = [{row["id"] for row in result.selected if row["round"] <= turn} for turn in (1, 2)]
    assert [learned_from(first), learned_from(second)] == by_round
    logs = [list(csv.DictReader((folder / "log.csv").open())) for folder in (first, second)]
    # The same source videos are held out in both rounds, so that step 0 says what training started from.
    before = {"base": float(logs[0][0]["srcc"]), "round": max(float(line["srcc"]) for line in logs[0])}
    assert float(logs[1][0]["srcc"]) == pytest.approx(before[start], abs=1e-9)
    meta = json.loads((second / "_meta.json").read_text())
    assert ("start" in meta["maker"]) == (start == "round")
    assert "Round 2: Fine-tuned model on held-out" in page


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_two_rounds_of_every_family_train_a_predictor_and_an_adapter_and_score_by_it(
    write_vlm: WriteStudy, make_tiny: Callable[[str], Path], family: str
) -> None:
    failure = {"adapter": "train", "vlm": {"steps": 3, "batch_size": 8, "evaluations": 1, "learning_rate": 1e-3}}
    quality = {"model": str(make_tiny(family)), "vlm": {"reading": "expected"}}
    study = write_vlm(quality=quality, difficulty=failure, rounds=2)
    config, result, page = to_page(study)
    videos = len(result.data.videos)
    assert [int(np.isfinite(scores).sum()) for scores in result.scores] == [videos] * 3
    first, second = (config.out / f"round-{turn}" / "finetuned" for turn in (1, 2))
    chosen = [{row["id"] for row in result.selected if row["round"] <= turn} for turn in (1, 2)]
    assert [learned_from(first), learned_from(second)] == chosen
    assert len(chosen[1]) == 4
    for folder in (first, second):
        assert [line["step"] for line in csv.DictReader((folder / "log.csv").open())] == ["0", "2", "4"]
    predictors = sorted(config.out.rglob("adapter_model.safetensors"))
    assert len(predictors) == 4, predictors
    assert "Round 2: Fine-tuned model on held-out" in page
    # All is there: nothing is trained or scored again.
    before = {path: path.stat().st_mtime_ns for path in predictors}
    again = run_study(config, Silent())
    assert {path: path.stat().st_mtime_ns for path in predictors} == before
    np.testing.assert_array_equal(again.scores[2], result.scores[2])


@pytest.mark.slow
def test_two_rounds_of_a_checkpoint_killed_at_ten_moments_end_in_the_tables_of_an_undisturbed_run(
    write_vlm: WriteStudy, tmp_path: Path
) -> None:
    undisturbed = write_vlm("undisturbed.yaml", out="undisturbed", rounds=2)
    disturbed = write_vlm("disturbed.yaml", out="disturbed", rounds=2)
    kill_often(["run", str(undisturbed)], ["run", str(disturbed)], tmp_path)
    there = tmp_path / "undisturbed"
    for table in {path.parent.relative_to(there) for path in there.rglob("*.parquet")}:
        rows = [read_table(tmp_path / out / table).to_pylist() for out in ("undisturbed", "disturbed")]
        assert sorted(map(repr, rows[0])) == sorted(map(repr, rows[1])), table
    summaries = [json.loads((tmp_path / out / "summary.json").read_text()) for out in ("undisturbed", "disturbed")]
    assert summaries[0] == summaries[1]


@pytest.mark.slow
def test_rules_are_compared_on_a_checkpoint_each_fine_tuning_in_its_folder(
    write_vlm: WriteStudy, tmp_path: Path
) -> None:
    comparison = {"rules": ["mds", "k-means"], "seeds": 2}
    study = write_vlm(comparison=comparison)
    command = [sys.executable, "-m", "mdsvqa", "run", str(study)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    runs = tmp_path / "results" / "comparison-runs"
    while len(list(runs.glob("*/finetuned/README.md"))) < 3 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]
    assert "3 rules with 2 seeds are 6 fine-tunings; 6 are to be done" in said
    adapters = {path: path.stat().st_mtime_ns for path in runs.glob("*/finetuned/adapter_model.safetensors")}
    assert len(adapters) >= 3
    _, result, page = to_page(study)
    assert {(r.rule, r.seed) for r in result.rule_runs} == {
        (rule, seed) for rule in ("random", "mds", "k-means") for seed in (0, 1)
    }
    assert {path: path.stat().st_mtime_ns for path in adapters} == adapters
    assert len(list(runs.glob("*/finetuned/adapter_model.safetensors"))) == 6
    for run in result.rule_runs:
        assert len(run.selected) == 4
        assert np.isfinite(run.target_scores).all()
        assert learned_from(runs / f"{run.rule}-{run.seed}" / "finetuned") == set(run.selected)
    assert "Fine-tuning" in page or "fine-tuned" in page
    assert "MDS" in page

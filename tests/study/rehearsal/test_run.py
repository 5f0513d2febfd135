"""The rehearsal of a study on files: kept, gone on with, used by `rule: auto`, shown."""

import csv
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands import printed
from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.figures import measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import TableError, read_table
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.selection.catalogue import RULES as EVERY_RULE
from mdsvqa.study.config import read_study
from mdsvqa.study.rehearsal.run import load_rehearsal, recommendation, rehearse_study
from mdsvqa.study.run import run_study

RULES = ["mds", "k-means", "facility-location"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two source data sets, a pool of 60 and two test sets, as features; MOS of all."""
    rng = np.random.default_rng(0)
    with (tmp_path / "manifest.csv").open("w") as manifest, (tmp_path / "features.csv").open("w") as table:
        videos, features = csv.writer(manifest), csv.writer(table)
        videos.writerow(["id", "mos", "dataset", "split", "category"])
        features.writerow(["id", "a", "b", "c"])
        for part, split, dataset, count in (
            ("s", "train", "old", 90),
            ("r", "train", "older", 60),
            ("p", "pool", "new", 60),
            ("t", "test", "new", 20),
            ("u", "test", "old", 20),
        ):
            for i in range(count):
                x = rng.normal(size=3) * [3, 1, 1] + {"new": 2, "older": -1}.get(dataset, 0)
                mos = np.clip(3 + np.tanh(x[1]) * np.sign(x[0]) + 0.2 * rng.normal(), 1, 5)
                videos.writerow([f"{part}{i:03d}", f"{mos:.3f}", dataset, split, "abc"[i % 3]])
                features.writerow([f"{part}{i:03d}", *(f"{v:.4f}" for v in x)])
    return write(tmp_path)


def write(folder: Path, **settings: object) -> Path:
    path = folder / "study.yaml"
    content = {
        "videos": "manifest.csv",
        "workers": 1,
        "quality": {"features": "features.csv"},
        "selection": {"budget": 6},
        "difficulty": {"committee": 4, "folds": 2},
        "rehearsal": {"rules": RULES, "repeats": 2, "budgets": [4, 8]},
    }
    path.write_text(yaml.safe_dump({**content, **settings}))
    return path


def test_it_recommends_a_rule_and_keeps_what_it_found(study: Path) -> None:
    config = read_study(study)
    found = rehearse_study(config, Silent())
    assert {each.rule for each in found.answer.standings} == set(RULES)
    assert found.answer.recommended in {*RULES, "random"}
    assert found.budget == 6
    assert list(found.targets) == [("old", 90), ("older", 60)]
    assert {(point.contender, point.labels) for point in found.curve} == {
        (rule, labels) for rule in ("random", "facility-location") for labels in (4, 6, 8)
    }
    assert load_rehearsal(config) == found
    rows = read_table(config.out / "rehearsal" / "repeats").to_pylist()
    assert sum(row["contender"] == "base" for row in rows) == 4


def test_a_rerun_reads_what_is_there(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "rehearse", study)
    out, err = printed(capsys, "rehearse", study)
    assert "4 repeats reused" in err
    assert "Use " in out
    assert "rule: auto" in out


def test_another_seed_is_another_rehearsal(study: Path) -> None:
    rehearse_study(read_study(study), Silent())
    other = read_study(write(study.parent, seed=1))
    # What took longer than a minute is not made anew unasked.
    for seconds in study.parent.rglob("_seconds"):
        seconds.write_text("1000\n")
    with pytest.raises(TableError, match="overwrite"):
        rehearse_study(other, Silent())
    rehearse_study(other, Silent(), overwrite=True)


def test_more_repeats_go_on_from_fewer_where_they_are_the_same(study: Path) -> None:
    rehearse_study(read_study(study), Silent())
    before = read_table(study.parent / "results/rehearsal/repeats").num_rows
    more = {"rules": RULES, "repeats": 4, "budgets": [4, 8]}
    found = rehearse_study(read_study(write(study.parent, rehearsal=more)), Silent())
    after = read_table(study.parent / "results/rehearsal/repeats")
    assert after.num_rows > before
    assert {each.repeats for each in found.answer.standings} == {8}


def test_killed_it_goes_on_to_the_same_answer(study: Path, tmp_path: Path) -> None:
    whole = rehearse_study(read_study(study), Silent())
    killed = write(study.parent, out="killed")
    repeats = study.parent / "killed" / "rehearsal" / "repeats"
    with subprocess.Popen([sys.executable, "-m", "mdsvqa", "rehearse", str(killed)], stderr=subprocess.DEVNULL) as run:
        while len(list(repeats.glob("part-*.parquet"))) < 3 and run.poll() is None:
            time.sleep(0.02)
        run.kill()
    there = len(list(repeats.glob("part-*.parquet")))
    assert there >= 3
    assert rehearse_study(read_study(killed), Silent()) == whole


def test_parts_by_a_column(study: Path) -> None:
    settings = {"rules": ["k-means"], "repeats": 2, "targets": "category"}
    found = rehearse_study(read_study(write(study.parent, rehearsal=settings)), Silent())
    assert list(found.targets) == [("category a", 50), ("category b", 50), ("category c", 50)]


@pytest.mark.parametrize("targets", ["directions", "clusters"])
def test_parts_of_one_data_set_are_refused(study: Path, targets: str) -> None:
    with pytest.raises(ConfigError, match=f"{targets} of one data set foretell nothing"):
        read_study(write(study.parent, rehearsal={"targets": targets}))


def test_a_column_that_is_not_there(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(study.parent, rehearsal={"targets": "uploader", "repeats": 2})
    _, err = printed(capsys, "rehearse", study, code=1)
    assert "no column 'uploader'" in err


def test_auto_uses_what_the_rehearsal_recommends(study: Path) -> None:
    config = read_study(write(study.parent, selection={"rule": "auto", "budget": 6}))
    outcome = run_study(config, Silent())
    found = load_rehearsal(config)
    assert found is not None
    assert outcome.config.selection.rule == found.answer.recommended
    assert {row["rule"] for row in outcome.selected} == {found.answer.recommended}
    assert outcome.waiting_for == ""


def test_the_page_shows_promise_and_reality(study: Path) -> None:
    comparison = {"rules": [*RULES, "core-set"], "seeds": 2}
    rehearsal = {"rules": [*RULES, "core-set"], "repeats": 2, "budgets": [4, 8]}
    config = read_study(
        write(study.parent, selection={"rule": "auto", "budget": 6}, comparison=comparison, rehearsal=rehearsal)
    )
    outcome = run_study(config, Silent())
    summary, page = write_results(outcome.config, outcome, measure(outcome.config, outcome))
    found = load_rehearsal(config)
    assert found is not None
    assert summary["rehearsal"]["sentence"] == found.sentence()
    assert -1 <= summary["rehearsal"]["promise_correlation"] <= 1
    html = page.read_text()
    assert "What did the rehearsal promise?" in html
    assert "rank correlation of rehearsed and real gains" in html
    assert "What more labels would buy" in html
    table = list(csv.reader((config.out / "tables/rehearsal.csv").open()))
    assert {row[0] for row in table[1:]} == set(comparison["rules"])
    assert "in this study: Gain" in table[0]


def test_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = printed(capsys, "rehearse", study, "--json", "--repeats", 2)
    found = json.loads(out)
    assert found["answer"]["recommended"] in {*RULES, "random"}
    assert found["sentence"].endswith(".")


def test_when_time_is_up_it_says_so(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = printed(capsys, "rehearse", study, "--minutes", 0.0001, "--repeats", 8)
    assert "The time was up" in out


def test_wrong_options(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys, "rehearse", study, "--engine", "slurm", code=2)[1]
    assert "'local', 'ray'" in " ".join(said.replace("│", " ").split())
    assert "more than 0" in printed(capsys, "rehearse", study, "--minutes", 0, code=1)[1]


def one_data_set(study: Path) -> Path:
    manifest = study.parent / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",older,", ",old,"))
    return study


def test_a_source_of_one_study_foretells_nothing(study: Path) -> None:
    with pytest.raises(InputError, match=r"two or more data sets .* found old \(150 videos\).* Use facility-location"):
        rehearse_study(read_study(one_data_set(study)), Silent())


def test_auto_with_one_study_is_the_fallback_and_says_why(study: Path) -> None:
    one_data_set(study)
    config = read_study(write(study.parent, selection={"rule": "auto", "budget": 6}))
    outcome = run_study(config, Silent())
    assert outcome.config.selection.rule == "facility-location"
    (said,) = [note for note in outcome.notes if "rule auto is facility-location" in note]
    assert "parts of a single study do not foretell" in said
    assert load_rehearsal(config) is None


def test_what_an_earlier_kind_of_rehearsal_left_is_no_answer_and_in_nobody_s_way(study: Path) -> None:
    config = read_study(study)
    (config.out / "rehearsal").mkdir(parents=True)
    (config.out / "rehearsal" / "answer.json").write_text('{"answer": {"standings": [], "leader": "mds"}}')
    assert load_rehearsal(config) is None
    assert rehearse_study(config, Silent()) == load_rehearsal(config)


def test_precomputed_scores_are_rehearsed_by_a_stand_in(study: Path) -> None:
    rows = list(csv.DictReader((study.parent / "manifest.csv").open()))
    with (study.parent / "scores.csv").open("w") as file:
        csv.writer(file).writerows([["id", "score"], *([row["id"], row["mos"]] for row in rows)])
    quality = {"model": "precomputed", "predictions": "scores.csv", "features": "features.csv"}
    settings = {"repeats": 2}
    config = read_study(
        write(study.parent, quality=quality, selection={"rule": "auto", "budget": 6}, rehearsal=settings)
    )
    found = rehearse_study(config, Silent())
    assert "stands in" in found.proxy
    assert {each.rule for each in found.answer.standings} == {*EVERY_RULE} - {"random", "committee"}


def test_rules_that_the_model_does_not_allow(study: Path) -> None:
    rows = list(csv.DictReader((study.parent / "manifest.csv").open()))
    with (study.parent / "scores.csv").open("w") as file:
        csv.writer(file).writerows([["id", "score"], *([row["id"], row["mos"]] for row in rows)])
    quality = {"model": "precomputed", "predictions": "scores.csv", "features": "features.csv"}
    config = read_study(write(study.parent, quality=quality, rehearsal={"rules": ["committee"]}))
    with pytest.raises(ConfigError, match="committee need a model that can be refitted"):
        rehearse_study(config, Silent())


def test_another_budget_adds_to_what_is_there(study: Path) -> None:
    rehearse_study(read_study(study), Silent())
    found = rehearse_study(read_study(write(study.parent, selection={"budget": 5})), Silent())
    assert found.budget == 5


def test_a_budget_in_time_and_an_audit(study: Path) -> None:
    """Two minutes of videos of 10 seconds, a quarter of it for the audit: 9 videos."""
    rows = list(csv.reader((study.parent / "manifest.csv").open()))
    with (study.parent / "manifest.csv").open("w") as file:
        csv.writer(file).writerows([[*rows[0], "seconds"], *([*row, 10] for row in rows[1:])])
    found = rehearse_study(read_study(write(study.parent, selection={"budget": "2 min", "audit": 0.25})), Silent())
    assert found.asked == 9


def test_auto_needs_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "difficulty.csv").write_text("id,difficulty\na,1\nb,2\n")
    _, err = printed(capsys, "select", tmp_path / "difficulty.csv", "--rule", "auto", "--budget", 1, code=1)
    assert "needs a study" in err


def test_what_is_said(study: Path) -> None:
    found = rehearse_study(read_study(study), Silent()).answer
    own = {each.rule: each for each in found.standings}
    level = replace(found, recommended="facility-location", standings=[replace(own["mds"], struck=False)])
    targets = ["old", "older"]
    assert recommendation(level, targets) == (
        "Use facility-location: no rule is ahead of it beyond doubt with each of old, older as the target of the "
        "others."
    )
    harmful = replace(own["mds"], struck=True, gain=Interval(-0.05, -0.08, -0.02))
    assert recommendation(replace(level, standings=[harmful]), targets).endswith(
        "Struck out, behind random selection: mds (-0.050 [-0.080, -0.020])."
    )
    ahead = replace(found, recommended="k-means")
    assert recommendation(ahead, targets).startswith("Use k-means: ")
    assert "over facility-location" in recommendation(ahead, targets)
    assert recommendation(replace(found, recommended="random"), targets).startswith("Use random selection: ")


def test_another_fallback(study: Path) -> None:
    settings = {"rules": RULES, "repeats": 2, "fallback": "k-means"}
    found = rehearse_study(read_study(write(study.parent, rehearsal=settings)), Silent())
    assert found.answer.fallback == "k-means"

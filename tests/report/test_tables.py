"""Tables of a study that was made up, so that every figure can be had another way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.failure import evaluate_difficulty
from mdsvqa.report.failure import failure_table, pool_mos
from mdsvqa.report.figures import measure
from mdsvqa.report.tables import dataset_table, labels_spent, reliability_table
from mdsvqa.report.write import TABLES, report_data, rule_results, write_tables
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import StudyData
from mdsvqa.study.result import RuleRun, StudyResult
from mdsvqa.videos.video import Video

ROLES = ("train", "pool", "test", "test", "test")
DATASETS = ("old", "new", "new", "newer", "old")
EACH = 40


def make_config(tmp_path: Path, **selection: object) -> StudyConfig:
    settings = {"rule": "mds", "budget": 6, **selection}
    return StudyConfig.model_validate({"videos": tmp_path, "out": tmp_path / "out", "selection": settings})


def make_outcome(*, rated: bool = True, audit: int = 0, trials: bool = False) -> StudyResult:
    """Forty videos of each role: source, pool, two target test sets, the source's; seven of the pool are chosen."""
    rng = np.random.default_rng(0)
    mos = rng.uniform(1.5, 4.5, 5 * EACH)
    videos = [
        Video(
            f"v{i:03d}",
            None,
            DATASETS[i // EACH],
            ROLES[i // EACH],
            float(mos[i]) if rated or ROLES[i // EACH] != "pool" else None,
            0.8 if DATASETS[i // EACH] == "new" else None,
            16,
        )
        for i in range(5 * EACH)
    ]
    roles = np.arange(5 * EACH).reshape(5, EACH)
    nothing = np.zeros((5 * EACH, 2))
    content = Content.stack(list(rng.normal(size=(5 * EACH, 1, 2)).astype(np.float32)))
    dataset = np.repeat([0, 1, 1, 2, 0], EACH)
    target_test, source_test = roles[2:4].ravel(), roles[4]
    data = StudyData(videos, nothing, content, dataset, roles[0], roles[1], target_test, source_test, {}, {})
    before, after = (np.clip(mos + rng.normal(0, noise, len(mos)), 1, 5) for noise in (1.0, 0.3))
    chosen = [f"v{EACH + i:03d}" for i in range(0, 21, 3)]
    selected = [
        {
            "id": video,
            "rank": rank,
            "round": 1,
            "difficulty": 3.0,
            "diversity": None,
            "rule": "audit" if rank <= audit else "mds",
        }
        for rank, video in enumerate(chosen, 1)
    ]
    runs = [
        RuleRun(rule, seed, chosen, *(mos[role] + rng.normal(0, 0.5, len(role)) for role in (target_test, source_test)))
        for rule in ("random", "mds", "everything")
        for seed in range(2)
        if trials
    ]
    audited = {video: float(mos[int(video[1:])]) for video in chosen[:audit]}
    config = StudyConfig(videos=Path())
    return StudyResult(
        config, data, "statistical", selected, [before, after], rng.uniform(1, 5, EACH), rule_runs=runs, audit=audited
    )


def test_each_data_set_has_its_own_figures_and_the_mean_is_theirs(tmp_path: Path) -> None:
    result = make_outcome()
    table = dataset_table(result, measure(make_config(tmp_path), result), 0)
    assert table is not None
    assert table.groups == [("new (target)", 2), ("newer (target)", 2), ("old (source)", 2), ("mean", 2)]
    assert [row.label for row in table.rows] == ["base, no new labels", "Round 1"]
    mos = result.data.mos(np.arange(5 * EACH))
    for row, scores in zip(table.rows, result.scores, strict=True):
        values = [cell.value for cell in row.cells]
        parts = [slice(start * EACH, (start + 1) * EACH) for start in (2, 3, 4)]
        assert values[0:6:2] == pytest.approx([srcc(scores[part], mos[part]) for part in parts])
        assert values[6] == pytest.approx(np.mean(values[0:6:2]))
        assert values[7] == pytest.approx(np.mean(values[1:6:2]))


def test_rules_are_compared_where_there_is_a_comparison(tmp_path: Path) -> None:
    result = make_outcome(trials=True)
    table = dataset_table(result, measure(make_config(tmp_path), result), 0)
    assert table is not None
    assert [row.label for row in table.rows] == ["base, no new labels", "random", "MDS", "whole pool labeled"]
    scores = [trial.source_scores for trial in result.rule_runs if trial.rule == "mds"]
    mos = result.data.mos(result.data.source_test)
    assert table.rows[2].cells[4].value == pytest.approx(np.mean([srcc(score, mos) for score in scores]))


def test_labels_of_a_rule_are_those_that_its_trials_spent_without_the_audit(tmp_path: Path) -> None:
    result = make_outcome(trials=True, audit=3)
    trials = [replace(t, selected=t.selected[3:]) if t.rule != "everything" else t for t in result.rule_runs]
    result = replace(
        result, rule_runs=[replace(t, selected=range(31)) if t.rule == "everything" else t for t in trials]
    )
    config = make_config(tmp_path)
    rules = {rule.rule: rule.labels for rule in rule_results(result, measure(config, result))}
    assert rules == {"base": 0, "random": 4, "mds": 4, "all": 31}


def test_failures_of_the_chosen_stand_beside_those_of_the_pool_and_the_control(tmp_path: Path) -> None:
    result = make_outcome()
    config = make_config(tmp_path)
    config = config.model_copy(update={"difficulty": config.difficulty.model_copy(update={"error": "raw"})})
    table, sentences = failure_table(config, result, pool_mos(config, result.data))
    assert table is not None
    rows = {row.label: row.cells for row in table.rows}
    data = result.data
    score, mos = result.scores[0][data.pool], data.mos(data.pool)
    chosen = np.isin(data.ids(data.pool), [row["id"] for row in result.selected])
    error = np.abs(score - mos)
    assert rows["whole pool"][0].value == pytest.approx(srcc(score, mos))
    assert rows["whole pool"][2].value == pytest.approx(error.mean())
    assert rows["chosen by MDS"][0].value == pytest.approx(srcc(score[chosen], mos[chosen]))
    assert rows["chosen by MDS"][2].value == pytest.approx(error[chosen].mean())
    assert rows["chosen by MDS"][3].value == pytest.approx(error[chosen].mean() / error.mean())
    assert rows["chosen by MDS"][5].value == pytest.approx(score[chosen].mean())
    assert rows["lowest f"][2].value == pytest.approx(error[np.argsort(score)[:7]].mean())
    by_g = evaluate_difficulty(score, mos, error, result.difficulty, 7, draws=200).figures
    assert rows["most difficult"][2] == by_g["chosen_error"]
    assert rows["control of these"][0] == by_g["matched_srcc"]
    assert f"{by_g['srcc'].value:.3f}".replace("-", "−") in sentences[1]


def test_without_the_pools_mos_the_rated_videos_and_the_audit_stand_alone(tmp_path: Path) -> None:
    result = make_outcome(rated=False, audit=0)
    config = make_config(tmp_path).model_copy(update={"labels": tmp_path / "labels.csv"})
    assert failure_table(config, result, pool_mos(config, result.data)) == (None, [])
    known = {row["id"]: 2.0 + 0.25 * place for place, row in enumerate(result.selected)}
    (tmp_path / "labels.csv").write_text("id,mos\n" + "".join(f"{video},{mos}\n" for video, mos in known.items()))
    table, sentences = failure_table(config, result, pool_mos(config, result.data))
    assert table is not None
    (row,) = table.rows
    assert [column.name for column in table.columns] == ["SRCC", "PLCC", "mean", "mean f"]
    score = np.array([result.scores[0][int(video[1:])] for video in known])
    mos = np.array(list(known.values()))
    assert row.cells[0].value == pytest.approx(srcc(score, mos))
    assert row.cells[2].value == pytest.approx(np.abs(score - mos).mean())
    assert len(sentences) == 1


def test_reliability_is_told_where_ratings_are_known() -> None:
    data = make_outcome().data
    table = reliability_table(data, 0)
    assert table is not None
    assert [row.label for row in table.rows] == ["new, target test", "new, pool"]
    videos, ratings, middle, largest, _, plcc = table.rows[0].cells
    assert (videos, ratings) == (EACH, 16)
    assert middle == largest == pytest.approx(1.96 * 0.8 / 4)
    variance = data.mos(data.target_test[:EACH]).var(ddof=1)
    assert plcc.value == pytest.approx(np.sqrt(1 - 0.8**2 / 16 / variance))


def test_the_audit_has_a_table_and_is_marked(tmp_path: Path) -> None:
    result, config = make_outcome(audit=5), make_config(tmp_path)
    data = report_data(config, result, measure(config, result))
    base, after = data.tables["audit"].rows
    places = [int(video[1:]) for video in result.audit]
    mos = result.data.mos(np.array(places))
    assert base.cells[1].value == pytest.approx(srcc(result.scores[0][places], mos))
    assert (base.cells[0], after.cells[0]) == (0, 7)
    assert sum(point.audit for point in data.pool) == 5
    assert labels_spent(result) == [0, 7]
    assert [turn.labels for turn in data.rounds] == [0, 7]
    # The audit is no part of what the rule chose; two videos have no correlation.
    assert "2 labels chosen by MDS" in data.headline[1]
    chosen = next(row for row in data.tables["failure"].rows if row.label == "chosen by MDS")
    assert chosen.note == "2 videos"
    assert chosen.cells[0] is None


def test_pairs_of_test_videos_stay_within_a_data_set(tmp_path: Path) -> None:
    result, config = make_outcome(), make_config(tmp_path)
    data = report_data(config, result, measure(config, result))
    dataset = {video.id: video.dataset for video in result.data.videos}
    assert 1 <= len(data.base_sees_none) <= 4
    for pair in data.base_sees_none:
        assert dataset[pair.better.id] == dataset[pair.worse.id]
        assert pair.better.after > pair.worse.after
        assert pair.better.before == pytest.approx(pair.worse.before, abs=0.2)
        assert pair.better.thumbnail is None


def test_tables_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    result, config = make_outcome(trials=True), make_config(tmp_path)
    tables = report_data(config, result, measure(config, result)).tables
    assert set(tables) <= set(TABLES)
    write_tables(tmp_path / "tables", tables)
    assert {path.stem for path in (tmp_path / "tables").glob("*.csv")} == set(tables)
    (tmp_path / "tables" / "own.csv").write_text("mine")
    write_tables(tmp_path / "tables", {"rounds": tables["rounds"]})
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"rounds.csv", "rounds.tex", "own.csv"}

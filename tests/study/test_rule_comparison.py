"""The comparison of rules on arrays: the same part of the pool for all, and one does not change another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arrays import config, model_of, pool_of, study
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.settings import FinetuningSettings, QualitySettings, VlmFinetuning
from mdsvqa.runtime.run import Run
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Limits
from mdsvqa.selection.catalogue import EVERYTHING
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study import rule_comparison
from mdsvqa.study.config import ComparisonSettings, RehearsalSettings, StudyConfig
from mdsvqa.study.labeling import LabelingSettings
from mdsvqa.study.result import RuleRun
from mdsvqa.study.rule_comparison import ComparisonPlan, compare_rules, runs_of_seed

RULES = ("mds", "random", "difficulty", "core-set", "k-means")


def plan(**settings: object) -> ComparisonPlan:
    data = study()
    return ComparisonPlan(model_of(data), data, pool_of(data), Budget(4, Limits()), config(**settings))  # type: ignore[arg-type]


def assert_same(first: RuleRun, second: RuleRun) -> None:
    assert (first.rule, first.seed, tuple(first.selected)) == (second.rule, second.seed, tuple(second.selected))
    np.testing.assert_array_equal(first.target_scores, second.target_scores)
    np.testing.assert_array_equal(first.source_scores, second.source_scores)


def test_runs_are_deterministic_and_independent_of_each_other() -> None:
    shared, rules = plan(rounds=2), [*RULES, EVERYTHING]
    together = {run.rule: run for run in runs_of_seed(shared, rules, seed=5)}
    assert list(together) == rules
    for run in runs_of_seed(shared, rules[::-1], seed=5):
        assert_same(run, together[run.rule])
    for rule in rules:
        assert_same(runs_of_seed(shared, [rule], seed=5)[0], together[rule])


def test_all_rules_choose_from_the_same_part_of_the_pool() -> None:
    everything, *others = runs_of_seed(plan(pool_share=0.5), [EVERYTHING, "random", "core-set"], seed=1)
    assert len(everything.selected) == 15
    for run in others:
        assert len(run.selected) == 4
        assert set(run.selected) < set(everything.selected)
        assert run.target_scores.shape == run.source_scores.shape == (40,)


def test_another_seed_is_another_part() -> None:
    def part(config_seed: int, seed: int) -> frozenset[str]:
        return frozenset(runs_of_seed(plan(pool_share=0.5, seed=config_seed), [EVERYTHING], seed)[0].selected)

    assert len({part(0, 0), part(0, 1), part(1, 0)}) == 3


def test_a_part_holds_the_budget_at_least() -> None:
    shared = replace(plan(pool_share=0.01), budget=Budget(6, Limits()))
    assert len(runs_of_seed(shared, ["random"], seed=0)[0].selected) == 6


def test_a_difficulty_that_is_given_is_that_of_the_first_round() -> None:
    given = np.linspace(0, 1, 30)
    chosen = runs_of_seed(replace(plan(rule="difficulty", pool_share=1.0), difficulty=given), ["difficulty"], 0)[0]
    assert list(chosen.selected) == ["v29", "v28", "v27", "v26"]


def test_nothing_but_the_folder_of_a_run_is_written_to(tmp_path: Path) -> None:
    runs_of_seed(plan(), ["random"], 0)
    assert list(tmp_path.iterdir()) == []


def compared(settings: StudyConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[RuleRun], int]:
    """The runs of a comparison in a folder, and how many were done now."""
    data, done = study(), []

    def counted(plan: ComparisonPlan, rules: Sequence[str], seed: int, run: Run | None = None) -> list[RuleRun]:
        done.extend(rules)
        return runs_of_seed(plan, rules, seed, run)

    monkeypatch.setattr(rule_comparison, "runs_of_seed", counted)
    return compare_rules(settings, data, pool_of(data), model_of(data), np.zeros(30), Run(folder)), len(done)


def test_a_comparison_is_made_anew_for_what_it_depends_on_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(rules: Sequence[str] = ("core-set",), seeds: int = 2, **changed: object) -> StudyConfig:
        comparison = ComparisonSettings(rules=tuple(rules), seeds=seeds)
        return config(rule="mds").model_copy(update={"comparison": comparison, **changed})

    first, done = compared(settings(), tmp_path, monkeypatch)
    # Random, core-set and everything.
    assert (len(first), done) == (6, 6)
    others = {
        "rehearsal": RehearsalSettings(repeats=3),
        "quality": QualitySettings(batch_gb=2.0, frames=3),
        "labeling": LabelingSettings(),
        "title": "Another",
        "videos": Path("moved.csv"),
        "selection": SelectionSettings(rule="k-means"),
        "finetuning": FinetuningSettings(vlm=VlmFinetuning(epochs=3)),
    }
    for name, value in others.items():
        again, done = compared(settings(**{name: value}), tmp_path, monkeypatch)
        assert done == 0, name
        for one, other in zip(first, again, strict=True):
            assert_same(one, other)
    # More of them go on with what is there, and fewer leave the rest alone.
    more, done = compared(settings(["core-set", "k-means"], seeds=3), tmp_path, monkeypatch)
    assert (len(more), done) == (12, 6)
    assert {(run.rule, run.seed) for run in more} == {
        (rule, seed) for rule in ("random", "core-set", "k-means", EVERYTHING) for seed in range(3)
    }
    fewer, done = compared(settings(), tmp_path, monkeypatch)
    assert done == 0
    for one, other in zip(first, fewer, strict=True):
        assert_same(one, other)
    changes = {
        "rounds": 2,
        "seed": 1,
        "selection": SelectionSettings(features="quality"),
        "difficulty": DifficultySettings(folds=3, committee=4, steps=30),
        "finetuning": FinetuningSettings(method="ranking"),
    }
    for name, value in changes.items():
        assert compared(settings(**{name: value}), tmp_path, monkeypatch)[1] == 6, name

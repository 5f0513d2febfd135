"""The comparison of rules on arrays: the same part of the pool for all, and one does not change another."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from arrays import config, model_of, pool_of, study
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Limits
from mdsvqa.selection.catalogue import EVERYTHING
from mdsvqa.study.result import RuleRun
from mdsvqa.study.rule_comparison import ComparisonPlan, runs_of_seed

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

"""Page, summary and tables of a study, to disk."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import mdsvqa
from mdsvqa.evaluation.rule_summary import summarise_rules
from mdsvqa.report.failure import failure_table, pool_mos
from mdsvqa.report.figures import FEWEST, Figures, measure
from mdsvqa.report.headline import next_step
from mdsvqa.report.intervals import predicted_intervals
from mdsvqa.report.page.data import Reading, ReportData, RoundResult, RuleResult, ScatterPoint, Undecoded
from mdsvqa.report.page.export import csv_text, latex_text
from mdsvqa.report.page.page import render_page
from mdsvqa.report.page.tables import Table
from mdsvqa.report.pictures import pool_points, video_pairs
from mdsvqa.report.plots import write_figures
from mdsvqa.report.rehearsal import budget_points, budget_sentence, rehearsal_sentences, rehearsal_table
from mdsvqa.report.sentences import findings
from mdsvqa.report.summary import summarise
from mdsvqa.report.tables import (
    dataset_table,
    known_half_widths,
    labels_spent,
    reliability_table,
    rounds_table,
    rules_table,
)
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.results import json_text
from mdsvqa.selection.catalogue import BASE, EVERYTHING, label_of
from mdsvqa.selection.certificate import read_certificate
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.rehearsal.run import load_rehearsal
from mdsvqa.study.result import StudyResult

# For those that are compared most; docs/rules.md has all.
WHAT_RULES_DO = {
    "random": "videos of the pool by chance",
    "mds": "the most difficult videos for f that also differ from each other",
    "difficulty": "the most difficult videos for f, whatever they show",
    "facility-location": "videos to one of which every video of the pool is similar",
    "difficulty-facility-location": "the same, where difficult videos count more",
    "k-means": "one video of each group of similar ones",
    "core-set": "videos that leave none of the pool far from all of them",
    "v-optimal": "videos whose labels tell a model most about the rest of the pool",
}
TABLES = ("rules", "datasets", "rounds", "failure", "audit", "reliability", "rehearsal")


def rule_results(result: StudyResult, figures: Figures) -> list[RuleResult]:
    """The comparison as the page shows it."""
    results = []
    for rule, (target, source) in figures.rules.items():
        results.append(
            RuleResult(
                "all" if rule == EVERYTHING else rule,
                label_of(rule),
                target.metrics,
                None if source is None else source.metrics["srcc"],
                target.over_random,
                target.over_base,
                target.seeds,
                _labels(result, rule),
                target.p_over_random,
            )
        )
    return results


def _labels(result: StudyResult, rule: str) -> int:
    """Labels that a rule of the comparison spent, in the mean of its trials."""
    spent = [len(trial.selected) for trial in result.rule_runs if trial.rule == rule]
    return round(float(np.mean(spent))) if spent else 0


def report_data(config: StudyConfig, result: StudyResult, figures: Figures, commands: Sequence[str] = ()) -> ReportData:
    """Everything that the page of a study shows."""
    data = result.data
    test = data.target_test
    before, after = result.scores[0], result.scores[-1]
    panels = list(figures.target.values())
    points = [
        ScatterPoint(data.videos[int(i)].id, float(data.videos[int(i)].mos or 0), before[i], after[i])
        for i in test
        if len(result.scores) > 1
    ]
    rules = rule_results(result, figures)
    mos = pool_mos(config, data)
    failure, failure_said = failure_table(config, result, mos)
    intervals, intervals_said = predicted_intervals(result, mos)
    base_sees_none, tuned_sees_none = video_pairs(config, result)
    rehearsal, by_rule = load_rehearsal(config), figures.on_target
    budgets = [] if rehearsal is None else budget_points(rehearsal)
    extra = [failure] if rehearsal is None else [failure, rehearsal_table(rehearsal, by_rule)]
    return ReportData(
        title=config.title,
        simulated=config.simulated,
        headline=findings(config, result, figures),
        next_step=next_step(config, result, figures),
        made=f"mdsvqa {mdsvqa.__version__}, {datetime.now().astimezone():%Y-%m-%d}",
        matters=_matters(config),
        facts=_facts(config, result),
        rules=rules,
        rules_said=_rules_said(figures),
        pool=pool_points(config, result, mos),
        scatter=points,
        scatter_before=panels[0].metrics if points else {},
        scatter_after=panels[-1].metrics if points else {},
        readings=readings_of(config, result),
        failures=[Undecoded(video, reason) for video, reason in data.failures.items()],
        settings=config.model_dump(mode="json", exclude={"videos", "out", "title", "workers", "engine", "labels"}),
        notes=[*_notes(config), *result.notes],
        rounds=[
            RoundResult(turn, spent, panel.metrics["srcc"])
            for (turn, panel), spent in zip(enumerate(panels), labels_spent(result), strict=False)
        ],
        tables=_tables(config, result, figures, rules, extra),
        failure=failure_said,
        rehearsal=[] if rehearsal is None else rehearsal_sentences(rehearsal, by_rule),
        budgets=budgets,
        budgets_said=budget_sentence(budgets),
        base_sees_none=base_sees_none,
        tuned_sees_none=tuned_sees_none,
        intervals=intervals,
        intervals_said=intervals_said,
        half_widths=known_half_widths(data).tolist(),
        commands=commands,
    )


def _tables(
    config: StudyConfig,
    result: StudyResult,
    figures: Figures,
    rules: Sequence[RuleResult],
    more: Sequence[Table | None],
) -> dict[str, Table]:
    on_test = "After each round, on the target test set, with 95% intervals"
    on_audit = f"{len(result.audit)} pool videos drawn at random, with 95% intervals"
    found = (
        rules_table(rules),
        dataset_table(result, figures, config.seed),
        rounds_table(result, figures.target, "rounds", on_test),
        *more,
        rounds_table(result, figures.audit, "audit", on_audit),
        reliability_table(result.data, config.seed),
    )
    return {table.name: table for table in found if table is not None}


def _facts(config: StudyConfig, result: StudyResult) -> dict[str, str]:
    data = result.data
    facts = {
        "Source videos with labels": f"{len(data.source)}",
        "Pool": f"{len(data.pool)} videos",
        "Budget, in videos to label": f"{config.selection.budget}",
        "Quality model": result.model,
        "Target test videos": f"{len(data.target_test)}",
        "Source test videos": f"{len(data.source_test)}",
    }
    if config.comparison.rules:
        facts["Runs of each rule"] = f"{config.comparison.seeds}"
    return facts


def _rules_said(figures: Figures) -> str:
    """What the compared rules do, for a reader who never heard of them."""
    known = [(label_of(rule), WHAT_RULES_DO[rule]) for rule in figures.rules if rule in WHAT_RULES_DO]
    return " ".join(f"{label[:1].upper() + label[1:]}: {what}." for label, what in known)


def _matters(config: StudyConfig) -> dict[str, str]:
    """The settings that a reader asks for first."""
    return {
        "videos": str(config.videos),
        "quality.model": config.quality.model,
        "selection.rule": config.selection.rule,
        "selection.budget": str(config.selection.budget),
        "rounds": str(config.rounds),
        "difficulty.predictor": config.difficulty.predictor,
        "content.encoder": config.content.encoder,
        "seed": str(config.seed),
    }


def _notes(config: StudyConfig) -> list[str]:
    notes = [
        f"Choice of round {turn}: {certificate.sentence()}"
        for turn in range(1, config.rounds + 1)
        if (certificate := read_certificate(config.out / f"round-{turn}" / "selection")) is not None
    ]
    if config.comparison.rules:
        notes.append(
            f"Comparison: each seed offers every rule the same random {config.comparison.pool_share:.0%} of the pool. "
            "Intervals, 95%, count seeds, test videos and both together once each; p-values of rules against random "
            "selection are adjusted for how many rules are compared (Holm)."
        )
    if config.simulated:
        notes.append("The videos are made up and their MOS simulated; the figures say nothing about real content.")
    return notes


def readings_of(config: StudyConfig, result: StudyResult) -> list[Reading]:
    """How the ways to read the base model's score agree with MOS, each on the test videos that it has a score of."""
    data, found = result.data, []
    for name, scores in result.readings.items():
        given = [role[np.isfinite(scores[role])] for role in (data.target_test, data.source_test)]
        both = np.concatenate(given)
        sides = [
            summarise_rules({BASE: scores[role][None]}, data.mos(role), data.dataset[role], seed=config.seed)
            if len(role) >= FEWEST
            else {}
            for role in given
        ]
        target, source = (side[BASE].metrics["srcc"] if side else None for side in sides)
        found.append(Reading(name, target, source, len(both), len(np.unique(scores[both]))))
    return found


def write_results(
    config: StudyConfig, result: StudyResult, figures: Figures, commands: Sequence[str] = ()
) -> tuple[dict[str, Any], Path]:
    """Writes `summary.json`, `report.html` the tables of the page as CSV and LaTeX, and its charts
    as PNG and SVG, into the study's folder.

    Returns:
        The summary and the path of the page.
    """
    summary = summarise(config, result, figures)
    write_atomically(config.out / "summary.json", (json_text(summary, indent=2) + "\n").encode())
    data = report_data(config, result, figures, commands)
    write_tables(config.out / "tables", data.tables)
    write_figures(config.out / "figures", data)
    page = config.out / "report.html"
    write_atomically(page, render_page(data).encode())
    return summary, page


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Writes tables as CSV and LaTeX, and removes those of an earlier run that there are no figures for any more."""
    folder.mkdir(exist_ok=True)
    for name in TABLES:
        for ending, text_of in (("csv", csv_text), ("tex", latex_text)):
            path = folder / f"{name}.{ending}"
            if name in tables:
                write_atomically(path, text_of(tables[name]).encode("utf-8", "replace"))
            else:
                path.unlink(missing_ok=True)


def write_report(result: StudyResult, figures: Figures | None = None, commands: Sequence[str] = ()) -> Path:
    """Writes page, summary and tables of a study into its folder.

    Args:
        result: as `run` returns it.
        figures: measured on it; measured here without.
        commands: that made it, for its reader.

    Returns:
        The page.
    """
    return write_results(result.config, result, figures or measure(result.config, result), commands)[1]

"""The rehearsal in a study's results: what it promised, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.page.data import BudgetPoint
from mdsvqa.report.page.tables import Column, Row, Table
from mdsvqa.selection.catalogue import BASE, EVERYTHING, label_of
from mdsvqa.study.rehearsal.repeats import RANDOM
from mdsvqa.study.rehearsal.run import Rehearsal

# Rules that a rank correlation needs to say anything.
FEWEST = 4


def rehearsal_table(found: Rehearsal, real: Mapping[str, RuleSummary]) -> Table:
    """Every contender: what it gained in the rehearsal, and in the study's comparison where there is one.

    Args:
        found: by the rehearsal.
        real: summaries on the target test set, by rule.
    """
    columns = (
        Column("Gain", "rehearsed", signed=True),
        Column(f"Over {label_of(found.answer.fallback)}", "rehearsed", signed=True),
        Column("Source SRCC", "rehearsed"),
        Column("Repeats", "rehearsed"),
        *((Column("Gain", "in this study", signed=True),) if real else ()),
    )
    gains = real_gains(found, real)
    rows = tuple(
        Row(
            each.rule,
            (
                *(each.gain, each.over_fallback, each.source_srcc, each.repeats),
                *((gains.get(each.rule),) if real else ()),
            ),
        )
        for each in found.answer.standings
    )
    caption = f"Gain in target SRCC over random selection with {found.budget} labels, with 95% intervals"
    return Table("rehearsal", caption, "Rule", columns, rows)


def real_gains(found: Rehearsal, real: Mapping[str, RuleSummary]) -> dict[str, Any]:
    """Gains over random selection in the study, of the contenders that are a rule of its comparison."""
    return {
        each.rule: real[each.rule].over_random
        for each in found.answer.standings
        if each.rule in real and each.rule not in (BASE, EVERYTHING, RANDOM)
    }


def rehearsal_sentences(found: Rehearsal, real: Mapping[str, RuleSummary]) -> list[str]:
    """The recommendation, and how its promises were kept."""
    sentences = [found.sentence()]
    gains = {name: gain for name, gain in real_gains(found, real).items() if gain is not None}
    promised = next((each for each in found.answer.standings if each.rule == found.answer.recommended), None)
    if promised is not None and promised.rule in gains:
        sentences.append(
            f"In this study {promised.rule} gained {gains[promised.rule]:+.3f} SRCC over random selection, where the "
            f"rehearsal found {promised.gain.value:+.3f}."
        )
    correlation = promise_correlation(found, real)
    if correlation is not None:
        sentences.append(
            f"Over {len(gains)} rules, the rank correlation of rehearsed and real gains is {correlation:+.2f}."
        )
    return [*sentences, *found.notes()]


def promise_correlation(found: Rehearsal, real: Mapping[str, RuleSummary]) -> float | None:
    """SRCC over rules of the rehearsed gains with those in the study; None with fewer than four of them."""
    gains = {name: gain for name, gain in real_gains(found, real).items() if gain is not None}
    if len(gains) < FEWEST:
        return None
    promised = {each.rule: each.gain.value for each in found.answer.standings}
    value = srcc(np.array([promised[name] for name in gains]), np.array([gain.value for gain in gains.values()]))
    return None if np.isnan(value) else value


def rehearsal_json(found: Rehearsal | None, real: Mapping[str, RuleSummary]) -> dict[str, Any] | None:
    """The rehearsal in a study's summary."""
    if found is None:
        return None
    return {
        "recommended": found.answer.recommended,
        "fallback": found.answer.fallback,
        "struck_out": [each.rule for each in found.answer.struck],
        "gains": {each.rule: each.gain.value for each in found.answer.standings},
        "promise_correlation": promise_correlation(found, real),
        "sentence": found.sentence(),
    }


def budget_points(found: Rehearsal) -> list[BudgetPoint]:
    """The curve as the page draws it: the fallback, random selection, and the two bounds."""
    answer = found.answer
    shown = {answer.fallback: "recommended", RANDOM: "random"}
    points = [
        BudgetPoint(point.contender, shown.get(point.contender, "other"), point.labels, point.srcc)
        for point in found.curve
        if point.contender in shown
    ]
    if not points:
        return []
    starts = [BudgetPoint(name, kind, 0, answer.base_srcc) for name, kind in shown.items()]
    return [
        BudgetPoint("no new labels", "base", 0, answer.base_srcc),
        *starts,
        *points,
        BudgetPoint("everything labeled", "everything", 0, answer.everything_srcc),
    ]


def budget_sentence(points: Sequence[BudgetPoint]) -> str:
    """Whether labels hurt in the rehearsal, at which budgets, and why; empty where they never did."""
    base = next((point.srcc for point in points if point.kind == "base"), None)
    if base is None:
        return ""
    hurt = sorted({p.labels for p in points if p.kind == "recommended" and p.labels and p.srcc < base})
    if not hurt:
        return ""
    return (
        f"With {', '.join(map(str, hurt))} new labels the model got worse than with none: so few labels come from a "
        "study of their own, and what they say of its scale and taste is mostly chance, while the model moves towards "
        "it. Spend more at once, or none."
    )

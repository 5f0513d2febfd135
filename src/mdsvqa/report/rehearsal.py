"""The rehearsal in a study's results: what it promised, and what came of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.page.data import BudgetPoint
from mdsvqa.report.page.tables import Column, Row, Table
from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.rehearsal.contenders import RANDOM
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
        Column("Expected", "rehearsed", signed=True),
        Column("Random as good", "rehearsed", decimals=2),
        Column("Source SRCC", "rehearsed"),
        Column("Won", "pseudo-targets"),
        Column("Lost", "pseudo-targets"),
        Column("Repeats", "pseudo-targets"),
        *((Column("Gain", "in this study", signed=True),) if real else ()),
    )
    gains = real_gains(found, real)
    rows = tuple(
        Row(
            each.contender,
            (
                *(each.gain, each.expected, each.chance, each.source_srcc),
                *(each.wins, each.losses, each.repeats),
                *((gains.get(each.contender),) if real else ()),
            ),
        )
        for each in found.answer.standings
    )
    caption = f"Gain in target SRCC over random selection with {found.budget} labels, with 95% intervals"
    return Table("rehearsal", caption, "Rule", columns, rows)


def real_gains(found: Rehearsal, real: Mapping[str, RuleSummary]) -> dict[str, Any]:
    """Gains over random selection in the study, of the contenders that are a rule of its comparison."""
    return {
        each.contender: real[each.contender].over_random
        for each in found.answer.standings
        if each.contender in real and each.contender not in (BASE, EVERYTHING, RANDOM)
    }


def rehearsal_sentences(found: Rehearsal, real: Mapping[str, RuleSummary]) -> list[str]:
    """The recommendation, and how its promises were kept."""
    sentences = [found.sentence()]
    gains = {name: gain for name, gain in real_gains(found, real).items() if gain is not None}
    promised = next((each for each in found.answer.standings if each.contender == found.recommended), None)
    if promised is not None and promised.contender in gains:
        sentences.append(
            f"In this study {promised.contender} gained {gains[promised.contender]:+.3f} SRCC over random selection; "
            f"{promised.expected:+.3f} was to be expected."
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
    promised = {each.contender: each.gain.value for each in found.answer.standings}
    value = srcc(np.array([promised[name] for name in gains]), np.array([gain.value for gain in gains.values()]))
    return None if np.isnan(value) else value


def rehearsal_json(found: Rehearsal | None, real: Mapping[str, RuleSummary]) -> dict[str, Any] | None:
    """The rehearsal in a study's summary."""
    if found is None:
        return None
    best = found.answer.best
    return {
        "recommended": found.recommended,
        "leader": found.answer.leader,
        "distinguishable": found.answer.distinguishable,
        "p_value": found.answer.p_value,
        "expected_gain": best.expected if best else 0.0,
        "chance_random_as_good": best.chance if best else 0.5,
        "promise_correlation": promise_correlation(found, real),
        "sentence": found.sentence(),
    }


def budget_points(found: Rehearsal) -> list[BudgetPoint]:
    """The curve as the page draws it: the recommended rule, random selection, and the two bounds."""
    answer = found.answer
    tried = {point.contender for point in found.curve}
    line = found.recommended if found.recommended in tried else answer.leader
    shown = {line: "recommended", RANDOM: "random"}
    points = [
        BudgetPoint(point.contender, shown.get(point.contender, "other"), point.labels, point.srcc)
        for point in found.curve
        if point.contender in shown
    ]
    if not points:
        return []
    return [
        BudgetPoint("no new labels", "base", 0, answer.base_srcc),
        *points,
        BudgetPoint("everything labeled", "everything", 0, answer.everything_srcc),
    ]

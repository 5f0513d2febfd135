"""The tables of a study, as the paper has them and more: failure identification, data sets, rounds, audit, labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mdsvqa.evaluation.metrics import METRICS
from mdsvqa.evaluation.reliability import ceiling, half_width
from mdsvqa.evaluation.rule_summary import RuleSummary, summarise_rules
from mdsvqa.report.figures import FEWEST, Figures
from mdsvqa.report.page.data import RuleResult
from mdsvqa.report.page.tables import Column, Row, Table
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.catalogue import BASE, label_of
from mdsvqa.study.data import StudyData
from mdsvqa.study.result import StudyResult

# Of the bootstrap behind a mean over data sets, which nothing is concluded from.
DRAWS = 500


def rules_table(rules: Sequence[RuleResult]) -> Table | None:
    """Every metric of every rule on the target test set."""
    if not rules:
        return None
    columns = (
        *(Column(metric.label) for metric in METRICS.values()),
        Column("SRCC over random", signed=True),
        Column("p (Holm)"),
        Column("SRCC over base", signed=True),
        Column("Source SRCC"),
        Column("Labels"),
        Column("Runs"),
    )
    rows = tuple(
        Row(
            rule.label,
            (
                *(rule.target.get(name) for name in METRICS),
                *(rule.gain_over_random, rule.p_over_random, rule.gain_over_base),
                *(rule.source_srcc, rule.labels, rule.seeds),
            ),
        )
        for rule in rules
    )
    return Table("rules", "Every rule on the target test set, with 95% intervals", "Rule", columns, rows)


def dataset_table(result: StudyResult, figures: Figures, seed: int) -> Table | None:
    """SRCC and PLCC of every rule, or of the model after every round, on each data set, and their mean.

    Source: Zou et al. (2026), the table after active fine-tuning.
    """
    data = result.data
    roles = (data.target_test, data.source_test)
    target, source = (_model_scores(result, role, side) for role, side in zip(roles, ("target", "source"), strict=True))
    if len(next(iter(target.values()))) == 0 or len(result.scores) + len(result.rule_runs) < 2:
        return None
    tests = np.concatenate(roles)
    scores = {name: np.hstack([target[name], source[name]]) for name in target}
    sets = [
        (f"{name} ({side})", np.flatnonzero(dataset_names(data, tests) == name))
        for side, role in zip(("target", "source"), roles, strict=True)
        for name in dict.fromkeys(dataset_names(data, role))
    ]
    sets = [(name, members) for name, members in sets if len(members) >= FEWEST]
    summaries = [_summaries(scores, data, tests, [members], seed) for _, members in sets]
    groups = [name for name, _ in sets]
    if len(sets) > 1:
        groups.append("mean")
        summaries.append(_summaries(scores, data, tests, [members for _, members in sets], seed))
    if not sets:
        return None
    columns = tuple(Column(metric, group) for group in groups for metric in ("SRCC", "PLCC"))
    rows = tuple(
        Row(
            label_of(name),
            tuple(each[name].metrics[metric] for each in summaries for metric in ("srcc", "plcc")),
        )
        for name in scores
    )
    first = "Rule" if figures.rules else "Model"
    return Table("datasets", "After fine-tuning, by data set, with 95% intervals", first, columns, rows)


def _model_scores(result: StudyResult, role: Ints, side: str) -> dict[str, Floats]:
    """Scores of the models to compare on a test set, each of shape (seeds, videos)."""
    names = [BASE, *(f"round {turn}" for turn in range(1, len(result.scores)))]
    own = {name: score[role][None, :] for name, score in zip(names, result.scores, strict=True)}
    if not result.rule_runs:
        return own
    rules = dict.fromkeys(trial.rule for trial in result.rule_runs)
    of_rule = {r: [getattr(t, f"{side}_scores") for t in result.rule_runs if t.rule == r] for r in rules}
    return {BASE: own[BASE], **{rule: np.stack(scores) for rule, scores in of_rule.items()}}


def _summaries(
    scores: Mapping[str, Floats],
    data: StudyData,
    tests: Ints,
    sets: Sequence[Ints],
    seed: int,
) -> dict[str, RuleSummary]:
    """Means over some sets of test videos, given by their places in `tests`."""
    places = np.concatenate(sets)
    codes = np.repeat(np.arange(len(sets)), [len(members) for members in sets])
    draws = DRAWS if len(sets) > 1 else 1000
    picked = {name: models[:, places] for name, models in scores.items()}
    return summarise_rules(picked, data.mos(tests[places]), codes, draws=draws, seed=seed)


def dataset_names(data: StudyData, role: Ints) -> NDArray[np.str_]:
    """The data set of each video in a role, shape (n,)."""
    return np.array([data.videos[int(index)].dataset for index in role], dtype=np.str_)


def labels_spent(result: StudyResult) -> list[int]:
    """New labels before (0) and after each round so far."""
    rounds = [row["round"] for row in result.selected]
    return [sum(number <= turn for number in rounds) for turn in range(len(result.scores))]


def rounds_table(result: StudyResult, summaries: Mapping[str, RuleSummary], name: str, caption: str) -> Table | None:
    """The model before and after each round on one set of videos."""
    if not summaries:
        return None
    columns = (
        Column("Labels"),
        *(Column(metric.label) for metric in METRICS.values()),
        Column("SRCC over base", signed=True),
    )
    rows = tuple(
        Row(
            "Base model" if label == BASE else label.capitalize(),
            (spent, *(summary.metrics[metric] for metric in METRICS), summary.over_base),
        )
        for (label, summary), spent in zip(summaries.items(), labels_spent(result), strict=True)
    )
    return Table(name, caption, "Model", columns, rows)


def known_half_widths(data: StudyData, role: Ints | None = None) -> Floats:
    """Half-widths of the confidence intervals of MOS, of the videos whose ratings are known."""
    videos = data.videos if role is None else [data.videos[int(index)] for index in role]
    known = [(v.mos_std, v.ratings) for v in videos if v.mos is not None and v.mos_std is not None and v.ratings]
    std, ratings = np.array(known, np.float64).reshape(-1, 2).T
    return half_width(std, ratings)


def reliability_table(data: StudyData, seed: int) -> Table | None:
    """How sure the MOS are, and what a perfect model would reach against them, by data set and role."""
    roles = {
        "target test": data.target_test,
        "source test": data.source_test,
        "pool": data.pool,
        "source": data.source,
    }
    rows = []
    for role, indices in roles.items():
        names = dataset_names(data, indices)
        for name in dict.fromkeys(names.tolist()):
            row = _reliability_row(data, indices[names == name], f"{name}, {role}", seed)
            rows += [] if row is None else [row]
    columns = (
        Column("Videos"),
        Column("Ratings", decimals=0),
        Column("median", "95% half-width", decimals=2),
        Column("largest", "95% half-width", decimals=2),
        Column("SRCC", "expected ceiling"),
        Column("PLCC", "expected ceiling"),
    )
    caption = "Confidence of MOS, and the correlation that a perfect model is expected to reach against them"
    return Table("reliability", caption, "Videos with ratings", columns, tuple(rows)) if rows else None


def _reliability_row(data: StudyData, indices: Ints, label: str, seed: int) -> Row | None:
    videos = [data.videos[int(index)] for index in indices]
    known = [(v.mos, v.mos_std, v.ratings) for v in videos if v.mos is not None and v.mos_std is not None and v.ratings]
    if len(known) < FEWEST:
        return None
    mos, std, ratings = np.array(known, np.float64).T
    width, most = half_width(std, ratings), ceiling(mos, std, ratings, seed=seed)
    middle, largest = float(np.median(width)), float(width.max())
    return Row(label, (len(mos), float(np.median(ratings)), middle, largest, most.srcc, most.plcc))

"""Did the selection find f's failures? f against MOS on the chosen videos, beside controls that f scores alike."""

from collections.abc import Mapping

import numpy as np

from mdsvqa.difficulty.errors import measured_errors
from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.failure import FEWEST as FEWEST_TO_CHOOSE_FROM
from mdsvqa.evaluation.failure import FailureEvaluation, evaluate_difficulty
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.evaluation.metrics import evaluate
from mdsvqa.report.figures import FEWEST
from mdsvqa.report.page.tables import Column, Row, Table
from mdsvqa.report.page.wording import bounds, number
from mdsvqa.report.tables import dataset_names
from mdsvqa.runtime.arrays import Flags, Floats
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.catalogue import label_of, rule_named
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import StudyData, pool_labels
from mdsvqa.study.result import StudyResult

# Of ties, controls and the bootstrap: as many as keep the work, draws times pool times chosen, near the third number.
FEWEST_DRAWS, DRAWS, WORK = 40, 200, 40_000_000
SCALES = {
    "raw": "Errors are distances of f from MOS, in MOS points.",
    "calibrated": "Errors are distances of f from MOS, in MOS points, after the monotone fit of f to MOS.",
    "rank": "Errors are distances between a video’s rank by f and by MOS, as shares of the pool.",
}
COLUMNS = (
    Column("SRCC", "f against MOS"),
    Column("PLCC", "f against MOS"),
    Column("mean", "error of f"),
    Column("÷ pool’s", "error of f", decimals=2),
    Column("÷ control’s", "error of f", decimals=2),
    Column("mean f", decimals=2),
)


def pool_mos(config: StudyConfig, data: StudyData) -> Floats:
    """MOS of the pool's videos as far as anybody knows them, from the manifest or the file of labels, else NaN."""
    known = pool_labels(config, data).mos
    return np.array([known.get(video, np.nan) for video in data.ids(data.pool)], np.float64)


def failure_table(config: StudyConfig, result: StudyResult, mos: Floats) -> tuple[Table | None, list[str]]:
    """The base model on the chosen videos, beside the whole pool and the controls where all its MOS are known.

    Args:
        config, result: of the study.
        mos: of the pool's videos, as of `pool_mos`.

    Returns:
        The table, None where too few MOS are known; and what it says, in sentences.

    Source: Zou et al. (2026), the table of failure identification; the controls are not in the paper.
    """
    data = result.data
    score = result.scores[0][data.pool]
    ids, names = np.array(data.ids(data.pool)), dataset_names(data, data.pool)
    audit = np.isin(ids, [row["id"] for row in result.selected if row["rule"] == AUDIT])
    chosen = np.isin(ids, [row["id"] for row in result.selected]) & ~audit
    rows: list[Row] = []
    sentences: list[str] = []
    datasets = list(dict.fromkeys(names.tolist()))
    for name in datasets:
        here = names == name
        before = f"{name}: " if len(datasets) > 1 else ""
        k, n = int(chosen[here].sum()), int(here.sum())
        if np.isfinite(mos[here]).all() and n >= FEWEST_TO_CHOOSE_FROM and 2 <= k <= n // 2:
            difficulty = result.difficulty[here]
            found, said = _with_controls(config, score[here], mos[here], difficulty, chosen[here], before)
            sentences += said
        else:
            found = _by_themselves(config, score[here], mos[here], chosen[here], audit[here], before)
            sentences += [before + SCALES["raw"]] if found else []
        rows += found
    caption = "The base model f on the videos chosen from the pool, with 95% intervals"
    used = [i for i in range(len(COLUMNS)) if any(row.cells[i] is not None for row in rows)]
    kept = tuple(Row(row.label, tuple(row.cells[i] for i in used), row.note) for row in rows)
    columns = tuple(COLUMNS[i] for i in used)
    return (Table("failure", caption, "Videos", columns, kept) if rows else None), sentences


def _with_controls(
    config: StudyConfig, score: Floats, mos: Floats, difficulty: Floats, chosen: Flags, before: str
) -> tuple[list[Row], list[str]]:
    """Rows and sentences where the MOS of a whole pool are known; all arrays of shape (n,)."""
    one = np.zeros(len(score), np.int64)
    error = measured_errors(config.difficulty.error, score, mos, one, config.difficulty.folds, config.seed)
    k = int(chosen.sum())
    draws = int(np.clip(WORK // (k * len(score)), FEWEST_DRAWS, DRAWS))
    by_g = evaluate_difficulty(score, mos, error, difficulty, k, draws=draws, seed=config.seed)
    lifted = chosen_first(difficulty, chosen, by_difficulty=rule_named(config.selection.rule).difficulty is not None)
    own = evaluate_difficulty(score, mos, error, lifted, k, draws=draws, seed=config.seed)
    rule = label_of(config.selection.rule)
    rows = [
        _row(f"{before}whole pool", own, "pool", f"{len(score)} videos"),
        _row(f"{before}chosen by {rule}", own, "chosen", f"{k} videos"),
        _row(f"{before}control, same f", own, "matched", f"{k} others that f scores alike"),
        _row(f"{before}lowest f", own, "lowest", f"the {k} that f scores lowest"),
    ]
    if config.selection.rule != "difficulty":
        rows.append(_row(f"{before}most difficult", by_g, "chosen", f"the {k} of highest g alone"))
        rows.append(_row(f"{before}control of these", by_g, "matched", f"{k} others that f scores alike"))
    warnings = [before + each for each in own.warnings]
    return rows, [*_sentences(own.figures, by_g.figures, config.difficulty.error, before), *warnings]


def chosen_first(difficulty: Floats, chosen: Flags, *, by_difficulty: bool) -> Floats:
    """Difficulties by which the k most difficult videos are the k chosen ones.

    Args:
        difficulty: shape (n,).
        chosen: shape (n,).
        by_difficulty: how a bootstrap sample in which some chosen videos are missing is filled up: with the most
            difficult of the others, or by chance.

    >>> chosen_first(np.array([2.0, 5.0, 3.0]), np.array([True, False, False]), by_difficulty=True).tolist()
    [6.0, 5.0, 3.0]
    """
    rest = difficulty if by_difficulty else np.zeros(len(difficulty))
    lifted: Floats = np.where(chosen, rest.max() + 1, rest)
    return lifted


def _row(label: str, found: FailureEvaluation, part: str, note: str) -> Row:
    figures = found.figures
    # A correlation over two or three videos is none.
    enough = part == "pool" or found.k >= FEWEST
    lifts: tuple[Interval | None, Interval | None] = (None, None)
    if part == "chosen":
        lifts = (figures["lift_over_pool"], figures["lift_over_matched"])
    elif part == "lowest":
        lifts = (None, figures["lowest_lift_over_matched"])
    srcc, plcc = (figures[f"{part}_{name}"] if enough else None for name in ("srcc", "plcc"))
    return Row(label, (srcc, plcc, figures[f"{part}_error"], *lifts, figures.get(f"{part}_score")), note)


def _sentences(own: Mapping[str, Interval], by_g: Mapping[str, Interval], kind: str, before: str) -> list[str]:
    lift, ranks, given = own["lift_over_matched"], by_g["srcc"], by_g["partial_srcc"]
    if lift.low > 1:
        verdict = "f errs more on the chosen videos than on others that it scores alike"
    elif lift.high < 1:
        verdict = "f errs less on the chosen videos than on others that it scores alike"
    else:
        verdict = "Errors of f on the chosen videos cannot be told from those on others that it scores alike"
    return [
        f"{before}{verdict}: {formatted(lift, 2)} times as large; those that f scores lowest, beside others that it "
        f"scores alike: {formatted(own['lowest_lift_over_matched'], 2)}.",
        f"{before}The difficulty g ranks f’s errors over the pool with SRCC {formatted(ranks)}; given f’s score, "
        f"{formatted(given)}.",
        f"{before}{SCALES[kind]}",
    ]


def formatted(interval: Interval, decimals: int = 3) -> str:
    ends = bounds(interval, decimals)
    return number(interval.value, decimals) + (f" {ends}" if ends else "")


def _by_themselves(
    config: StudyConfig, score: Floats, mos: Floats, chosen: Flags, audit: Flags, before: str
) -> list[Row]:
    """Rows where only what was rated is known: the chosen videos, and the audit that stands for the whole pool."""
    rows = []
    rule = label_of(config.selection.rule)
    for label, part in ((f"{before}chosen by {rule}", chosen), (f"{before}audit, drawn at random", audit)):
        known = part & np.isfinite(mos)
        n = int(known.sum())
        if n < FEWEST:
            continue
        x, y = score[known], mos[known]
        found = evaluate(x, y, draws=DRAWS, seed=config.seed)
        error = np.abs(x - y)
        draws = resample_counts(n, DRAWS, config.seed) @ error / n
        mean = percentile_interval(float(error.mean()), draws)
        rows.append(Row(label, (found.srcc, found.plcc, mean, None, None, float(x.mean())), f"{n} rated videos"))
    return rows

"""A study on files: the loop with every result on disk, so that a second run reads what is there and goes on behind it.

data        features and content of every video                       -> features/, content/
score       the base model f on every video                           -> scores/
rehearse    which rule to choose by (`rule: auto`)                    -> rehearsal/
then, for each round (loop.py):
difficulty  g predicts where f will be wrong                          -> round-1/difficulty/
select      the most difficult videos that differ from each other     -> round-1/selection/
label       what goes out to raters, and the MOS that come back       -> round-1/to_label.csv
finetune    f learns to rank the newly labeled videos                 -> round-1/ or finetuned/
and last:
compare     the same loop under other rules, where all MOS are known  -> comparison/
"""

from dataclasses import replace

import numpy as np

from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.audit import beyond_pool, budget_of
from mdsvqa.selection.select import selection_rows
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import PoolArrays, gather
from mdsvqa.study.failure_predictors import failure_predictor
from mdsvqa.study.kept import Tables
from mdsvqa.study.loop import Round, rounds
from mdsvqa.study.participants.open import open_before_data, participant
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.raters import RatersFile, gather_labels
from mdsvqa.study.rehearsal.run import load_rehearsal, with_rehearsed_rule
from mdsvqa.study.result import StudyResult
from mdsvqa.study.rule_comparison import check_comparison, compare_rules
from mdsvqa.study.usable import as_chosen, scored


def run_study(config: StudyConfig, show: Show, *, overwrite: bool = False) -> StudyResult:
    """Runs the loop, or goes on with it.

    Args:
        config: the study.
        show: how it speaks.
        overwrite: make anew what other settings made, instead of refusing.

    Returns:
        Everything that evaluation and report need.

    Raises:
        ConfigError, ManifestError, ColumnError, TableError: something handed in cannot be used; the message says what.
    """
    run = Run(config.out, show, cores(config.workers), overwrite, config.engine)
    early = open_before_data(config, run)
    data = as_chosen(gather(config, run), run)
    check_comparison(config, data)
    f = participant(config, early, data, run)
    data = scored(config, data, f, run)
    base, (config, why) = f.scores(data), with_rehearsed_rule(config, data, f, run)
    pool = data.pool_arrays(config)
    budget = budget_of(config.selection, len(pool), pool.limits)
    tables = Tables(config, data, pool.within(budget.spread(min(config.rounds, budget.videos)).limits), run)
    raters, g = RatersFile(tables, gather_labels(config, data, show)), failure_predictor(config.difficulty)
    notes = [said for said in (beyond_pool(config.selection, len(pool), pool.limits), *f.notes(data)) if said]
    for note in notes:
        show.note(note)
    # The page has a place of its own for what a rehearsal found.
    notes += [why] if why and load_rehearsal(config) is None else []
    result = StudyResult(config, data, f.name, [], [base.score], np.empty(0), notes=notes)
    if config.quality.vlm.reading == "generate" and np.isfinite(base.expected).any():
        result = replace(result, readings={"parsed answer": base.score, "expected score": base.expected})
    for done in rounds(f, g, data, pool, budget, config, raters, tables, config.seed):
        result = _after_round(result, pool, done)
    if result.waiting is not None:
        return result
    return replace(result, rule_runs=compare_rules(config, data, pool, f, result.difficulty, run))


def _after_round(result: StudyResult, pool: PoolArrays, done: Round) -> StudyResult:
    earlier = len(result.selected)
    rows = selection_rows(pool.ids, done.picks, result.config.selection.rule)
    result = replace(
        result,
        selected=[*result.selected, *({**row, "round": done.turn, "rank": earlier + row["rank"]} for row in rows)],
        difficulty=result.difficulty if earlier else done.difficulty,
        audit={**result.audit, **({} if done.labels is None else done.labels.audit)},
    )
    if done.waiting is not None:
        return replace(result, waiting=done.waiting)
    scores, notes = done.model.scores(result.data), done.model.notes(result.data)
    # Of a language model it is how much drawn replies differ, not how far a MOS may be.
    spread = scores.spread if isinstance(done.model, StatisticalModel) else None
    return replace(result, scores=[*result.scores, scores.score], spread=spread, notes=[*result.notes, *notes])

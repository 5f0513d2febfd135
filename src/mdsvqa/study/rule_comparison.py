"""The same loop under other rules, over seeds, where the MOS of the whole pool are known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mdsvqa.difficulty.prediction import Prediction
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.results import TRIALS, ResultTable, fingerprint, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.selection.audit import Budget, budget_of, mean_budget
from mdsvqa.selection.base import Pick, Rule
from mdsvqa.selection.catalogue import EVERYTHING, rule_named
from mdsvqa.selection.select import Choice
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import PoolArrays, StudyData
from mdsvqa.study.failure_predictors import FromFeatures, failure_predictor
from mdsvqa.study.loop import rounds
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.result import RuleRun


@dataclass(frozen=True)
class ComparisonPlan:
    """What all runs of a comparison share.

    Attributes:
        f: before any new label.
        data: of the study.
        pool: with MOS everywhere.
        budget: of each run.
        config: of the study.
        difficulty: of the pool by the study's own g, shape (k,); None where each seed predicts its own.
    """

    f: StudyModel
    data: StudyData
    pool: PoolArrays
    budget: Budget
    config: StudyConfig
    difficulty: Floats | None = None


def check_comparison(config: StudyConfig, data: StudyData) -> None:
    """Raises a ConfigError where a comparison is wanted, and MOS of the pool or a test set are missing."""
    if not config.comparison.rules:
        return
    unknown = int(np.isnan(data.mos(data.pool)).sum())
    if unknown or len(data.target_test) == 0:
        raise ConfigError(
            f"comparison: needs the MOS of the whole pool, and a test set of its data set with MOS; found {unknown} "
            f"pool videos without MOS and {len(data.target_test)} such test videos."
        )


def compare_rules(
    config: StudyConfig, data: StudyData, pool: PoolArrays, f: StudyModel, difficulty: Floats, run: Run
) -> list[RuleRun]:
    """Does the runs of a study's comparison that are not in its table yet.

    Args:
        config: of the study.
        data: its videos; the MOS of the whole pool are known.
        pool: of the data.
        f: before any new label.
        difficulty: of the pool in the study's first round.
        run: the study's folder.

    Returns:
        One run a rule and seed, "random" first; for a model that is trained in seconds "everything" last; none without
        rules to compare.
    """
    if not config.comparison.rules:
        return []
    budget = budget_of(config.selection, len(pool), pool.limits)
    pool, budget = pool.within(budget.limits), Budget(mean_budget(budget), budget.limits)
    quick = isinstance(f, StatisticalModel)
    rules = [*dict.fromkeys(("random", *config.comparison.rules)), *([EVERYTHING] if quick else [])]
    start = StatisticalModel.start(f.base, f.labeled, f.settings) if isinstance(f, StatisticalModel) else f
    plan = ComparisonPlan(start, data, pool, budget, config, None if quick else difficulty)
    known = data.mos(pool.index).tolist()
    maker = {"step": "comparison", "settings": _looked_at(plan, quick=quick), "material": data.maker}
    maker |= {"labels": fingerprint([data.labels_fingerprint(), known, pool.ids])}
    maker |= {"limits": fingerprint(pool.limits.record()), "model": fingerprint(f.made_by(data))}
    maker |= {"tests": fingerprint([data.ids(data.target_test), data.ids(data.source_test)])}
    with run.within("comparison").open(TRIALS, maker) as table:
        _fill(table, plan, rules, run)
    wanted = {f"{rule}-{seed}" for rule in rules for seed in range(config.comparison.seeds)}
    rows = [row for row in read_table(run.out / "comparison").to_pylist() if row["id"] in wanted]
    rows.sort(key=lambda row: (rules.index(row["rule"]), row["seed"]))
    scores = ("target_scores", "source_scores")
    return [RuleRun(r["rule"], r["seed"], r["selected"], *(np.array(r[name]) for name in scores)) for r in rows]


def _looked_at(plan: ComparisonPlan, *, quick: bool) -> dict[str, Any]:
    """What the run of a rule and seed depends on beside the data: not which others there are, nor where things lie."""
    config, finetuning = plan.config, plan.config.finetuning.record()
    selection = config.selection.record()
    return {
        "budget": plan.budget.videos,
        "rounds": config.rounds,
        "seed": config.seed,
        "pool_share": config.comparison.pool_share,
        "difficulty": config.difficulty.record(),
        "selection": {name: value for name, value in selection.items() if name not in ("rule", "budget", "audit")},
        "finetuning": {name: value for name, value in finetuning.items() if name != "vlm"} if quick else finetuning,
    }


def _fill(table: ResultTable, plan: ComparisonPlan, rules: Sequence[str], run: Run) -> None:
    seeds, show = plan.config.comparison.seeds, run.show
    missing = {seed: [rule for rule in rules if f"{rule}-{seed}" not in table.ids] for seed in range(seeds)}
    missing = {seed: some for seed, some in missing.items() if some}
    if not missing:
        show.note(f"comparison: reused ({seeds} seeds)")
    if plan.difficulty is None:
        found = map_in_workers(partial(_runs_missing, plan), list(missing.items()), run.workers, crashed=_crashed)
        if missing:
            show.progress("Comparing rules over seeds", 0, len(missing))
        for done, of_seed in enumerate(found, 1):
            _append(table, of_seed)
            show.progress("Comparing rules over seeds", done, len(missing))
        return
    every, left = len(rules) * seeds, sum(map(len, missing.values()))
    if left:
        spent = {rule: _finetunings(plan, rule) for rule in rules}
        due = sum(spent[rule] for some in missing.values() for rule in some)
        show.note(
            f"comparison: {len(rules)} rules with {seeds} seeds are {seeds * sum(spent.values())} fine-tunings; {due} "
            f"are to be done, each in its folder of {run.out / 'comparison-runs'}"
        )
    for seed, some in missing.items():
        for rule in some:
            # Each keeps its adapters and scores, and goes on where it was killed.
            _append(table, runs_of_seed(plan, [rule], seed, run.within(f"comparison-runs/{rule}-{seed}")))
            left -= 1
            show.progress("Comparing rules over seeds", every - left, every)


def _finetunings(plan: ComparisonPlan, rule: str) -> int:
    """How often f is trained in a run: a model that nobody asks for a score, or trains on, is not made."""
    every = rule_named(rule).difficulty is not None or plan.config.finetuning.vlm.start == "round"
    return min(plan.config.rounds, plan.budget.videos) if every else 1


def _append(table: ResultTable, runs: Sequence[RuleRun]) -> None:
    table.append([{"id": f"{each.rule}-{each.seed}", **vars(each)} for each in runs])


def _runs_missing(plan: ComparisonPlan, missing: tuple[int, Sequence[str]]) -> list[RuleRun]:
    seed, rules = missing
    return runs_of_seed(plan, rules, seed)


def _crashed(missing: tuple[int, Sequence[str]]) -> list[RuleRun]:
    raise RuntimeError(f"the worker that ran seed {missing[0]} of the comparison was killed; run again to go on")


def runs_of_seed(plan: ComparisonPlan, rules: Sequence[str], seed: int, run: Run | None = None) -> list[RuleRun]:
    """Every rule on the same random part of the pool.

    Args:
        plan: shared by all seeds.
        rules: by name; `EVERYTHING` labels the whole part.
        seed: draws the part of the pool, and is the seed of the failure predictor, of every rule and every training.
        run: where models that are trained for hours keep what they made.

    Returns:
        One run a rule.
    """
    config, data = plan.config, plan.data
    rng = np.random.default_rng([config.seed, seed])
    share = max(plan.budget.videos, round(config.comparison.pool_share * len(plan.pool)))
    part = np.sort(rng.permutation(len(plan.pool))[:share])
    pool = plan.pool.take(part)
    f = plan.f if run is None else plan.f.within(run)
    compared = [rule_named(rule) for rule in rules if rule != EVERYTHING]
    if plan.difficulty is None:
        first = FromFeatures(config.difficulty).every(compared, f, data, pool.index, seed)
    else:
        first = {"predicted": plan.difficulty[part]}
    g, tests = failure_predictor(config.difficulty), data.of(np.concatenate([data.target_test, data.source_test]))
    found = []
    for rule in rules:
        if rule == EVERYTHING:
            better, chosen = f.finetuned(data, all_known(data, pool.index), 1, seed), list(pool.ids)
        else:
            ruled = config.model_copy(update={"selection": config.selection.model_copy(update={"rule": rule})})
            budget = replace(plan.budget, limits=pool.limits)
            keep, raters = FirstKnown(first, len(pool)), partial(know, data, pool)
            turns = list(rounds(f, g, data, pool, budget, ruled, raters, keep, seed))
            better = turns[-1].waiting or turns[-1].model
            chosen = [pool.ids[pick.index] for turn in turns for pick in turn.picks]
        if isinstance(better, Waiting):
            raise ConfigError(f"comparison: {better.sentence}")
        target, source = np.split(better.scores(tests).score, [len(data.target_test)])
        found.append(RuleRun(rule, seed, chosen, target, source))
    return found


@dataclass(frozen=True)
class FirstKnown:
    """A `loop.Keep` on arrays: the difficulties of the first round are there, those of later ones as rules want them.

    Attributes:
        first: by `Rule.difficulty`, each of shape (k,).
        videos: k of them.
    """

    first: Mapping[str | None, Floats]
    videos: int

    def difficulty(self, turn: int, rule: Rule, f: StudyModel, compute: Callable[[], Prediction]) -> Floats:
        """See `loop.Keep`."""
        if rule.difficulty is None:
            return np.zeros(self.videos)
        return self.first[rule.difficulty] if turn == 1 else compute().difficulty

    def selection(self, turn: int, compute: Callable[[], Choice]) -> list[Pick]:
        """See `loop.Keep`."""
        return compute()


def all_known(data: StudyData, index: Ints) -> NewLabels:
    """Labels of some videos, whose MOS are all known."""
    return NewLabels(index, data.mos(index))


def know(data: StudyData, pool: PoolArrays, turn: int, picks: Sequence[Pick]) -> NewLabels:
    """`loop.Raters` of a pool whose MOS are all known."""
    return all_known(data, pool.index[np.array([pick.index for pick in picks], np.int64)])

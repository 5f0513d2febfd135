"""The rehearsal of a study: would a rule do harm, each data set of the source playing the target of the others?

It hands repeats to an engine, keeps them in a table, and says what came of them. It is a veto: the study's fallback is
used unless the rehearsal speaks against it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from pydantic import TypeAdapter

from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.frames import Rows
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import REPEATS, Maker, ResultTable, fingerprint, is_table, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.audit import budget_of, mean_budget
from mdsvqa.selection.settings import AUTO, budget_count
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import StudyData, gather
from mdsvqa.study.participants.open import open_before_data, participant
from mdsvqa.study.rehearsal.answer import Answer, CurvePoint, answer, curve_points
from mdsvqa.study.rehearsal.pseudo_targets import DATASETS, PseudoTarget, nothing_to_rehearse, pseudo_targets
from mdsvqa.study.rehearsal.repeats import RANDOM, TARGET_TEST, Job, RepeatInputs, RepeatResult, run_repeat
from mdsvqa.study.rehearsal.stand_in import StandIn, stand_in
from mdsvqa.study.usable import as_chosen

# From jobs to their results, in order; reads a job only when there is room for it.
Engine = Callable[[Iterable[Job]], Iterator[list[RepeatResult]]]
FOLDER, VERDICT = "rehearsal", "verdict.json"
# Of the smallest pseudo-target's pool: beyond it all rules choose much the same videos.
LARGEST_SHARE = 0.25


@dataclass(frozen=True)
class Rehearsal(Rows):
    """What a rehearsal found, as it is kept.

    Attributes:
        answer: standings and the verdict.
        curve: target SRCC by labels, of random selection and the fallback.
        targets: pseudo-targets: name and videos.
        asked, budget: labels of the study and of each repeat, which parts of the source may not be large enough for.
        complete: whether all repeats were done; else the time was up.
        proxy: what stood in for f; empty where f itself was trained again.
    """

    answer: Answer
    curve: Sequence[CurvePoint]
    targets: Sequence[tuple[str, int]]
    asked: int
    budget: int
    complete: bool
    proxy: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """One a contender."""
        return [asdict(each) for each in self.answer.standings]

    def sentence(self) -> str:
        """The recommendation, and what was struck out."""
        return recommendation(self.answer, [name for name, _ in self.targets])

    def notes(self) -> list[str]:
        """Limits that its reader must know."""
        found = []
        if self.budget < self.asked:
            found.append(
                f"Data sets of the source are smaller than the pool: {self.budget} labels were spent in each repeat, "
                f"where the study has {self.asked}."
            )
        if not self.complete:
            found.append("The time was up before all repeats were done; run it again to go on.")
        return [*found, self.proxy] if self.proxy else found


_FOUND = TypeAdapter(Rehearsal)


def recommendation(found: Answer, targets: Sequence[str]) -> str:
    """In a sentence or two: the rule and why, and which rules do harm."""
    where = f"with each of {', '.join(targets)} as the target of the others"
    own = next((each for each in found.standings if each.rule == found.recommended), None)
    gained = "" if own is None else f" It gained {own.gain:+.3f} SRCC over random selection."
    if found.recommended == found.fallback:
        said = f"Use {found.recommended}: no rule is ahead of it beyond doubt {where}.{gained}"
    elif own is None:
        said = f"Use random selection: {found.fallback} is behind it beyond doubt {where}."
    else:
        said = f"Use {own.rule}: {own.over_fallback:+.3f} SRCC over {found.fallback} {where}.{gained}"
    struck = ", ".join(f"{each.rule} ({each.gain:+.3f})" for each in found.struck)
    return f"{said} Struck out, behind random selection: {struck}." if struck else said


def rehearse_study(config: StudyConfig, show: Show, *, overwrite: bool = False) -> Rehearsal:
    """Runs the rehearsal of a study, or goes on with it.

    Args:
        config: of the study; `rehearsal` says what is tried.
        show: how it speaks.
        overwrite: make anew what other settings made.

    Raises:
        InputError: the source has too few data sets, or a setting does not go with the study.
    """
    run = Run(config.out, show, cores(config.workers), overwrite, config.engine)
    early = open_before_data(config, run)
    data = as_chosen(gather(config, run), run)
    f = participant(config, early, data, run)
    return rehearse(config, stand_in(config, data, f, run), run)


def rehearse(config: StudyConfig, there: StandIn, run: Run) -> Rehearsal:
    """Runs the repeats of a study's rehearsal that are not in its table yet, and says what came of all.

    Args:
        config: of the study.
        there: what is trained without each pseudo-target in turn.
        run: the study's folder.

    Raises:
        InputError: the source has too few data sets.
    """
    parts, rules, fallback = _parts(config, there.data), _rules(config, there), config.rehearsal.fallback
    targets, curved = pseudo_targets(*parts), [RANDOM, fallback]
    if not targets:
        raise InputError(f"{nothing_to_rehearse(*parts)}. Use {fallback}.")
    asked, budget, curve = _budgets(config, there.data, targets)
    jobs = [
        Job(target, repeat, rules, budget, curve, curved)
        for repeat in range(config.rehearsal.repeats)
        for target in targets
    ]
    inputs = RepeatInputs(there.data.of(there.data.source), _bare(config), there.base)
    maker: Maker = {
        "step": "rehearsal across data sets",
        "config": inputs.config.record(whole=True),
        "material": dict(there.data.maker),
        "labels": there.data.labels_fingerprint(),
        "model": fingerprint({name: value.tolist() for name, value in there.base.arrays().items()}),
    }
    with run.within(f"{FOLDER}/repeats").open(REPEATS, maker) as table:
        work = partial(run.map, partial(run_repeat, inputs), crashed=_crashed)
        seconds = float("inf") if config.rehearsal.minutes is None else 60 * config.rehearsal.minutes
        # The first pass over all pseudo-targets is done in any case.
        results, complete = _run(table, jobs, work, run, len(targets), monotonic() + seconds)
    found = Rehearsal(
        answer(results, budget, fallback),
        curve_points(results, list(dict.fromkeys(curved)), sorted({budget, *curve})),
        [(target.name, len(target.members)) for target in targets],
        asked,
        budget,
        complete,
        there.said,
    )
    write_atomically(run.out / FOLDER / VERDICT, _FOUND.dump_json(found, indent=2) + b"\n")
    return found


def load_rehearsal(config: StudyConfig) -> Rehearsal | None:
    """What the rehearsal of a study found; None where there was none."""
    path = config.out / FOLDER / VERDICT
    return _FOUND.validate_json(path.read_bytes()) if path.is_file() else None


def with_rehearsed_rule(config: StudyConfig, data: StudyData, f: StudyModel, run: Run) -> tuple[StudyConfig, str]:
    """A study whose rule is "auto" with the rule that its rehearsal recommends, and why; any other as it is.

    The rehearsal is run, or gone on with, where it is not done. Without two data sets in the source it is the fallback.
    """
    if config.selection.rule != AUTO:
        return config, ""
    parts = _parts(config, data)
    if pseudo_targets(*parts):
        found = rehearse(config, stand_in(config, data, f, run), run)
        rule, said = found.answer.recommended, f"rehearsal: {found.sentence()}"
    else:
        rule = config.rehearsal.fallback
        said = f"rule auto is {rule}: {nothing_to_rehearse(*parts)}."
    run.show.note(said)
    return config.model_copy(update={"selection": config.selection.model_copy(update={"rule": rule})}), said


def _parts(config: StudyConfig, data: StudyData) -> tuple[Sequence[str | None], str]:
    """What tells parts of the source apart, one a video, and the column that says it."""
    named = config.rehearsal.targets
    if named == DATASETS:
        return [data.videos[int(index)].dataset for index in data.source], ""
    table = read_columns(config.selection.about or config.videos)
    return table.text_of(data.ids(data.source), named), named


def _rules(config: StudyConfig, there: StandIn) -> list[str]:
    """Random selection, the fallback, and what is to be tried beside."""
    settings = config.rehearsal
    strange = [rule for rule in settings.rules or () if rule not in there.rules]
    if strange:
        raise ConfigError(
            f"rehearsal.rules: {', '.join(strange)} need a model that can be refitted; `model: statistical` is one."
        )
    return list(dict.fromkeys([RANDOM, settings.fallback, *(settings.rules or there.rules)]))


def _bare(config: StudyConfig) -> StudyConfig:
    """What every repeat looks at and nothing else, so that no path, title or budget makes two of them differ."""
    looked_at = ("features", "lambda_", "scale", "ties")
    selection = {"rule": RANDOM, **{name: getattr(config.selection, name) for name in looked_at}}
    return StudyConfig(
        videos=Path(),
        rounds=config.rounds,
        seed=config.seed,
        difficulty=config.difficulty,
        selection=type(config.selection)(**selection),
        finetuning=config.finetuning,
    )


def _budgets(config: StudyConfig, data: StudyData, targets: Sequence[PseudoTarget]) -> tuple[int, int, list[int]]:
    """Labels of the study, of each repeat, and of the curve."""
    smallest = round((1 - TARGET_TEST) * min(len(target.members) for target in targets))
    most = max(2, round(LARGEST_SHARE * smallest))
    pool = len(data.pool)
    # Without the audit, from which nothing is learned; a time as the videos that it pays in the mean.
    asked = mean_budget(budget_of(config.selection, pool, data.pool_arrays(config).limits))
    curve = {max(2, min(smallest, budget_count(budget, pool))) for budget in config.rehearsal.budgets}
    return asked, max(2, min(most, asked)), sorted(curve)


def _run(
    table: ResultTable, jobs: Sequence[Job], work: Engine, run: Run, least: int, ends: float
) -> tuple[list[RepeatResult], bool]:
    """The results of jobs, old and new, and whether all were done before the time was up."""
    folder, known = run.out / FOLDER / "repeats", dict[str, list[RepeatResult]]()
    for row in read_table(folder).to_pylist() if is_table(folder) else ():
        result = RepeatResult(**{name: row[name] for name in RepeatResult.__dataclass_fields__})
        known.setdefault(row["job"], []).append(result)
    waiting = [job for job in jobs if job.id not in known]
    if len(waiting) < len(jobs):
        run.show.note(f"rehearsal: {len(jobs) - len(waiting)} repeats reused from {folder}")
    begun: list[Job] = []

    def in_time() -> Iterator[Job]:
        for job in waiting:
            if len(jobs) - len(waiting) + len(begun) >= least and monotonic() > ends:
                return
            begun.append(job)
            yield job

    if waiting:
        run.show.progress("Rehearsing", len(jobs) - len(waiting), len(jobs))
    for done, found in enumerate(work(in_time())):
        job = begun[done]
        table.append([{"id": f"{job.id} {r.contender} {r.budget}", "job": job.id, **vars(r)} for r in found])
        known[job.id] = found
        run.show.progress("Rehearsing", len(jobs) - len(waiting) + done + 1, len(jobs))
    results = [result for job in jobs for result in known.get(job.id, ())]
    return results, all(job.id in known for job in jobs)


def _crashed(job: Job) -> list[RepeatResult]:
    raise RuntimeError(f"the worker that rehearsed on {job.target.name} was killed again and again; run again to go on")

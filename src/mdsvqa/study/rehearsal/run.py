"""The rehearsal of a study: which rule would have served best on parts of its own labeled source.

It hands repeats to an engine, keeps them in a table, and says what came of them.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.models.open import kind_of
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import (
    REPEATS,
    Maker,
    ResultTable,
    fingerprint,
    is_table,
    json_text,
    read_table,
    write_atomically,
)
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.audit import budget_of, mean_budget
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import AUTO, SelectionSettings, Space, budget_count
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import StudyData, gather
from mdsvqa.study.participants.open import open_before_data, participant
from mdsvqa.study.rehearsal.answer import Answer, Standing, answer
from mdsvqa.study.rehearsal.contenders import RANDOM, contenders
from mdsvqa.study.rehearsal.curve import CurvePoint, curve_points
from mdsvqa.study.rehearsal.engines import EngineName, engine
from mdsvqa.study.rehearsal.finetuned import FinetunedResult, finetune_on_choices
from mdsvqa.study.rehearsal.pseudo_targets import (
    Part,
    PseudoTarget,
    clusters,
    ends_of_directions,
    groups,
    pseudo_targets,
)
from mdsvqa.study.rehearsal.racing import Engine, Race, race, rungs
from mdsvqa.study.rehearsal.repeats import TARGET_TEST, Choice, Job, RepeatInputs, RepeatResult, choices_of
from mdsvqa.study.rehearsal.stand_in import StandIn, stand_in

FOLDER, ANSWER = "rehearsal", "answer.json"
# Of the smallest pseudo-target's pool: beyond it all rules choose much the same videos.
LARGEST_SHARE = 0.25


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found, as it is kept.

    Attributes:
        answer: standings, the leader, and whether it can be told from random selection.
        recommended: the leader, or where it cannot be told from random selection the study's fallback.
        curve: target SRCC by labels.
        targets: pseudo-targets: name, videos and weight.
        asked, budget: labels of the study and of each repeat, which parts of the source may not be large enough for.
        chosen: settings of the recommended rule, as `SelectionSettings` has them.
        complete: whether all repeats were done; else the time was up.
        proxy: what stood in for f; empty where f itself was trained again.
        real: where f is a vision-language model and was itself fine-tuned on some pseudo-targets.
    """

    answer: Answer
    recommended: str
    curve: Sequence[CurvePoint]
    targets: Sequence[tuple[str, int, float]]
    asked: int
    budget: int
    chosen: Mapping[str, Any]
    complete: bool
    proxy: str = ""
    real: Sequence[FinetunedResult] = ()

    def sentence(self) -> str:
        """The recommendation."""
        return recommendation(self.answer, self.recommended)

    def notes(self) -> list[str]:
        """Limits that its reader must know."""
        found = []
        if self.budget < self.asked:
            found.append(
                f"Parts of the source are smaller than the pool: {self.budget} labels were spent in each repeat, where "
                f"the study has {self.asked}."
            )
        best = self.answer.best
        reached = self.answer.random_srcc if best is None else best.srcc
        if self.answer.base_srcc > reached:
            found.append(
                f"After fine-tuning on so few labels f was worse on the pseudo-targets (SRCC {reached:.3f}) than "
                f"before ({self.answer.base_srcc:.3f}): they are too like the rest of the source, or need more labels."
            )
        if not self.complete:
            found.append("The time was up before all repeats were done; run it again to go on.")
        if self.proxy:
            found.append(self.proxy)
        for target in dict.fromkeys(result.target for result in self.real):
            figures = [f"{r.contender} {r.srcc:.3f}" for r in self.real if r.target == target]
            found.append(f"The model itself, fine-tuned on {target}: SRCC {', '.join(figures)}.")
        return found


def recommendation(found: Answer, recommended: str) -> str:
    """In a sentence or two: the rule, what to expect of it, and how sure that is.

    Args:
        found: by the rehearsal.
        recommended: see `Rehearsal`.
    """
    best = found.best
    if best is None:
        return f"No rule is distinguishable from random here, and none gained in the mean. Use {recommended}."
    expected = f"of which {best.expected:+.3f} is to be expected" if best.expected > 0.0005 else "which chance explains"
    told = (
        f"{best.gain:+.3f} SRCC over random selection, {expected}; the chance that random would do as well is "
        f"{best.chance:.0%}."
    )
    if found.distinguishable:
        return f"Use {best.contender}: {told}"
    return (
        f"No rule is distinguishable from random here (p = {found.p_value:.2f}); the best mean is that of "
        f"{best.contender}: {told} Fall back on {recommended}."
    )


def rehearse_study(
    config: StudyConfig,
    show: Show,
    *,
    engine_name: EngineName = "local",
    address: str | None = None,
    overwrite: bool = False,
) -> Rehearsal:
    """Runs the rehearsal of a study, or goes on with it.

    Args:
        config: of the study; `rehearsal` says what is tried.
        show: how it speaks.
        engine_name, address: where repeats are done; see `engines.engine`.
        overwrite: make anew what other settings made.

    Raises:
        InputError: the source is too small, or a setting does not go with the study.
    """
    run = Run(config.out, show, cores(config.workers), overwrite)
    early = open_before_data(config, run)
    data = gather(config, run)
    f = participant(config, early, data, run)
    return rehearse(config, stand_in(config, data, f, run), run, engine_name=engine_name, address=address)


def rehearse(
    config: StudyConfig,
    there: StandIn,
    run: Run,
    *,
    engine_name: EngineName = "local",
    address: str | None = None,
) -> Rehearsal:
    """Runs the repeats of a study's rehearsal that are not in its table yet, and says what came of all.

    Args:
        config: of the study.
        there: what is trained without each pseudo-target in turn.
        run: the study's folder.
        engine_name, address: where repeats are done; see `engines.engine`.
    """
    plan, asked = _plan(config, there)
    inputs = _inputs(config, there, plan)
    maker: Maker = {
        "step": "rehearsal",
        "config": inputs.config.record(whole=True),
        "material": dict(there.data.maker),
        "labels": there.data.labels_fingerprint(),
        "model": fingerprint([there.base.cost, there.base.gamma]),
    }
    with ResultTable(run.out / FOLDER / "repeats", REPEATS, maker, overwrite=run.overwrite) as table:
        results, cut = _run(table, plan, engine(engine_name, inputs, run.workers, address), run)
    found = _summed_up(plan, results, asked, config.rehearsal.fallback, complete=not cut, proxy=there.said)
    if config.rehearsal.real and kind_of(config.quality.model) == "checkpoint" and config.quality.server is None:
        choices = _real_choices(inputs, plan, found, config.rehearsal.real)
        found = replace(found, real=tuple(finetune_on_choices(config, there.data, choices, run)))
    write_atomically(run.out / FOLDER / ANSWER, (json_text(asdict(found), indent=2) + "\n").encode())
    return found


def load_rehearsal(config: StudyConfig) -> Rehearsal | None:
    """What the rehearsal of a study found; None where there was none."""
    path = config.out / FOLDER / ANSWER
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    standings = [Standing(**{**row, "gain": Interval(**row["gain"])}) for row in kept["answer"].pop("standings")]
    return Rehearsal(
        **{
            **kept,
            "answer": Answer(standings, **kept["answer"]),
            "curve": [CurvePoint(**point) for point in kept["curve"]],
            "targets": [tuple(target) for target in kept["targets"]],
            "real": tuple(FinetunedResult(**result) for result in kept["real"]),
        }
    )


def with_rehearsed_rule(config: StudyConfig, data: StudyData, f: StudyModel, run: Run) -> StudyConfig:
    """A study whose rule is "auto" with the rule that its rehearsal recommends.

    The rehearsal is run, or gone on with, where it is not done. Any other study is returned as it is.
    """
    if config.selection.rule != AUTO:
        return config
    found = rehearse(config, stand_in(config, data, f, run), run)
    run.show.note(f"rehearsal: {found.sentence()}")
    return config.model_copy(update={"selection": config.selection.model_copy(update=dict(found.chosen))})


def _plan(config: StudyConfig, there: StandIn) -> tuple[Race, int]:
    """What is tried, and the labels that the study spends."""
    settings, data = config.rehearsal, there.data
    n = len(data.source)
    content = data.content.take(np.concatenate([data.source, data.pool])).means()
    # In units of the source: with the pool's spread in them, the directions were those in which the pool differs, and
    # rules ranked otherwise than on the real pool (YouTube-UGC and KoNViD-1k).
    content = Standardiser.fit(content[:n])(content)
    targets = pseudo_targets(_parts(config, data, content[:n]), content[:n], content[n:])
    strange = [rule for rule in settings.rules or () if rule not in there.rules]
    if strange:
        raise ConfigError(
            f"rehearsal.rules: {', '.join(strange)} need a model that can be refitted; `model: statistical` is one."
        )
    racing = contenders(
        settings.rules or there.rules,
        settings.lambdas or [config.selection.lambda_],
        settings.scales or [config.selection.scale],
        settings.features or [config.selection.features],
    )
    asked, budget, curve = _budgets(config, data, targets)
    limit = float("inf") if settings.minutes is None else 60 * settings.minutes
    return Race(targets, racing, budget, curve, rungs(settings.repeats), limit), asked


def _inputs(config: StudyConfig, there: StandIn, plan: Race) -> RepeatInputs:
    """What every repeat looks at and nothing else, so that no path, title or budget makes two of them differ."""
    bare = StudyConfig(
        videos=Path(),
        rounds=config.rounds,
        seed=config.seed,
        difficulty=config.difficulty,
        selection=SelectionSettings(rule=RANDOM, ties=config.selection.ties),
        finetuning=config.finetuning,
    )
    names = {each.features or "content" for each in plan.contenders}
    spaces: dict[Space, Content] = {name: there.data.space(name, there.data.source) for name in names}
    return RepeatInputs(there.data.of(there.data.source), spaces, bare, there.base.cost, there.base.gamma)


def _parts(config: StudyConfig, data: StudyData, content: Floats) -> dict[str, Part]:
    settings = config.rehearsal
    if settings.targets == "directions":
        return ends_of_directions(content)
    if settings.targets == "clusters":
        return clusters(content, settings.clusters, config.seed)
    table = read_columns(config.selection.about or config.videos)
    return groups(table.text_of(data.ids(data.source), settings.targets), settings.targets)


def _budgets(config: StudyConfig, data: StudyData, targets: Sequence[PseudoTarget]) -> tuple[int, int, list[int]]:
    """Labels of the study, of each repeat, and of the curve."""
    smallest = round((1 - TARGET_TEST) * min(len(target.members) for target in targets))
    most = max(2, round(LARGEST_SHARE * smallest))
    pool = len(data.pool)
    # Without the audit, from which nothing is learned; a time as the videos that it pays in the mean.
    asked = mean_budget(budget_of(config.selection, pool, data.pool_arrays(config).limits))
    curve = {max(2, min(smallest, budget_count(budget, pool))) for budget in config.rehearsal.budgets}
    return asked, max(2, min(most, asked)), sorted(curve)


def _run(table: ResultTable, plan: Race, engine: Engine, run: Run) -> tuple[list[RepeatResult], bool]:
    folder = run.out / FOLDER / "repeats"
    known: dict[str, list[RepeatResult]] = defaultdict(list)
    for row in read_table(folder).to_pylist() if is_table(folder) else ():
        known[row["job"]].append(RepeatResult(**{name: row[name] for name in RepeatResult.__dataclass_fields__}))
    if known:
        run.show.note(f"rehearsal: {len(known)} repeats reused from {folder}")

    def save(job: Job, found: Sequence[RepeatResult]) -> None:
        table.append([{"id": f"{job.id} {r.contender} {r.budget}", "job": job.id, **vars(r)} for r in found])

    return race(engine, plan, run.show, known, save)


def _real_choices(inputs: RepeatInputs, plan: Race, found: Rehearsal, count: int) -> list[Choice]:
    """What random selection and the leader chose in the first repeat on the heaviest pseudo-targets."""
    wanted = {RANDOM, found.answer.leader}
    tried = [each for each in plan.contenders if each.name in wanted]
    heaviest = sorted(plan.targets, key=lambda target: -target.weight)[:count]
    jobs = [Job(target.name, target.members, target.others, 0, tried, [plan.budget]) for target in heaviest]
    return [choice for job in jobs for choice in choices_of(inputs, job)]


def _fallback(found: Answer, rule: str) -> str:
    """The rule for where nothing can be told, unless it did worse than random selection beyond doubt."""
    worse = any(each.contender.split()[0] == rule and each.gain.high < 0 for each in found.standings)
    return RANDOM if worse else rule


def _summed_up(
    plan: Race, results: Sequence[RepeatResult], asked: int, fallback: str, *, complete: bool, proxy: str
) -> Rehearsal:
    found = answer(results, plan.targets, plan.budget)
    weights = {target.name: target.weight for target in plan.targets}
    last = [each.contender for each in found.standings]
    tried = {r.contender for r in results if r.budget != plan.budget and r.budget in plan.curve}
    names = [RANDOM, *(name for name in last if name in tried)]
    recommended = found.leader if found.distinguishable else _fallback(found, fallback)
    contender = next((each for each in plan.contenders if recommended in (each.name, each.rule)), None)
    return Rehearsal(
        found,
        recommended,
        curve_points(results, names, sorted({plan.budget, *plan.curve}), weights),
        [(target.name, len(target.members), target.weight) for target in plan.targets],
        asked,
        plan.budget,
        {"rule": recommended} if contender is None else contender.settings(),
        complete,
        proxy,
    )

"""The whole method on one page: from a manifest of videos to a better quality model and the proof of it.

    material    features and content of every video                       -> features/, content/
    score       the base model f on every video                           -> scores/
    rehearse    which rule to choose by (`rule: auto`)                    -> rehearsal/
    then, for each round:
    difficulty  g predicts where f will be wrong                          -> round-1/difficulty/
    select      the most difficult videos that differ from each other     -> round-1/selection/
    label       what goes out to raters, and the MOS that come back       -> round-1/to_label.csv
    finetune    f learns to rank the newly labeled videos                 -> round-1/model.safetensors, round-1/scores/
    and last:
    evaluate    did it help, on videos that nobody chose or trained on    -> summary.json
    compare     the same loop under other rules, where all MOS are known  -> comparison/
    report      everything on one page                                    -> report.html

Every table is safe on disk as soon as it is made. A second run reads what is there and goes on behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mdsvqa.difficulty.prediction import Prediction, difficulty_rows, write_choice
from mdsvqa.models.statistical.kernel_model import KernelModel, fit_statistical
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import DIFFICULTY, SCORES, SELECTION, Maker, column, computed, fingerprint
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.selection.audit import AUDIT, budget_of, mean_budget
from mdsvqa.selection.select import selection_rows
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import Material, gather, pool_labels
from mdsvqa.study.loop import COMMITTEE, Pool, State, Trial, budget_by_round, choose, learn, rate_difficulty
from mdsvqa.study.rehearsal.run import with_rehearsed_rule
from mdsvqa.study.rule_comparison import check_comparison, compare
from mdsvqa.videos.labels import Labels, write_label_request

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What every step needs: the settings, where results go, how to speak."""

    config: StudyConfig
    show: Show
    overwrite: bool = False

    def table(self, name: str, schema: pa.Schema, maker: Maker, rows: Any) -> pa.Table:
        """A result that is written at once; says so when it was there."""
        folder = self.config.out / name
        table, reused = computed(folder, schema, maker, rows, overwrite=self.overwrite)
        self.show.note(f"{name}: reused" if reused else f"{name}: {table.num_rows} rows")
        return table


@dataclass(frozen=True)
class Outcome:
    """Where a run ended.

    Attributes:
        material: videos and arrays.
        config: of the study, with the rule that was used where it said "auto".
        selected: rows of the selection tables, in the order of their choice.
        scores: f before (first) and after each round so far: scores of all of the material's videos.
        difficulty: of the pool's videos in the first round.
        waiting_for: what people have to do before the loop can go on; empty when it is done.
        notes: limits of this run that its reader must know.
        trials: of the comparison; empty without one.
        audit: MOS of the videos that were drawn at random to be measured on, by id.
        readings: other ways to read the base model's score, of all of the material's videos, by name; NaN where there
            is none.
    """

    material: Material
    config: StudyConfig
    selected: Sequence[dict[str, Any]]
    scores: Sequence[Floats]
    difficulty: Floats
    waiting_for: str = ""
    notes: Sequence[str] = ()
    trials: Sequence[Trial] = ()
    readings: Mapping[str, Floats] = field(default_factory=dict)
    audit: Mapping[str, float] = field(default_factory=dict)


def run_study(config: StudyConfig, show: Show, *, overwrite: bool = False) -> Outcome:
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
    run = Run(config, show, overwrite)
    if config.quality.model != "statistical":
        KernelModel.load(Path(config.quality.model))  # not only after hours of decoding
    material = gather(config, show, overwrite=overwrite)
    check_comparison(config, material)
    # Each result names what made it, and that names what made its inputs.
    base, maker = base_model(run, material)
    scores = [score_all(run, "scores", base, maker, material)]
    config = with_rehearsed_rule(config, material, base, show, overwrite=overwrite)
    run = replace(run, config=config)
    pool, labels = material.pool_arrays(config), gather_labels(run, material)
    state = start = State(base, base, material.labeled_source())
    budget = budget_of(config.selection, len(pool), pool.limits)
    pool = replace(pool, limits=budget.spread(config.rounds).limits)
    selected: list[dict[str, Any]] = []
    first = np.empty(0)
    audit: dict[str, float] = {}
    for turn, part in enumerate(budget_by_round(budget.videos, config.rounds), 1):
        run.show.note(f"Round {turn} of {config.rounds}: choosing from {len(pool) - len(selected)} videos")
        difficulty, maker = difficulty_table(run, turn, maker, material, partial(rate_difficulty, state, pool, config))
        first = difficulty if turn == 1 else first
        # Drawn once, while the pool is whole.
        drawn = budget.audit if turn == 1 else 0.0
        choose_with = partial(choose, state, pool, difficulty, config, part, audit=drawn)
        picks, maker = selection_table(run, turn, maker, material, pool, choose_with)
        selected += [{**row, "round": turn, "rank": len(selected) + row["rank"]} for row in picks]
        unrated = [row["id"] for row in picks if row["id"] not in labels.mos.keys() | labels.unratable]
        if unrated:
            return Outcome(material, config, selected, scores, first, ask_for_labels(run, turn, unrated, material))
        audit |= audit_labels(picks, labels)
        rated = [row["id"] for row in picks if row["id"] in labels.mos and row["rule"] != AUDIT]
        state, maker = learn_from(run, state, pool, rated, labels, maker)
        # Those that could not be rated are not chosen again either.
        state = replace(state, chosen=tuple(row["id"] for row in selected))
        scores.append(score_all(run, f"round-{turn}/scores", state.model, maker, material))
        state.model.save(config.out / f"round-{turn}" / "model.safetensors")
    trials = compare(config, material, pool, start, mean_budget(budget), show, overwrite=overwrite)
    return Outcome(material, config, selected, scores, first, trials=trials, audit=audit)


def base_model(run: Run, material: Material) -> tuple[KernelModel, Maker]:
    """f before any new label: trained on the source, or loaded from a file that an earlier study saved."""
    config = run.config
    if config.quality.model != "statistical":
        path = Path(config.quality.model)
        return KernelModel.load(path), {"step": "scores", "model": fingerprint(path.read_bytes().hex())}
    maker = {"step": "scores", "model": "statistical", "training": material.labels_fingerprint(), "seed": config.seed}
    maker |= {"features": material.maker["features"]}
    saved = run.config.out / "scores" / f"base-{fingerprint(maker)}.safetensors"
    if not saved.exists():
        with run.show.working(f"Training the base model on {len(material.source)} source videos"):
            fit_statistical(material.labeled_source(), seed=config.seed).save(saved)
    return KernelModel.load(saved), maker


def score_all(run: Run, name: str, model: KernelModel, maker: Maker, material: Material) -> Floats:
    """f on every usable video, limited to the 1-5 scale."""

    def rows() -> list[dict[str, Any]]:
        scores = np.clip(model.predict(material.features), 1, 5)
        return [
            *({"id": v.id, "score": s, "status": "ok"} for v, s in zip(material.videos, scores.tolist(), strict=True)),
            *({"id": i, "status": "undecodable", "text": why} for i, why in material.failures.items()),
        ]

    everyone = {"videos": fingerprint([video.id for video in material.videos])}
    table = run.table(name, SCORES, {**maker, **everyone}, rows)
    return column(table, [video.id for video in material.videos], "score")


def difficulty_table(run: Run, turn: int, before: Maker, material: Material, rate: Any) -> tuple[Floats, Maker]:
    """g on every video of the pool. It was trained to rank the cross-fitted errors of f on all labels so far."""
    config = run.config
    maker = {"step": "difficulty", "round": turn, "model": fingerprint(before), "material": material.maker}
    maker |= {"settings": config.difficulty.record(whole=True), "seed": config.seed}
    maker |= {"rule": COMMITTEE} if config.selection.rule == COMMITTEE else {}
    # Its rows are read by their place, so they must be these videos and no others.
    maker |= {"pool": fingerprint(material.ids(material.pool)), "source": material.labels_fingerprint()}

    def rows() -> list[dict[str, Any]]:
        with run.show.working(f"Round {turn}: training the failure predictor"):
            found: Prediction = rate(config.seed)
        run.show.note(str(found))
        write_choice(config.out / f"round-{turn}/difficulty", found)
        return difficulty_rows(material.ids(material.pool), found)

    table = run.table(f"round-{turn}/difficulty", DIFFICULTY, maker, rows)
    return column(table, material.ids(material.pool), "difficulty"), maker


def selection_table(
    run: Run, turn: int, before: Maker, material: Material, pool: Pool, choose_with: Any
) -> tuple[list[dict[str, Any]], Maker]:
    """D, as rows of a selection table: the first is to be labeled first."""
    config = run.config
    maker = {"step": "selection", "round": turn, "difficulty": fingerprint(before), "material": material.maker}
    settings = config.selection.record()
    maker |= {"settings": settings, "seed": config.seed, "rounds": config.rounds}
    maker |= {"limits": fingerprint(pool.limits.record())}

    def rows() -> list[dict[str, Any]]:
        return selection_rows(pool.ids, choose_with(config.seed + turn - 1), config.selection.rule)

    return run.table(f"round-{turn}/selection", SELECTION, maker, rows).to_pylist(), maker


def gather_labels(run: Run, material: Material) -> Labels:
    """All MOS of pool videos that anyone knows; says how many of them belong to no video of the pool."""
    known = pool_labels(run.config, material)
    strange = sorted(known.mos.keys() - set(material.ids(material.pool)))
    if strange:
        labels = run.config.labels
        run.show.note(f"{labels}: {len(strange)} of its ids are not in the usable pool, such as {strange[0]!r}")
    return known


def audit_labels(picks: Sequence[dict[str, Any]], labels: Labels) -> dict[str, float]:
    """MOS of the audit's videos among some picks."""
    return {row["id"]: labels.mos[row["id"]] for row in picks if row["rule"] == AUDIT and row["id"] in labels.mos}


def ask_for_labels(run: Run, turn: int, unrated: Sequence[str], material: Material) -> str:
    """Writes which videos need raters next, and says what to do with the list."""
    path = run.config.out / f"round-{turn}" / "to_label.csv"
    known = {video.id: video for video in material.videos}
    write_label_request(path, [known[video] for video in unrated])
    answer = run.config.labels or "a CSV that `labels:` in the study file names"
    return (
        f"{len(unrated)} videos need labels; they are listed in {path}, the most useful first. Put their MOS into "
        f"{answer} (columns id, mos; an empty mos says that a video could not be rated) and run again."
    )


def learn_from(
    run: Run, state: State, pool: Pool, rated: Sequence[str], labels: Labels, before: Maker
) -> tuple[State, Maker]:
    """f': fine-tuned on the source and all labels so far."""
    if not rated:
        raise ConfigError(f"{run.config.labels}: not one of the selected videos could be rated. Raise the budget.")
    maker = {"step": "finetune", "selection": fingerprint(before), "settings": run.config.finetuning.record(whole=True)}
    maker |= {"labels": fingerprint([(video, labels.mos[video]) for video in rated])}
    position = {video: index for index, video in enumerate(pool.ids)}
    indices = np.array([position[video] for video in rated], np.int64)
    mos = np.array([labels.mos[video] for video in rated])
    with run.show.working(f"Fine-tuning on {len(state.labeled)} labels and {len(rated)} new ones"):
        return learn(state, pool, indices, mos, run.config, run.config.seed), maker

"""The loop around a model that cannot be refitted in seconds: anyone's predictions or class, a vision-language model.

One round: its errors are measured as they are, and the selection goes out to raters. A vision-language model is then
fine-tuned here. The training set of any other is for its owner, who hands in the predictions of the fine-tuned model
(`quality.scores_after`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Videos
from mdsvqa.difficulty.held_out import Labeled, external_source
from mdsvqa.difficulty.prediction import Prediction, predict_difficulty
from mdsvqa.models.base import ModelError, QualityModel, Score
from mdsvqa.models.plugin import load_class, score_videos
from mdsvqa.models.predictions import read_predictions
from mdsvqa.models.vlm.load import is_vlm, score_with_vlm
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import SCORES, Maker, column, fingerprint, read_meta
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.user_tables import ColumnError, read_columns
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.audit import AUDIT, Budget, budget_of
from mdsvqa.selection.base import Pick
from mdsvqa.selection.catalogue import RULES as ALL_RULES
from mdsvqa.selection.select import select
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import Material, gather
from mdsvqa.study.loop import COMMITTEE, Pool
from mdsvqa.study.rehearsal.proxy import proxy_of
from mdsvqa.study.rehearsal.run import with_rehearsed_rule
from mdsvqa.study.run import (
    Outcome,
    Run,
    ask_for_labels,
    audit_labels,
    difficulty_table,
    gather_labels,
    selection_table,
)
from mdsvqa.videos.labels import Labels, write_training_set
from mdsvqa.videos.video import Video

Floats = NDArray[np.float64]
# Rules that train f anew, and what is left for an f that is not trained here.
NEED_REFITS = tuple(rule.name for rule in ALL_RULES.values() if rule.difficulty == COMMITTEE)
RULES = tuple(rule for rule in ALL_RULES if rule not in NEED_REFITS)


def run_external(config: StudyConfig, show: Show, *, overwrite: bool = False) -> Outcome:
    """One round for a model given as predictions or as a class; see `study.run_study`."""
    if config.rounds != 1 or config.comparison.rules:
        raise ConfigError(
            "rounds and comparison need a model that can be fine-tuned here; `model: statistical` is one."
        )
    if config.selection.rule in NEED_REFITS:
        raise ConfigError(
            f"selection: rule {config.selection.rule} needs a model that can be refitted; `model: statistical` is one."
        )
    run = Run(config, show, overwrite)
    # Before hours of decoding: what is wrong with them is to be said now.
    own_class = config.quality.predictions is None and not is_vlm(config.quality.model)
    model = load_class(config.quality.model) if own_class else None
    for table in filter(None, (config.quality.predictions, config.quality.scores_after)):
        read_columns(table).numbers("score")
    material = gather(config, show, overwrite=overwrite)
    before, spread, expected, maker = base_scores(run, material, model)
    given = np.isfinite(before)
    material = material.only(given, "the quality model gave no score")
    before, spread, expected = before[given], spread[given], expected[given]
    both = config.quality.vlm.reading == "generate" and np.isfinite(expected).any()
    readings = {"parsed answer": before, "expected score": expected} if both else {}
    if config.selection.rule == "auto":
        stand_in = proxy_of(config, material, show, overwrite=overwrite)
        config = with_rehearsed_rule(
            config, stand_in.material, stand_in.base, show, rules=RULES, proxy=stand_in.said, overwrite=overwrite
        )
        run = replace(run, config=config)
    pool, labels = material.pool_arrays(config), gather_labels(run, material)
    everyone = Videos.of(material.features, before, readings=spread)
    learned, errors, held_out = external_source(
        labeled_part(everyone, material, material.source),
        labeled_part(everyone, material, material.source_test),
        config.difficulty,
        config.seed,
    )
    maker = {**maker, "held_out": held_out}
    rate: Callable[[int], Prediction] = partial(
        predict_difficulty, learned, everyone.take(material.pool), config.difficulty
    )
    if config.difficulty.adapter is not None:
        if not is_vlm(config.quality.model):
            raise ConfigError("difficulty.adapter: goes with a vision-language `quality.model`.")
        labeled = material.source_test if held_out else material.source
        rate = partial(rate_by_adapter, run, material, before, labeled)
    difficulty, maker = difficulty_table(run, 1, maker, material, rate)
    budget = budget_of(config.selection, len(pool), pool.limits)
    picks, maker = selection_table(
        run, 1, maker, material, pool, partial(choose_external, pool, difficulty, config, budget)
    )
    selected = [{**row, "round": 1} for row in picks]
    notes = [errors]
    show.note(errors)
    unrated = [row["id"] for row in picks if row["id"] not in labels.mos.keys() | labels.unratable]
    if unrated:
        request = ask_for_labels(run, 1, unrated, material)
        return Outcome(material, config, selected, [before], difficulty, request, notes, readings=readings)
    training = config.out / "training_set.csv"
    source = [material.videos[int(i)] for i in material.source]
    audit = audit_labels(picks, labels)
    chosen = {row["id"] for row in picks if row["rule"] != AUDIT}
    new = [video for i in material.pool if (video := material.videos[int(i)]).id in chosen & labels.mos.keys()]
    write_training_set(training, source, new, labels)
    if config.quality.scores_after is None and config.quality.predictions is None and model is None:
        after, verdict = fine_tuned_scores(run, material, before, source, rated_videos(new, labels))
        notes += verdict
        return Outcome(
            material, config, selected, [before, after], difficulty, "", notes, readings=readings, audit=audit
        )
    if config.quality.scores_after is None:
        request = (
            f"Fine-tune your model on {training} (compare MOS within a dataset only), score all videos again, name "
            "that CSV as `quality: {scores_after: ...}` in the study file, and run again."
        )
        return Outcome(material, config, selected, [before], difficulty, request, notes, readings=readings, audit=audit)
    ids = [video.id for video in material.videos]
    after = as_array(read_predictions(config.quality.scores_after, ids))
    if not np.isfinite(after[material.target_test]).all():
        raise ColumnError(f"{config.quality.scores_after}: has no score for some test videos.")
    return Outcome(material, config, selected, [before, after], difficulty, "", notes, readings=readings, audit=audit)


def base_scores(run: Run, material: Material, model: QualityModel | None) -> tuple[Floats, Floats, Floats, Maker]:
    """f's scores of all usable videos, their spread over samples, and expected scores, each NaN where there is none."""
    config, videos = run.config, material.videos
    folder, workers = config.out / "scores", cores(config.workers)
    ids = [video.id for video in videos]
    if config.quality.predictions is not None:
        scores = read_predictions(config.quality.predictions, ids)
        content = fingerprint([[score.id, score.score] for score in scores])
        maker: dict[str, Any] = {"step": "scores", "model": "precomputed", "predictions": content}
        table = run.table("scores", SCORES, maker, lambda: [vars(score) for score in scores])
    elif model is None:
        name, settings = config.quality.model, config.quality.vlm
        table = score_with_vlm(videos, folder, name, settings, workers, run.show, overwrite=run.overwrite)
        maker = read_meta(folder)["maker"]
    else:
        maker = {"step": "scores", "model": config.quality.model, "frames": config.quality.frames}
        frames = config.quality.frames
        table = score_videos(videos, folder, model, maker, frames, workers, run.show, overwrite=run.overwrite)
    return column(table, ids, "score"), column(table, ids, "spread"), column(table, ids, "expected"), maker


def rate_by_adapter(run: Run, material: Material, scores: Floats, labeled: NDArray[np.int64], seed: int) -> Prediction:
    """Difficulty of the pool by an adapter on f; the videos that it gives no answer for are the easiest."""
    from mdsvqa.difficulty.vlm.predict import predict_with_vlm  # noqa: PLC0415
    from mdsvqa.difficulty.vlm.train import train_failure_predictor  # noqa: PLC0415

    config, show, overwrite = run.config, run.show, run.overwrite
    name, vlm, workers = config.quality.model, config.quality.vlm, cores(config.workers)
    frozen = vlm.below()
    adapter = str(config.difficulty.adapter)
    if adapter == "train":
        folder = config.out / "failure-predictor"
        videos = [material.videos[int(index)] for index in labeled]
        known = {material.videos[int(index)].id: float(scores[index]) for index in labeled}
        training = config.difficulty.vlm.model_copy(update={"seed": seed})
        train_failure_predictor(videos, known, folder, name, frozen, training, workers, show, overwrite=overwrite)
        adapter = str(folder)
    pool = [material.videos[int(index)] for index in material.pool]
    table = predict_with_vlm(
        pool, config.out / "failure-predicted", name, adapter, frozen, workers, show, overwrite=overwrite
    )
    difficulty = column(table, material.ids(material.pool), "difficulty")
    missing = np.isnan(difficulty)
    if missing.all():
        raise ModelError(f"adapter {adapter!r}: gives no difficulty for any video of the pool.")
    if missing.any():
        show.note(f"Difficulty: {missing.sum()} of {len(pool)} videos have none; they are taken for the easiest")
    return Prediction(np.where(missing, np.nanmin(difficulty), difficulty), f"adapter {adapter}")


def rated_videos(new: Sequence[Video], labels: Labels) -> list[Video]:
    """Newly labeled videos with their MOS."""
    return [replace(video, mos=labels.mos[video.id]) for video in new]


def fine_tuned_scores(
    run: Run, material: Material, before: Floats, source: Sequence[Video], new: Sequence[Video]
) -> tuple[Floats, list[str]]:
    """f': an adapter in `finetuned`, its scores of all videos, and sentences that say whether it is better."""
    from mdsvqa.models.training.finetune import finetune_vlm  # noqa: PLC0415

    config = run.config
    name, vlm, workers = config.quality.model, config.quality.vlm, cores(config.workers)
    # f's own adapter becomes a part of the base.
    on_top = vlm.below()
    folder = config.out / "finetuned"
    training = config.finetuning.vlm.model_copy(update={"seed": config.seed})
    course, compared = finetune_vlm(
        source, new, [], folder, name, on_top, training, workers, run.show, overwrite=run.overwrite
    )
    tuned = on_top.model_copy(update={"adapter": str(folder)})
    table = score_with_vlm(
        material.videos, config.out / "round-1" / "scores", name, tuned, workers, run.show, overwrite=run.overwrite
    )
    sentences = [f"Fine-tuned model on {each}." for each in compared]
    if course.stopped:
        sentences.append(f"Fine-tuning stopped early: {course.stopped}.")
    if course.best_step == 0:
        sentences.append("No step of fine-tuning was better than the base model on the held-out videos.")
    for sentence in sentences:
        run.show.note(sentence)
    scores = column(table, [video.id for video in material.videos], "score")
    missing = np.isnan(scores)
    if missing.any():
        sentences.append(
            f"The fine-tuned model gave no score for {missing.sum()} videos; those of the base model stand in for them."
        )
        scores[missing] = before[missing]
    return scores, sentences


def as_array(scores: list[Score]) -> Floats:
    """Scores as numbers, NaN where there is none."""
    return np.array([np.nan if score.score is None else score.score for score in scores], np.float64)


def labeled_part(everyone: Videos, material: Material, role: NDArray[np.int64]) -> Labeled:
    """The labeled videos in one of the source's roles; the code of a data set is the same in both roles."""
    names = [material.videos[int(index)].dataset for index in role]
    codes = {name: -code for code, name in enumerate(sorted({video.dataset for video in material.videos}))}
    return Labeled(everyone.take(role), material.mos(role), np.array([codes[name] for name in names], np.int64))


def choose_external(pool: Pool, difficulty: Floats, config: StudyConfig, budget: Budget, seed: int) -> list[Pick]:
    """D, in the order of the arguments that `selection_table` wants."""
    limits, audit = budget.limits, budget.audit
    return select(
        pool.ids, difficulty, pool.content, budget.videos, config.selection, limits=limits, audit=audit, seed=seed
    )


def is_external(model: str) -> bool:
    """Whether a quality model is one that cannot be fine-tuned here."""
    return model == "precomputed" or (model != "statistical" and Path(model).suffix != ".safetensors")

"""Trains a vision-language model to predict its own failures: an adapter on the frozen f that ranks f's errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.difficulty.cross_fitting import stratified_folds
from mdsvqa.difficulty.errors import measured_errors
from mdsvqa.difficulty.settings import FailureTraining
from mdsvqa.difficulty.vlm.reinforce import Reinforce
from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.base import score_values
from mdsvqa.models.card import CARD, write_card
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.training.batches import training_batches
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.loop import CHECKPOINT, LOG, Figures, TrainingHistory, read_course, steps_of, train_adapter
from mdsvqa.models.training.lora import add_lora, save_adapter
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.shared import claimed_by_first, compare_given, decode_shared, load_shared
from mdsvqa.models.training.vision_cache import VisionCache
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import Maker, fingerprint
from mdsvqa.runtime.run import Run
from mdsvqa.videos.video import Video

# The card comes last: where it is, all is done.
FILES = (CHECKPOINT, LOG, "adapter_config.json", "adapter_model.safetensors", CARD)
# Fewer held-out videos do not say when to stop, fewer others nothing to learn from.
FEWEST = 6


@dataclass(frozen=True)
class FailureSet:
    """What there is to learn from.

    Attributes:
        videos: n labeled videos that can be decoded.
        error: of f, at least 0, shape (n,).
        dataset: integer code of each label's study, shape (n,).
        held_out: whether a video only says when to stop, shape (n,).
    """

    videos: Sequence[Video]
    error: Floats
    dataset: Ints
    held_out: Flags


def train_failure_predictor(
    videos: Sequence[Video],
    scores: Mapping[str, float],
    model: str,
    settings: VlmSettings,
    training: FailureTraining,
    run: Run,
) -> list[Figures]:
    """Trains g and writes it as a PEFT adapter with a card; goes on where an earlier run was killed.

    Args:
        videos: labeled, with paths; best ones that f did not learn from.
        scores: f's, of the videos by id; videos without one are left out.
        model: f's checkpoint: a folder or a Hub name.
        settings: what f sees; its own adapter, if it has one, is `base_adapter`.
        training: objective, rates, lengths.

    Returns:
        How it went: figures of each evaluation, as in its log.

    Raises:
        InputError: too few videos have a label, a score and a file that can be decoded.
    """
    known = [video for video in videos if video.mos is not None and video.path is not None and video.id in scores]
    labels = [(video.id, video.mos, scores[video.id], video.dataset) for video in known]
    maker: Maker = {
        "step": "failure predictor",
        "model": model,
        "adapter": settings.base_adapter,
        "videos": fingerprint(labels),
        "frames": settings.seen(),
        "prompt": prompts.prompt_fingerprint(prompts.DIFFICULTY),
        "training": training.record(),
    }
    processes = Processes()
    given = {f"source video {video}": f"MOS {mos} of {of}, score {score}" for video, mos, score, of in labels}
    compare_given(given, maker, processes)
    with claimed_by_first(run.out, maker, FILES, processes, overwrite=run.overwrite):
        done = processes.of_first(lambda: read_course(run.out) if (run.out / FILES[-1]).is_file() else None)
        if done is not None:
            run.show.note(f"Failure predictor: reused from {run.out}")
            return done.log
        # Too few videos are said before minutes of loading.
        failure_set(known, scores, training)
        frozen = settings.model_copy(update={"merge": True, "max_pixels": training.max_pixels})
        checkpoint = load_shared(model, frozen, run.show, processes)
        adapted = add_lora(checkpoint.model, training.lora, training.seed)
        reading = Readers.of(Checkpoint(adapted, checkpoint.processor, checkpoint.maker), frozen)
        cache = ClipCache(run.out / "clips", reading.expected.sight)
        there = decode_shared(cache, known, run.workers, run.show, processes)
        failures = failure_set(there, scores, training)
        course = _train(adapted, reading, failures, cache, training, run.out, run.show, processes)
        if processes.rank == 0:
            save_adapter(adapted, run.out, model)
            _write_card(run.out, model, reading.expected.family.name, settings, training, failures, course)
        return course.log


def failure_set(videos: Sequence[Video], scores: Mapping[str, float], training: FailureTraining) -> FailureSet:
    """Measures f's errors, and holds some videos out.

    Raises:
        InputError: there are too few.
    """
    names = sorted({video.dataset for video in videos})
    dataset = np.array([names.index(video.dataset) for video in videos], np.int64)
    score = np.array([scores[video.id] for video in videos], np.float64)
    mos = np.array([video.mos for video in videos], np.float64)
    folds = max(2, round(1 / training.held_out))
    held_out = stratified_folds(dataset, folds, training.seed) == 0
    if min(held_out.sum(), (~held_out).sum()) < FEWEST:
        raise InputError(
            f"the failure predictor needs at least {FEWEST} videos to learn from and {FEWEST} held out to stop by, "
            f"with MOS, score and file; found {(~held_out).sum()} and {held_out.sum()}."
        )
    error = measured_errors(training.error, score, mos, dataset, seed=training.seed)
    return FailureSet(videos, error, dataset, held_out)


@dataclass(frozen=True)
class Readers:
    """One model asked for the difficulty in two ways: its expected answer, and a reply that it writes."""

    expected: VlmReader
    written: VlmReader

    @classmethod
    def of(cls, checkpoint: Checkpoint, settings: VlmSettings) -> "Readers":
        expected = VlmReader(
            checkpoint, settings.model_copy(update={"reading": "expected", "samples": 1}), prompts.DIFFICULTY
        )
        # The question asks for nothing but the answer.
        short = settings.model_copy(update={"reading": "generate", "max_new_tokens": 16})
        written = VlmReader(checkpoint, short, prompts.DIFFICULTY)
        written.prompt = expected.prompt
        return cls(expected, written)


def _train(
    adapted: Any,
    reading: Readers,
    failures: FailureSet,
    cache: ClipCache,
    training: FailureTraining,
    out: Path,
    show: Show,
    processes: Processes,
) -> TrainingHistory:
    seen = VisionCache(cache, reading.expected, out / "vision", training.vision_cache, processes.size)
    learned = np.flatnonzero(~failures.held_out)
    kept = np.flatnonzero(failures.held_out)
    objective: Fidelity | Reinforce
    if training.objective == "fidelity":
        objective = Fidelity(reading.expected, failures.error, failures.dataset, training.format_weight)
    else:
        objective = Reinforce(reading.written, failures.error, failures.dataset, training.format_weight)

    def evaluate() -> Figures:
        adapted.eval()

        def read(places: Sequence[int]) -> Floats:
            clips = [seen.load(failures.videos[int(kept[place])]) for place in places]
            return score_values(reading.expected.read(clips))

        values = processes.each(len(kept), read)
        given = np.isfinite(values)
        errors, datasets = failures.error[kept][given], failures.dataset[kept][given]
        srcc = srcc_within(values[given], errors, datasets) if given.mean() > 0.5 else float("nan")
        return {"srcc": srcc, "spread": float(np.std(values[given])) if given.any() else 0.0}

    return train_adapter(
        adapted,
        objective,
        lambda: (
            learned[batch]
            for batch in training_batches(
                failures.dataset[learned], np.zeros(len(learned), bool), training.batch_size, training.seed
            )
        ),
        lambda index: seen.load(failures.videos[index]),
        evaluate,
        training,
        steps_of(training, len(learned)),
        out,
        show,
        processes,
    )


def _write_card(
    out: Path,
    model: str,
    family: str,
    settings: VlmSettings,
    training: FailureTraining,
    failures: FailureSet,
    course: TrainingHistory,
) -> None:
    best = next(line for line in course.log if line["step"] == course.best_step)
    start = course.log[0]["srcc"]
    held_out = int(failures.held_out.sum())
    own = "".join(f" --base-adapter {name}" for name in settings.base_adapters)
    write_card(
        out,
        base=model,
        family=family,
        lora=training.lora,
        title="Failure predictor of a video quality model",
        purpose=(
            "Ranks videos by how wrong the base model's quality score is expected to be, to choose those worth "
            "labeling. It says nothing of the quality of a video, and only the order of its values means anything."
        ),
        prompt=prompts.DIFFICULTY,
        output="a difficulty from 1 to 5 inside `<answer>` tags; read it as the expected value of the answer",
        details={
            **(
                {"Adapter of the base model": f"`{'`, `'.join(settings.base_adapters)}`, merged before this one"}
                if own
                else {}
            ),
            "Training data": f"{len(failures.videos) - held_out} labeled videos of "
            + ", ".join(sorted({video.dataset for video in failures.videos})),
            "Objective": f"{training.objective}, on errors of kind {training.error}",
            "Optimiser": f"AdamW, learning rate {training.learning_rate:g}, {course.log[-1]['step']:.0f} steps of "
            f"{training.batch_size} videos, the weights of step {course.best_step}",
        },
        results=[
            f"SRCC of difficulty with the base model's errors on {held_out} held-out videos, which chose the step: "
            f"{best['srcc']:.3f} (before training {start:.3f})",
            *([f"Training stopped early: {course.stopped}"] if course.stopped else []),
        ],
        usage=f"```sh\nmdsvqa difficulty predict VIDEOS --model {model}{own} --adapter FOLDER --out difficulty/\n```",
    )

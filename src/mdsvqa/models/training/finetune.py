"""Active fine-tuning of a vision-language model: from labels to an adapter, and whether it helped.

Above the rooms: the training is finetuning/'s, the proof is evaluation/'s.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.evaluation.bootstrap import resample_counts, srcc_draws
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.models.card import CARD, write_card
from mdsvqa.models.checkpoints import weights_fingerprint
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.adapter_trainer import AdapterTrainer
from mdsvqa.models.training.batches import check_shares
from mdsvqa.models.training.loop import CHECKPOINT, LOG, TrainingHistory, read_course
from mdsvqa.models.training.lora import read_adapter, save_adapter
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.shared import claimed_by_first, compare_given
from mdsvqa.models.training.training_set import TrainingSet, merge
from mdsvqa.models.vlm import prompts
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.results import Maker, fingerprint, json_text
from mdsvqa.runtime.run import Run
from mdsvqa.videos.video import Video

TRAINING_SET, COMPARISON = "training_set.csv", "comparison.json"
# The card comes last: where it is, all is done.
FILES = (CHECKPOINT, LOG, TRAINING_SET, COMPARISON, "adapter_config.json", "adapter_model.safetensors", CARD)
DRAWS = 2000


@dataclass(frozen=True)
class Compared:
    """The new model beside the base model on videos that neither learned from in this training.

    Attributes:
        videos: which they are.
        n: how many.
        base, tuned: SRCC with MOS.
        gain: of the second over the first, paired over the videos.
    """

    videos: str
    n: int
    base: float
    tuned: float
    gain: Interval

    def __str__(self) -> str:
        return (
            f"{self.videos} ({self.n} videos): SRCC {self.tuned:.3f}, base model {self.base:.3f}, "
            f"{self.gain.value:+.3f} [{self.gain.low:+.3f}, {self.gain.high:+.3f}]: {self.verdict}"
        )

    @property
    def verdict(self) -> str:
        """One word or a few on the interval of the gain."""
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "not distinguishable from the base model"


def finetune_vlm(
    source: Sequence[Video],
    new: Sequence[Video],
    audit: Sequence[Video],
    model: str,
    settings: VlmSettings,
    training: VlmFinetuning,
    run: Run,
    *,
    start: str | None = None,
) -> tuple[TrainingHistory, list[Compared]]:
    """f': an adapter that ranks source and newly labeled videos; goes on where an earlier run was killed.

    Args:
        source: labeled videos that f learned from.
        new: labeled since, in other studies.
        audit: labeled videos that were drawn uniformly from the pool; never learned from, only compared on.
        model: f's checkpoint: a folder or a Hub name.
        settings: what f sees; its own adapter, if it has one, is `base_adapter`.
        training: objective, rates, lengths, limits.
        start: folder of an adapter of the same shape that training goes on from; by default a fresh one.

    Returns:
        How it went, and the comparison on held-out and audit videos.

    Raises:
        InputError: too few labeled videos, or a model that cannot be loaded.
    """
    named = [[(v.id, v.mos, v.dataset) for v in part] for part in (source, new, audit)]
    maker: Maker = {
        "step": "fine-tuning",
        "model": model,
        "adapter": settings.base_adapter,
        "videos": fingerprint(named),
        "frames": settings.seen(),
        "prompt": prompts.prompt_fingerprint(prompts.quality_prompt("generate", settings.prompt)),
        "training": training.record(),
        **({} if start is None else {"start": weights_fingerprint(Path(start))}),
    }
    processes = Processes()
    parts = {"source": source, "new": new, "audit": audit}
    given = {f"{part} video {v.id}": f"MOS {v.mos} of {v.dataset}" for part, videos in parts.items() for v in videos}
    compare_given(given, maker, processes)
    with claimed_by_first(run.out, maker, FILES, processes, overwrite=run.overwrite):
        done = processes.of_first(
            lambda: (read_course(run.out), read_comparison(run.out)) if (run.out / CARD).is_file() else None
        )
        if done is not None:
            run.show.note(f"Fine-tuning: reused from {run.out}")
            return done
        # Too few labels, and steps that cannot be shared, are said before minutes of loading.
        whole = merge(source, new, training.held_out, training.seed)
        if training.objective == "grpo":
            step = min(training.batch_size, int((~whole.held_out).sum()))
            check_shares(step, training.generations, processes.size)
        trainer = AdapterTrainer.load(model, settings, training, run.out, run.show, processes)
        if start is not None:
            read_adapter(trainer.model, Path(start))
        there = trainer.decode([*source, *new, *audit], run.workers)
        old, fresh = ([video for video in part if video.id in there] for part in (source, new))
        known = merge(old, fresh, training.held_out, training.seed)
        if processes.rank == 0:
            known.write(run.out / TRAINING_SET)
        course = trainer.train(known)
        compared = _compare(trainer, known, [video for video in audit if video.id in there])
        if processes.rank == 0:
            save_adapter(trainer.model, run.out, model)
            record = json_text([asdict(each) for each in compared], indent=2)
            write_atomically(run.out / COMPARISON, (record + "\n").encode())
            _write_card(run.out, model, trainer.reader.family.name, settings, training, known, course, compared)
        processes.barrier()
    return course, compared


def read_comparison(folder: Path) -> list[Compared]:
    """The comparison that lies in the folder of an adapter."""
    rows: list[dict[str, Any]] = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
    return [Compared(**{**row, "gain": Interval(**row["gain"])}) for row in rows]


def compare(name: str, base: Floats, tuned: Floats, mos: Floats, seed: int = 0) -> Compared | None:
    """SRCC of two models on the same videos, and the paired bootstrap interval of their difference.

    Args:
        name: of the videos.
        base, tuned, mos: shape (n,); videos that one of the two has no score of are left out.

    Returns:
        None where fewer than five videos are left.
    """
    kept = np.isfinite(base) & np.isfinite(tuned)
    if kept.sum() < 5:
        return None
    x, y, z = base[kept], tuned[kept], mos[kept]
    counts = resample_counts(len(z), DRAWS, seed)
    before, after = srcc(x, z), srcc(y, z)
    draws = srcc_draws(y, z, counts) - srcc_draws(x, z, counts)
    return Compared(name, len(z), before, after, percentile_interval(after - before, draws))


def _compare(trainer: AdapterTrainer, known: TrainingSet, audit: Sequence[Video]) -> list[Compared]:
    found = []
    for code, name in enumerate(known.names):
        members = [known.videos[int(i)] for i in np.flatnonzero((known.dataset == code) & known.held_out)]
        found.append(_compared(trainer, f"held-out {name}", members))
    found.append(_compared(trainer, "audit sample", audit))
    return [each for each in found if each is not None]


def _compared(trainer: AdapterTrainer, name: str, videos: Sequence[Video]) -> Compared | None:
    if not videos:
        return None
    mos = np.array([video.mos for video in videos], np.float64)
    return compare(name, trainer.scores(videos, base=True), trainer.scores(videos), mos)


def _write_card(
    out: Path,
    model: str,
    family: str,
    settings: VlmSettings,
    training: VlmFinetuning,
    known: TrainingSet,
    course: TrainingHistory,
    compared: Sequence[Compared],
) -> None:
    learned = ~known.held_out
    counts = [f"{int((learned & (known.dataset == code)).sum())} of {name}" for code, name in enumerate(known.names)]
    own = "".join(f" --base-adapter {name}" for name in settings.base_adapters)
    details = {
        **(
            {"Adapter of the base model": f"`{'`, `'.join(settings.base_adapters)}`, merged before this one"}
            if own
            else {}
        ),
        "Training data": f"labeled videos: {', '.join(counts)}; {int((learned & known.new).sum())} of them labeled for "
        "this training",
        "Objective": training.objective,
        "Optimiser": f"AdamW, learning rate {training.learning_rate:g}, {course.log[-1]['step']:.0f} steps of "
        f"{training.batch_size} videos, the weights of step {course.best_step}",
    }
    formed = next((line["well_formed"] for line in course.log if line["step"] == course.best_step), float("nan"))
    write_card(
        out,
        base=model,
        family=family,
        lora=training.lora,
        title="Active fine-tuning of a video quality model",
        purpose=(
            "Predicts the mean opinion score of videos like those it was fine-tuned on, for research on no-reference "
            "video quality assessment. It belongs on its base model. Whether it is better than that is said below, on "
            "the videos that were at hand; on others nobody has looked."
        ),
        prompt=prompts.quality_prompt("generate", settings.prompt),
        output="a quality score from 1 to 5 inside `<answer>` tags behind the thinking in `<think>` tags",
        details=details,
        results=[
            *map(str, compared),
            f"Well-formed replies on held-out videos: {formed:.0%}",
            *([f"Training stopped early: {course.stopped}"] if course.stopped else []),
        ],
        usage=f"```sh\nmdsvqa score VIDEOS --model {model}{own} --adapter FOLDER --out scores/\n```",
    )

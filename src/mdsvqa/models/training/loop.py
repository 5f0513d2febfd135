"""Trains an adapter to rank: scores of a whole batch are compared, gradients flow through as many at a time as fit.

A ranking loss couples all videos of a batch, and a GPU may hold a few. So each step reads all scores first; the loss on
them gives each video's own coefficient, and each part of the batch is pulled by its coefficients. Where the graphs of
all parts fit the memory they are kept for that; else the parts are read again, with a graph. The gradient is that of
the whole batch. Several processes share the first half's scores and add up the second half's gradients, so that they
too compute what one would (after Gao et al. (2021), Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup).

All randomness of a step comes from the seed and the step's number: a rerun goes on as if it had never been killed.
"""

import gc
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from mdsvqa.models.batching import MemoryUse, batches_by_tokens, free_memory
from mdsvqa.models.settings import AdapterTraining
from mdsvqa.models.training.curves import draw_curves
from mdsvqa.models.training.lora import adapter_weights, set_adapter_weights
from mdsvqa.models.training.processes import DoesNotFit, Processes
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show

Figures = dict[str, float]
CPU_TOKENS = 16_384
# Of what the graphs of a batch take: some of its videos are read a second time, with a reply.
_WITH_REPLIES = 1.5
# The gradients and both moments of AdamW, against the weights.
_BESIDE_WEIGHTS = 3
CHECKPOINT, LOG, CURVES = "checkpoint.safetensors", "log.csv", "tensorboard"


@dataclass
class Readings:
    """What was read of a part of a batch.

    Attributes:
        values: one a clip, float32, NaN where there is none, shape (B,).
        kept: what the objective needs again of each clip.
    """

    values: Tensor
    kept: Sequence[Any] = ()


class Objective(Protocol):
    """What a step tries to make better.

    Attributes:
        overhead: tokens that a clip takes beside those of its video.
    """

    overhead: int

    def read(self, clips: Sequence[ModelClip]) -> Readings:
        """Reads clips, in a random state that is the same when `surrogate` is called."""
        ...

    def coefficients(self, values: Tensor, batch: Ints) -> tuple[Tensor, Figures]:
        """From the values of the whole batch (shape (B,), in the order of its indices) to a coefficient of each."""
        ...

    def surrogate(self, clips: Sequence[ModelClip], part: Ints, readings: Readings, coefficients: Tensor) -> Tensor:
        """What is to become smaller: its gradient, summed over the parts of a batch, is the batch's."""
        ...


@dataclass
class TrainingHistory:
    """How a training went.

    Attributes:
        log: figures of each evaluation, with `step`, `seconds` and those of the steps before it, averaged.
        best_step: of the weights that were kept; 0 is the start.
        stopped: why it ended before its last step; "" where it did not.
    """

    log: list[Figures] = field(default_factory=list)
    best_step: int = 0
    stopped: str = ""


class Stop(Exception):
    """An evaluation says that going on would do harm; the message says why."""


def train_adapter(
    model: Any,
    objective: Objective,
    batches: Callable[[], Any],
    load: Callable[[int], ModelClip],
    evaluate: Callable[[], Figures],
    training: AdapterTraining,
    steps: int,
    folder: Path,
    show: Show,
    processes: Processes,
) -> TrainingHistory:
    """Trains the adapter of a model in place, and leaves it with the best weights that were evaluated.

    Args:
        model: with an adapter of `lora.add_lora`.
        objective: what to learn.
        batches: makes the iterator of all batches' indices, from the first on.
        load: from an index to its clip.
        evaluate: on held-out videos; "srcc" decides. Raises `Stop` where training went wrong.
        training: rates and lengths.
        steps: batches.
        folder: of the checkpoint, from which a rerun goes on.
        processes: the processes that share the work.
    """
    run = _Run(model, training, steps, folder, processes)
    course = processes.together(run.resume)
    processes.compare("checkpoint", {"the step that it was written after": str(run.step)})
    if run.step:
        show.note(f"Training: goes on at step {run.step} of {steps}")
    if run.step < steps and not course.stopped:
        show.progress("Training", run.step, steps)
    every = max(1, math.ceil(steps / training.evaluations))
    sums: list[Figures] = []
    try:
        if run.step == 0:
            run.record(course, processes.first(evaluate, Stop), sums, 0.0)
        began = time.perf_counter()
        for batch in islice(batches(), run.step, steps):
            if course.stopped:
                break
            sums.append(run.learn(objective, batch, load))
            show.progress("Training", run.step, steps)
            if run.step % every and run.step != steps:
                continue
            took = (time.perf_counter() - began) / len(sums)
            run.record(course, processes.first(evaluate, Stop), sums, took)
            show.note(f"step {run.step}: {formatted(course.log[-1])}")
            if run.step < steps and run.patience_is_over(course):
                course.stopped = f"no better SRCC on the held-out videos in {training.patience} evaluations"
            run.save(course)
            sums, began = [], time.perf_counter()
    except Stop as stop:
        course.stopped = str(stop)
        run.save(course)
    if course.stopped:
        show.note(f"Training stopped at step {run.step}: {course.stopped}")
    set_adapter_weights(model, run.best)
    model.eval()
    return course


def steps_of(training: AdapterTraining, videos: int) -> int:
    """How many batches a training has, if nothing stops it."""
    return training.steps or max(1, round(training.epochs * videos / min(training.batch_size, videos)))


def read_course(folder: Path) -> TrainingHistory:
    """How the training of a folder went, from its checkpoint."""
    with safe_open(folder / CHECKPOINT, "pt") as file:
        return _course(json.loads(file.metadata()["state"]))


def _course(state: dict[str, Any]) -> TrainingHistory:
    return TrainingHistory(state["log"], state["best_step"], state["stopped"])


def formatted(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items() if name != "step")


class _Run:
    """The state of a training: what a checkpoint holds."""

    def __init__(self, model: Any, training: AdapterTraining, steps: int, folder: Path, processes: Processes) -> None:
        self.model, self.training, self.steps, self.processes = model, training, steps, processes
        self.step = 0
        self._path = folder / CHECKPOINT
        self._weights = adapter_weights(model)
        self._optimiser = torch.optim.AdamW(
            list(self._weights.values()), training.learning_rate, weight_decay=training.weight_decay
        )
        self.best = self._copy()
        self._device = next(model.parameters()).device
        on_gpu = self._device.type == "cuda"
        self._given = training.batch_tokens or (None if on_gpu else CPU_TOKENS)
        # Bytes of a GPU that a token takes: in a graph that is kept, and beside it while it is worked on.
        self._bytes: tuple[float, float] | None = None
        self._keeps, self._largest = True, 0
        checkpointing = on_gpu if training.gradient_checkpointing is None else training.gradient_checkpointing
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": False})

    def _copy(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self._weights.items()}

    def learn(self, objective: Objective, batch: Ints, load: Callable[[int], ModelClip]) -> Figures:
        """One step of the optimiser."""
        self.model.train()
        mine = self.processes.share(batch)
        clips = self.processes.together(lambda: {int(index): load(int(index)) for index in mine})
        longest = max((clip.tokens for clip in clips.values()), default=0) + objective.overhead
        while True:
            try:
                figures = self._gradient(objective, batch, mine, clips)
                break
            except DoesNotFit:
                pass
            # Outside of the handler: the exception holds the frames that hold the memory.
            self._optimiser.zero_grad()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.processes.together(lambda: self._take_less(longest))
        for weight in self._weights.values():
            # A process without a part of this batch has none, and the others wait for it.
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.processes.sum([weight.grad for weight in self._weights.values() if weight.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(list(self._weights.values()), self.training.clip)
        for group in self._optimiser.param_groups:
            group["lr"] = self.training.learning_rate * self._rate()
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.step += 1
        return {**figures, "gradient": float(norm)}

    def _take_less(self, longest: int) -> None:
        if self._largest <= longest and not self._keeps:
            raise InputError(
                f"a video of {longest} tokens does not fit the device's memory in training; allow fewer frames or "
                "pixels."
            )
        self._given = max(self._largest // 2, longest)
        self._keeps = False

    def _rate(self) -> float:
        warm = max(1, round(self.training.warmup * self.steps))
        done = self.step + 1
        return done / warm if done <= warm else max(0.0, (self.steps - done + 1) / (self.steps - warm + 1))

    def _gradient(self, objective: Objective, batch: Ints, mine: Ints, clips: Mapping[int, ModelClip]) -> Figures:
        place = {int(index): k for k, index in enumerate(batch)}

        def read() -> tuple[list[Ints], bool, list[Readings]]:
            parts, kept = self._parts(objective, mine, clips)
            seen = []
            for part in parts:
                self._set_seed(part)
                with torch.set_grad_enabled(kept):
                    seen.append(objective.read([clips[int(index)] for index in part]))
            return parts, kept, seen

        parts, kept, seen = self.processes.together(read)
        values = torch.full((len(batch),), math.nan, device=self._device)
        for part, readings in zip(parts, seen, strict=True):
            values[[place[int(index)] for index in part]] = readings.values.detach().float()
        coefficients, figures = objective.coefficients(self.processes.gather(values), batch)

        def pull() -> None:
            for part in parts:
                readings = seen.pop(0)
                self._set_seed(part)
                own = coefficients[[place[int(index)] for index in part]]
                given = readings if kept else Readings(readings.values.detach(), readings.kept)
                lowered = objective.surrogate([clips[int(index)] for index in part], part, given, own)
                if lowered.requires_grad:
                    lowered.backward()

        self.processes.together(pull)
        return figures

    def _parts(self, objective: Objective, mine: Ints, clips: Mapping[int, ModelClip]) -> tuple[list[Ints], bool]:
        """Cuts this process's share of a batch into parts that fit, and says whether all their graphs do at once."""
        lengths = [clips[int(index)].tokens + objective.overhead for index in mine]
        whole = len(lengths) * max(lengths, default=0)
        if self._given is not None:
            most, kept = self._given, self._keeps and whole <= self._given
        else:
            if self._bytes is None and lengths:
                self._bytes = self._measured(objective, clips[int(mine[int(np.argmax(lengths))])])
            in_graph, beside = self._bytes or (1.0, 1.0)
            free = free_memory(self._device)
            if not self._optimiser.state:
                free -= _BESIDE_WEIGHTS * sum(weight.nbytes for weight in self._weights.values())
            left = free - _WITH_REPLIES * in_graph * whole
            kept = left > beside * max(lengths, default=0)
            most = max(1, int(left / beside if kept else free / (_WITH_REPLIES * in_graph + beside)))
        self._largest = min(most, whole)
        parts = [mine[np.sort(part)] for part in batches_by_tokens(lengths, most)] if len(mine) else []
        return parts, kept

    def _measured(self, objective: Objective, clip: ModelClip) -> tuple[float, float]:
        """What one video takes of a GPU's memory when it is learned from, in bytes a token."""
        for weight in self._weights.values():
            weight.grad = torch.zeros_like(weight)
        with MemoryUse(self._device) as graph, torch.enable_grad():
            values = objective.read([clip]).values
        values.sum().backward()
        most = torch.cuda.max_memory_allocated(self._device) - torch.cuda.memory_allocated(self._device)
        self._optimiser.zero_grad()
        tokens = clip.tokens + objective.overhead
        return graph.kept / tokens, max(most, graph.kept) / tokens

    def _set_seed(self, part: Ints) -> None:
        torch.manual_seed(hash((self.training.seed, self.step, int(part[0]))) % (1 << 62))

    def record(self, course: TrainingHistory, found: Figures, sums: Sequence[Figures], seconds: float) -> None:
        """Notes an evaluation, and keeps the weights if they are the best so far."""
        averages = {name: float(np.nanmean([s[name] for s in sums])) for name in (sums[0] if sums else {})}
        memory = {"gigabytes": torch.cuda.max_memory_allocated() / 1e9} if torch.cuda.is_available() else {}
        course.log.append({"step": self.step, **found, **averages, "seconds": seconds, **memory})
        best = max((line["srcc"] for line in course.log[:-1] if not math.isnan(line["srcc"])), default=-math.inf)
        if found["srcc"] > best:
            self.best, course.best_step = self._copy(), self.step

    def patience_is_over(self, course: TrainingHistory) -> bool:
        since = sum(line["step"] > course.best_step for line in course.log)
        return since >= self.training.patience

    def save(self, course: TrainingHistory) -> None:
        """Writes everything that a rerun needs, in one file."""
        if self.processes.rank != 0:
            return
        tensors = {f"weight {name}": weight.detach() for name, weight in self._weights.items()}
        tensors |= {f"best {name}": weight for name, weight in self.best.items()}
        for name, weight in self._weights.items():
            for key, value in self._optimiser.state.get(weight, {}).items():
                tensors[f"{key} {name}"] = value
        state = {"step": self.step, "log": course.log, "best_step": course.best_step, "stopped": course.stopped}
        kept = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, save(kept, {"state": json.dumps(state)}))
        names = list(dict.fromkeys(name for line in course.log for name in line))
        lines = [
            ",".join(names),
            *(",".join(f"{line.get(name, math.nan):.6g}" for name in names) for line in course.log),
        ]
        write_atomically(self._path.with_name(LOG), ("\n".join(lines) + "\n").encode())
        draw_curves(self._path.with_name(CURVES), course.log)

    def resume(self) -> TrainingHistory:
        """Takes up the state of the checkpoint, if there is one."""
        if not self._path.is_file():
            return TrainingHistory()
        with safe_open(self._path, "pt", str(self._device)) as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        set_adapter_weights(self.model, _named("weight", tensors))
        self.best = _named("best", tensors)
        for name, weight in self._weights.items():
            kept = {
                key: tensors[f"{key} {name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key} {name}" in tensors
            }
            if kept:
                # AdamW keeps its count of steps on the CPU.
                self._optimiser.state[weight] = {**kept, "step": kept["step"].cpu()}
        self.step = state["step"]
        return _course(state)


def _named(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{kind} "): value for name, value in tensors.items() if name.startswith(f"{kind} ")}

"""The published objective: group-relative policy optimisation with a ranking reward, on TRL's trainer.

TRL's trainer has no videos as of 1.16.0: it carries what a processor makes of them through generation and drops it in
the pass that computes log-probabilities. `VideoGRPOTrainer` carries the place of each sample's video instead, and makes
the model's inputs anew wherever they are needed. It overrides private methods, so it is pinned to that version.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from mdsvqa.models import transformers_vision  # noqa: F401

# First of all: trl imports the classes of transformers that see.
from mdsvqa.runtime.arrays import Floats, Ints

# isort: split
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation

from mdsvqa.models.batching import batches_by_tokens
from mdsvqa.models.settings import VlmFinetuning
from mdsvqa.models.training.batches import check_shares
from mdsvqa.models.training.curves import draw_curves
from mdsvqa.models.training.loop import CHECKPOINT, CURVES, Figures, Stop, TrainingHistory
from mdsvqa.models.training.lora import adapter_weights, set_adapter_weights
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.rewards import ranking_rewards, well_formed
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.answers import parse_answer
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.generation import end_tokens
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.token_sampling import chosen_log_probabilities
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show

PINNED = "1.16.0"
# Completions that a device computes the gradients of at a time.
CPU_SAMPLES, GPU_SAMPLES = 32, 4


class VideoGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer for replies to one question about videos.

    Rows of the data set have a `prompt` (any), and `index`: the place of the video.

    Args:
        writer: the model with the prompt that replies are to.
        load: from a place to a clip.
        mos, dataset: by place.
        order: places of the videos of each generation batch, in order.
    """

    def __init__(
        self,
        *arguments: Any,
        writer: VlmReader,
        load: Callable[[int], ModelClip],
        mos: Tensor,
        dataset: Tensor,
        order: Sequence[Sequence[int]],
        **keywords: Any,
    ) -> None:
        self.writer, self.load, self.mos, self.dataset, self.order = writer, load, mos, dataset, order
        self._places: list[int] = []
        self._ends = {writer.tokenizer.pad_token_id, *end_tokens(writer.model)}
        super().__init__(*arguments, reward_funcs=[self._rank, self._form], **keywords)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return _Order(self.order, self.num_generations, self.num_iterations * self.args.steps_per_generation)

    def _rank(self, completions: Sequence[Any], index: Sequence[int], log_metric: Any = None, **_: Any) -> list[float]:
        """Rewards of this process's replies among the videos of all processes."""
        values = [parse_answer(completion[0]["content"]).value for completion in completions]
        device = self.accelerator.device
        own = torch.tensor([[np.nan if v is None else v, i] for v, i in zip(values, index, strict=True)], device=device)
        everyone = self.accelerator.gather(own).cpu()
        places = everyone[:, 1].long()
        found = ranking_rewards(everyone[:, 0], places, self.mos[places], self.dataset[places])
        if log_metric is not None:
            log_metric("unparsable", sum(value is None for value in values) / len(values))
        start = self.accelerator.process_index * len(values)
        mine: list[float] = found[start : start + len(values)].tolist()
        return mine

    def _form(self, completions: Sequence[Any], **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        return [float(well_formed(text) and parse_answer(text).value is not None) for text in texts]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._places = [int(row["index"]) for row in inputs]
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        # It is shuffled and split with the samples.
        output["places"] = torch.tensor(self._places, device=output["prompt_ids"].device)
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        self._places = inputs["places"].tolist()
        loss: Tensor = super()._compute_loss(model, inputs)
        return loss

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        clips = [self.load(place) for place in self._places]
        batch = self.writer.batch(clips, [self.writer.prompt] * len(clips))
        kept = batch.pop("attention_mask").bool()
        ids = [row[mask].tolist() for row, mask in zip(batch.pop("input_ids"), kept, strict=True)]
        seen = self.writer.family.visual_inputs(batch)
        kinds = {
            name: [row[mask].tolist() for row, mask in zip(batch[name], kept, strict=True)]
            for name in batch.keys() - seen.keys()
        }
        return ids, None, {**seen, **kinds}

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, *_: Any, **__: Any
    ) -> tuple[list[list[int]], None]:
        """Replies to this process's prompts, by the engine that scores; the question is read once a video."""
        began = time.perf_counter()
        groups = self._places[::num_generations]
        whole = self._places == [place for place in groups for _ in range(num_generations)]
        places, samples = (groups, num_generations) if whole else (self._places, 1)
        clips = [self.load(place) for place in places]
        lengths = [(clip.tokens + self.writer.overhead) * samples for clip in clips]
        written: dict[int, list[list[int]]] = {}
        self.model.eval()
        shared = unwrap_model_for_generation(
            self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation
        )
        with shared, torch.no_grad(), self._dist.summon_full_params(self.model_wrapped, recurse=False):
            for batch in batches_by_tokens(lengths, self.writer.batch_tokens(clips)):
                rows = self.writer.written([clips[k] for k in batch], samples, self.temperature, answer_ends=False)
                found = [self._until_end(row) for row in rows.tolist()]
                written |= {k: found[i * samples : (i + 1) * samples] for i, k in enumerate(batch)}
        self.model.train()
        self._metrics["train"]["drawing_seconds"].append(time.perf_counter() - began)
        return [row for k in range(len(clips)) for row in written[k]], None

    def _until_end(self, row: list[int]) -> list[int]:
        """The tokens of a reply up to the one that ends it."""
        ends = [place for place, token in enumerate(row) if token in self._ends]
        return row[: ends[0] + 1] if ends else row

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        size = batch_size or len(input_ids)
        logs, entropies = [], []
        began = time.perf_counter()
        for start in range(0, len(input_ids), size):
            part = slice(start, start + size)
            logits = self._logits(model, input_ids[part], attention_mask[part], self._places[part], logits_to_keep)
            tokens, written = input_ids[part, -logits_to_keep:], attention_mask[part, -logits_to_keep:] > 0
            logs.append(chosen_log_probabilities(self.writer, logits, tokens, written))
            if compute_entropy:
                log_all = logits.detach().log_softmax(-1)
                entropies.append(-(log_all.exp() * log_all).sum(-1))
        if not torch.is_grad_enabled():
            self._metrics["train"]["reading_seconds"].append(time.perf_counter() - began)
        return torch.cat(logs), torch.cat(entropies) if compute_entropy else None, None

    def _logits(self, model: Any, ids: Tensor, mask: Tensor, places: Sequence[int], keep: int) -> Tensor:
        """Logits that the completion's tokens were drawn from, shape (B, keep, V)."""
        # Prompts only: what follows is in `ids` already.
        clips = [self.load(place) for place in places]
        batch = self.writer.batch(clips, [self.writer.prompt] * len(clips))
        family = self.writer.family
        kinds = family.token_kinds(ids, mask, self.writer.processor)
        with self.accelerator.autocast():
            outputs = model(
                input_ids=ids,
                attention_mask=mask,
                use_cache=False,
                logits_to_keep=keep + 1,
                **kinds,
                **family.visual_inputs(batch),
            )
        return outputs.logits[:, :-1].float() / self.temperature


class _Order:
    """Places in the order in which TRL's own sampler gives them: each as often as there are generations."""

    def __init__(self, batches: Sequence[Sequence[int]], generations: int, repeats: int) -> None:
        self._batches, self._generations, self._repeats = batches, generations, repeats

    def __len__(self) -> int:
        return sum(map(len, self._batches)) * self._generations * self._repeats

    def __iter__(self) -> Iterator[int]:
        for batch in self._batches:
            for _ in range(self._repeats):
                for place in batch:
                    yield from [place] * self._generations


class _Watcher(TrainerCallback):
    """Evaluates, keeps the best weights, and stops a training that does harm or no good."""

    def __init__(
        self,
        model: Any,
        watch: Callable[[], Figures],
        folder: Path,
        every: int,
        patience: int,
        show: Show,
        processes: Processes,
    ) -> None:
        self._model, self._watch, self._path = model, watch, folder / CHECKPOINT
        self._every, self._patience, self._show, self._processes = every, patience, show, processes
        self.course = TrainingHistory()
        self.best = {name: weight.detach().clone() for name, weight in adapter_weights(model).items()}
        self._logs: Figures = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step and self._path.is_file():
            with safe_open(self._path, "pt") as file:
                told = json.loads(file.metadata()["state"])
                self.best = {name.removeprefix("best "): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            # What was evaluated behind the trainer's own checkpoint comes again.
            log = [line for line in told["log"] if line["step"] <= state.global_step]
            self.course = TrainingHistory(log, told["best_step"], told["stopped"])
        else:
            self._evaluate(state, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Figures | None = None, **_: Any) -> None:
        names = ("reward", "kl", "unparsable", "reward_std", "step_time", "drawing_seconds", "reading_seconds")
        self._logs = {f"grpo_{name}": float(logs[name]) for name in names if logs and name in logs} or self._logs

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._show.progress("Training", state.global_step, state.max_steps)
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._evaluate(state, control)

    def _evaluate(self, state: Any, control: Any) -> None:
        training = self._model.training
        try:
            with torch.random.fork_rng():
                found = self._processes.first(self._watch, Stop)
        except Stop as stop:
            self.course.stopped, control.should_training_stop = str(stop), True
        else:
            best = max((line["srcc"] for line in self.course.log if line["srcc"] == line["srcc"]), default=-np.inf)
            self.course.log.append({"step": state.global_step, **found, **self._logs})
            if found["srcc"] > best:
                self.course.best_step = state.global_step
                self.best = {name: weight.detach().clone() for name, weight in adapter_weights(self._model).items()}
            since = sum(line["step"] > self.course.best_step for line in self.course.log)
            if since >= self._patience and state.global_step < state.max_steps:
                self.course.stopped = f"no better SRCC on the held-out videos in {self._patience} evaluations"
                control.should_training_stop = True
        self._model.train(training)
        told = {"step": state.global_step, "log": self.course.log}
        told |= {"best_step": self.course.best_step, "stopped": self.course.stopped}
        kept = {f"best {name}": weight.cpu().contiguous() for name, weight in self.best.items()}
        if state.is_world_process_zero:
            write_atomically(self._path, save(kept, {"state": json.dumps(told)}))
            draw_curves(self._path.with_name(CURVES), self.course.log)


def train_by_grpo(
    model: Any,
    writer: VlmReader,
    load: Callable[[int], ModelClip],
    mos: Floats,
    dataset: Ints,
    batches: Iterator[Ints],
    watch: Callable[[], Figures],
    training: VlmFinetuning,
    steps: int,
    folder: Path,
    show: Show,
    processes: Processes,
) -> TrainingHistory:
    """Trains the adapter of a model in place, and leaves it with the best weights that were evaluated.

    Args:
        model: with an adapter of `lora.add_lora`.
        writer: asks it for a reply with thinking.
        load: from a place to a clip.
        mos, dataset: by place, shape (n,).
        batches: places of the videos of each step.
        watch: evaluates on held-out videos.
        training: rates and lengths.
        steps: of the optimiser, each on one batch of all processes.
        folder: of the checkpoints, from which a rerun goes on.
        processes: that share the work.

    Raises:
        InputError: another version of trl is installed, or the replies of a step cannot be shared evenly.
    """
    check_version()
    order = [batch.tolist() for batch in islice(batches, steps)]
    size = min(map(len, order))
    check_shares(size, training.generations, processes.size)
    order = [batch[:size] for batch in order]
    on_gpu = next(model.parameters()).is_cuda
    samples = size * training.generations
    mine = samples // processes.size
    at_once = _divisor(mine, GPU_SAMPLES if on_gpu else CPU_SAMPLES)
    every = max(1, -(-steps // training.evaluations))
    arguments = GRPOConfig(
        output_dir=str(folder / "grpo"),
        max_steps=steps,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=mine // at_once,
        num_generations=training.generations,
        temperature=training.temperature,
        max_completion_length=training.max_new_tokens,
        beta=training.kl,
        learning_rate=training.learning_rate,
        warmup_steps=round(training.warmup * steps),
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip,
        loss_type="grpo",
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=on_gpu if training.gradient_checkpointing is None else training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        generation_kwargs={"suppress_tokens": writer.suppressed or None},
        save_steps=every,
        save_total_limit=1,
        logging_steps=1,
        # The curves of the evaluations come from here; Weights & Biases, where it is set up, gets the trainer's own.
        report_to=["wandb"] if os.environ.get("WANDB_PROJECT") and find_spec("wandb") else [],
        disable_tqdm=True,
        dataloader_num_workers=0,
        remove_unused_columns=False,
        seed=training.seed,
    )
    watcher = _Watcher(model, watch, folder, every, training.patience, show, processes)
    rows = {"prompt": [[{"role": "user", "content": prompts.QUALITY}]] * len(mos), "index": list(range(len(mos)))}
    trainer = VideoGRPOTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(rows),
        processing_class=writer.processor,
        callbacks=[watcher],
        writer=writer,
        load=load,
        mos=torch.from_numpy(mos),
        dataset=torch.from_numpy(dataset),
        order=order,
    )
    # The base is the model with its adapter switched off; a copy of the adapter would cost its memory again.
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_last_checkpoint(folder / "grpo"))
    set_adapter_weights(model, watcher.best)
    model.eval()
    return watcher.course


def check_version() -> None:
    """Raises an InputError where trl is not the version whose private methods are overridden."""
    found = version("trl")
    if found != PINNED:
        raise InputError(f"objective grpo: trl {found} is installed, and it needs {PINNED}: pip install trl=={PINNED}.")


def _divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is not above another.

    >>> _divisor(48, 32), _divisor(7, 4)
    (24, 1)
    """
    return next(size for size in range(min(number, most), 0, -1) if number % size == 0)


def _last_checkpoint(folder: Path) -> str | None:
    found = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    return str(found) if found else None

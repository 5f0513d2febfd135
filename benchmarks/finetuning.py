"""Seconds a step and peak memory of fine-tuning a vision-language model, by both objectives.

    python benchmarks/finetuning.py                   # a tiny model on the CPU
    python benchmarks/finetuning.py --size 7b         # random weights of the 7B configuration, on a GPU

The settings are the published ones: LoRA of rank 64, 20 frames a video of about 512 x 512 pixels, bfloat16 and gradient
checkpointing on a GPU. Fidelity: a batch of videos is read and ranked, a quarter of them with a reply of usual length.
GRPO: four replies a video are drawn first. The first steps do not count.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mdsvqa.models.base import Score
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.adapter_trainer import AdapterTrainer
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.training.lora import add_lora
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.training_set import TrainingSet
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.tiny.model import make_model, make_processor
from mdsvqa.runtime.progress import terminal
from mdsvqa.videos.video import Video
from vlm_scoring import build_7b

THOUGHT = "I look at sharpness, noise, blocks, exposure and motion, one after the other, and weigh them. " * 8


class Noise(ClipCache):
    """Clips of noise in place of decoded ones."""

    def __init__(self, sight: VisualLimits, frames: int, side: int) -> None:
        super().__init__(Path(), sight)
        self._shape = (frames, 3, side, side)

    def name(self, video: Video) -> str:
        """Of the file of what is seen in it."""
        return f"{video.id}.safetensors"

    def load(self, video: Video) -> ModelClip:
        """The same clip for the same video."""
        frames, _, height, width = self._shape
        pixels = np.random.default_rng(int(video.id)).integers(0, 256, self._shape, np.uint8)
        tokens = frames // self.sight.span * height * width // self.sight.patch**2
        return ModelClip(video.id, pixels, 1.0, tokens)


class Scored(VlmReader):
    """Random weights give no score on the scale, and watching would end the training: made-up ones stand in."""

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        """What is read takes its time, whatever comes out."""
        return [
            score if score.score is not None else Score(score.id, 1 + int(score.id) % 41 / 10)
            for score in super().read(clips, progress)
        ]


class Timed(AdapterTrainer):
    """Random weights write nothing that could be learned from: replies of a usual length stand in."""

    def _base_replies(self, known: TrainingSet, learned: NDArray[np.int64]) -> dict[int, str]:
        return {int(index): f"<think>{THOUGHT}</think>\n<answer>3.42</answer>" for index in learned}


def measure(objective: str, size: str, steps: int, batch: int, layers: int | None) -> dict[str, float]:
    """Seconds of a step after the first one, and gigabytes at the most where there is a GPU."""
    device = torch.device("cuda" if size == "7b" and torch.cuda.is_available() else "cpu")
    processor = make_processor()
    if size == "7b":
        processor.video_processor.size = {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28}
        model = build_7b(processor, layers, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
        frames, side = 20, 504
    else:
        model = make_model(processor.tokenizer)
        frames, side = 2, 224
    training = VlmFinetuning.model_validate(
        {
            "objective": objective,
            "steps": steps,
            "batch_size": batch,
            "evaluations": max(1, steps // 3),
            "watched": 1,
            # Of fidelity only evaluations write.
            "max_new_tokens": 128 if objective == "grpo" else 32,
        }
    ).model_copy(update={"least_spread": 0.0, "least_formed": 0.0})
    adapted = add_lora(model, training.lora, 0)
    checkpoint = Checkpoint(adapted, processor, {})
    reader = Scored(checkpoint, VlmSettings(reading="expected"))
    writer = VlmReader(checkpoint, VlmSettings(max_new_tokens=training.max_new_tokens))
    # Two steps see all of them: what the tower makes of them is there from then on.
    count = 6 + 2 * batch
    videos = [Video(str(k), Path(str(k)), "noise", "train", 1 + 4 * k / count) for k in range(count)]
    held_out = np.arange(count) < 6
    known = TrainingSet(videos, np.zeros(count, np.int64), ["noise"], np.zeros(count, bool), held_out)
    cache = Noise(reader.sight, frames, side)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder, terminal() as show:
        tuner = Timed(adapted, reader, writer, cache, training, Path(folder), show, Processes())
        course = tuner.train(known)
    column = "seconds" if objective == "fidelity" else "grpo_step_time"
    # A line is the mean of the steps since the one before it.
    found = {"seconds": float(np.min([line[column] for line in course.log[1:] if column in line]))}
    if objective == "grpo":
        names = ("drawing_seconds", "reading_seconds")
        found |= {name: course.log[-1].get(f"grpo_{name}", float("nan")) for name in names}
    if device.type == "cuda":
        found["gigabytes"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "7b"], default="tiny")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layers", type=int, help="of the 7B configuration; all of them by default")
    parser.add_argument("--objectives", nargs="+", default=["fidelity", "grpo"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"size": arguments.size, "batch": arguments.batch}
    if torch.cuda.is_available():
        found["card"] = torch.cuda.get_device_name()
    for objective in arguments.objectives:
        figures = measure(objective, arguments.size, arguments.steps, arguments.batch, arguments.layers)
        found |= {f"{objective}_{name}": round(value, 3) for name, value in figures.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

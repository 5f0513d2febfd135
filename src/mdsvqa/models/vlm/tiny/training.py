"""Teaches a tiny model to rate videos: to think in a sentence, and to answer with a score.

Half of the time it is asked to think first, half of the time for the answer only, as the real one is. Plain
cross-entropy on the reply, plus the squared error of the mean of its first digit, which says how far off a digit is.
With default weights it learns nothing in minutes: `initialise_vision` starts it from what an artefact changes, the
energies of the frequencies of a patch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits
from mdsvqa.models.vlm.expected import AnswerTokens
from mdsvqa.models.vlm.families.base import FirstLook
from mdsvqa.models.vlm.families.catalogue import family_of_model
from mdsvqa.models.vlm.tiny.model import frequency_filters, reply_to
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.progress import Show

_IGNORED = -100
# A thought is easy to learn; from the first digit on every token matters.
THOUGHT_WEIGHT = 0.3


@dataclass(frozen=True)
class TinyTraining:
    """How the tiny model learns; values by held-out SRCC on the simulated source after about a minute."""

    steps: int
    batch: int = 32
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.01
    seed: int = 0


def initialise_vision(look: FirstLook, pixels: Tensor) -> None:
    """Sets a vision tower to read frequencies of patches, whitened on some, and their energies.

    The first half of the channels are `frequency_filters`. The first block writes the energy of each into the second
    half: with a gate silu(x) * x + silu(-x) * -x = x^2; without one, by f(x) + f(-x), something like |x|.

    Args:
        look: its first layers.
        pixels: that a model is given: rows of patches, or whole frames.
    """
    embed = look.embed
    half = embed.weight.shape[0] // 2
    time, side = embed.weight[0, 0].shape[:-2].numel(), embed.weight.shape[-1]
    filters = torch.from_numpy(frequency_filters(half, time, side)).view(half, *embed.weight.shape[1:])
    identity = torch.eye(2 * half)[:half]
    with torch.no_grad():
        embed.weight.zero_()
        if embed.bias is not None:
            embed.bias.zero_()
        embed.weight[:half] = filters
        found = embed(pixels if pixels.ndim == 4 else pixels[::37].view(-1, *embed.weight.shape[1:]))[:, :half]
        spread = found.movedim(1, -1).flatten(0, -2).std(0)
        embed.weight[:half] /= (spread + 1e-3).view(half, *[1] * (embed.weight.ndim - 1))
        for layer in look.up:
            layer.bias.zero_()
            layer.weight[:half], layer.weight[half : 2 * half] = identity, -identity
        look.down.bias.zero_()
        look.down.weight[half:, : 2 * half] = torch.cat([torch.eye(half)] * 2, 1)
    # Its gradient costs a sixth of a step and brings nothing.
    embed.requires_grad_(False)


def train_tiny(
    model: Any,
    processor: Any,
    sight: VisualLimits,
    clips: Sequence[ModelClip],
    mos: Floats,
    training: TinyTraining,
    show: Show,
) -> None:
    """Trains a model of `tiny.make_model` in place.

    Args:
        model, processor: untrained.
        sight: with which the clips were read.
        clips: labeled videos.
        mos: of each, 1-5, shape (len(clips),).
        training: length and rates.
    """
    lesson = _Lesson(model, processor, sight)
    initialise_vision(lesson.family.first_look(model), lesson.pixels(clips[:200]))
    lesson.family.speed_up(model)
    rng = np.random.default_rng(training.seed)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learned, training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.learning_rate, total_steps=training.steps, pct_start=0.1
    )
    model.train()
    order: list[int] = []
    show.progress("Training the tiny model", 0, training.steps)
    for step in range(training.steps):
        while len(order) < training.batch:
            order += rng.permutation(len(clips)).tolist()
        drawn, order = order[: training.batch], order[training.batch :]
        seen = [_mirrored(clips[i]) if rng.random() < 0.5 else clips[i] for i in drawn]
        loss = lesson.loss(model, seen, [float(mos[i]) for i in drawn])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        show.progress("Training the tiny model", step + 1, training.steps)
    model.requires_grad_(True).eval()


def _mirrored(clip: ModelClip) -> ModelClip:
    return replace(clip, frames=np.ascontiguousarray(clip.frames[..., ::-1]))


class _Lesson:
    """Turns labeled clips into a loss."""

    def __init__(self, model: Any, processor: Any, sight: VisualLimits) -> None:
        self.family = family_of_model(model)
        self._processor, self._sight = processor, sight
        self._tokenizer = processor.tokenizer
        self._answer = AnswerTokens.of(self._tokenizer)
        self._thinking = self.family.prompt(processor, prompts.QUALITY)
        self._answer_only = self.family.prompt(processor, prompts.QUALITY_ANSWER_ONLY, prompts.ANSWER_OPENING)

    def pixels(self, clips: Sequence[ModelClip]) -> Tensor:
        """What a model is given of clips."""
        return next(iter(self.family.visual_inputs(self._batch(clips, [self._thinking] * len(clips))).values()))

    def _batch(self, clips: Sequence[ModelClip], told: Sequence[Prompt]) -> dict[str, Tensor]:
        return self.family.batch(clips, told, self._processor, self._sight, torch.device("cpu"))

    def _reply(self, mos: float, thinking: bool) -> list[int]:
        text = reply_to(mos)
        if not thinking:
            text = text[text.index(prompts.ANSWER_OPENING) :]
        ids = self._tokenizer(text + self._tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        opening = self._tokenizer(prompts.ANSWER_OPENING, add_special_tokens=False)["input_ids"]
        return list(ids if thinking else ids[len(opening) :])

    def loss(self, model: Any, clips: Sequence[ModelClip], mos: Sequence[float]) -> Tensor:
        """Cross-entropy of the replies and squared error of the first digit; every other clip thinks."""
        replies = [self._reply(value, thinking=place % 2 == 0) for place, value in enumerate(mos)]
        asked = [self._thinking if place % 2 == 0 else self._answer_only for place in range(len(clips))]
        told = [Prompt(p.before, [*p.after, *reply]) for p, reply in zip(asked, replies, strict=True)]
        batch = self._batch(clips, told)
        longest = max(len(reply) for reply in replies)
        wanted = torch.tensor([[_IGNORED] * (longest - len(reply)) + reply for reply in replies])
        logits = model(**batch, logits_to_keep=longest + 1).logits[:, :-1]
        digits = torch.tensor(self._answer.digits)
        is_digit = torch.isin(wanted, digits)
        answering = is_digit.cumsum(1) > 0
        thinking = (wanted != _IGNORED) & ~answering
        cross = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), wanted, reduction="none", ignore_index=_IGNORED
        )
        first = logits[torch.arange(len(clips)), is_digit.float().argmax(1)]
        chances = first.softmax(-1)[:, digits[1:6]]
        mean = chances @ torch.arange(1.0, 6.0) / chances.sum(1)
        # The mean of the first digit is half a point below that of the scores.
        off = ((mean - (torch.tensor(mos) - 0.5)) ** 2).mean()
        return cross[answering].mean() + THOUGHT_WEIGHT * cross[thinking].mean() + off

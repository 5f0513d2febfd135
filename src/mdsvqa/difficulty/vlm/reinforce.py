"""The published way to learn to rank errors, for comparison: an objective of `quality.adapter_training`."""

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from mdsvqa.evaluation.thurstone import preference, thurstone_probability
from mdsvqa.models.ranking_loss import fidelity_loss
from mdsvqa.models.training.loop import Figures, Readings
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.prompts import ANSWER_OPENING
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.token_sampling import Drawn, draw_replies, log_probabilities
from mdsvqa.runtime.arrays import Floats, Ints

# The whole reply that the question asks for.
_FORM = re.compile(r"\s*<answer>.*</answer>\s*", re.DOTALL)


class Reinforce:
    """The published objective: one sampled answer a video, rewarded by how it ranks and for its form.

    The reward of an answer is the mean over the batch's other videos of its data set of 1 - fidelity loss, plus a term
    where the whole reply has the asked form; its advantage is the reward less the batch's mean. An answer that cannot
    be parsed is rewarded with nothing, and no other answer is compared with it.

    Args:
        reader: reads a generated answer to the question that is trained, which is made to begin with `<answer>`.
        truth, dataset: as in `Fidelity`.
        format_weight: of the format term.

    Source: Zou et al. (2026), section 3; Williams (1992), REINFORCE.
    """

    def __init__(self, reader: VlmReader, truth: Floats, dataset: Ints, format_weight: float) -> None:
        self._reader, self._format_weight, self.overhead = reader, format_weight, reader.overhead
        self._truth, self._dataset = torch.from_numpy(truth), torch.from_numpy(dataset)

    def read(self, clips: Sequence[ModelClip]) -> Readings:
        """See `Objective`; the value is the answer, negative where it has not the asked form."""
        drawn = draw_replies(self._reader, clips, ANSWER_OPENING)
        values = [math.nan if d.value is None else (d.value if _FORM.fullmatch(d.text) else -d.value) for d in drawn]
        return Readings(torch.tensor(values, device=self._reader.device), drawn)

    def coefficients(self, values: Tensor, batch: Ints) -> tuple[Tensor, Figures]:
        """See `Objective`; the coefficient is the advantage, divided by the videos of the batch."""
        known = values.double().cpu()
        formed = known > 0
        rewards = answer_rewards(known.abs(), self._truth[batch], self._dataset[batch])
        total = rewards + self._format_weight * formed
        advantages = (total - total.mean()) / len(batch)
        return advantages.to(values), {"reward": float(rewards.mean()), "well_formed": float(formed.double().mean())}

    def surrogate(self, clips: Sequence[ModelClip], part: Ints, readings: Readings, coefficients: Tensor) -> Tensor:
        """See `Objective`; the log-probability of each reply times its advantage."""
        drawn: Sequence[Drawn] = readings.kept
        return -(log_probabilities(self._reader, clips, [d.tokens for d in drawn]) * coefficients).sum()


def answer_rewards(values: Tensor, truth: Tensor, dataset: Tensor) -> Tensor:
    """The ranking reward of each answer.

    Args:
        values: 1-5, NaN where there is none, shape (B,).
        truth, dataset: as in `ranking_loss`.

    Returns:
        Mean of 1 - fidelity loss over the other videos of the data set with an answer, in [0, 1]; 0 for a video
        without an answer or without others. Shape (B,), float64.

    >>> answer_rewards(torch.tensor([4.0, 2.0, float("nan")]), torch.tensor([2.0, 1.0, 3.0]), torch.zeros(3)).round(
    ...     decimals=3).tolist()
    [0.96, 0.96, 0.0]
    """
    there = ~torch.isnan(values)
    safe = values.nan_to_num().double()
    agree = 1 - fidelity_loss(
        thurstone_probability(safe[:, None], safe[None, :]), preference(truth[:, None], truth[None, :]).double()
    )
    compared = there[:, None] & there[None, :] & (dataset[:, None] == dataset[None, :])
    compared.fill_diagonal_(False)
    count = compared.sum(1)
    return (agree * compared).sum(1) / count.clamp_min(1)

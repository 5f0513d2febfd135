"""The expected answer, trained directly to rank: an objective of `quality.adapter_training`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdsvqa.evaluation.thurstone import preference, thurstone_probability
from mdsvqa.models.ranking_loss import fidelity_loss, pairs_within
from mdsvqa.models.training.loop import Figures, Readings
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.arrays import Floats, Ints


def ranking_loss(values: Tensor, truth: Tensor, dataset: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean fidelity loss of all pairs of one data set each.

    Args:
        values: predicted, 1-5, shape (B,); NaN where there is none, and such a video is in no pair.
        truth: what they should be in the order of, shape (B,).
        dataset: integer codes, shape (B,).
        weight: of each video, shape (B,); a pair weighs the product of its two. None weighs all the same.

    Returns:
        A scalar; 0 where there is no pair.

    >>> ranking_loss(torch.tensor([1.0, 5.0]), torch.tensor([0.2, 0.1]), torch.tensor([0, 0])).item() > 0.9
    True
    """
    there = torch.nonzero(~torch.isnan(values)).flatten()
    first, second = pairs_within(dataset[there])
    first, second = there[first], there[second]
    if not len(first):
        return values.nan_to_num().sum() * 0
    predicted = thurstone_probability(values[first], values[second])
    losses = fidelity_loss(predicted, preference(truth[first], truth[second]).to(predicted.dtype))
    if weight is None:
        return losses.mean()
    pair_weight = (weight[first] * weight[second]).to(losses)
    return (losses * pair_weight).sum() / pair_weight.sum()


class Fidelity:
    """The pairwise fidelity loss on the expected answer, differentiated through all of it.

    Beside it the negative log of the probability that the answer begins with a digit from 1 to 5: a model that was
    never asked this question may mean to answer something else, and then the mean over digits says nothing.

    Args:
        reader: reads the expected answer to the question that is trained.
        truth: to be ranked by, higher is higher, shape (n,).
        dataset: integer codes, shape (n,).
        form_weight: of the second term, a mean over the batch.
        weight: of each video, shape (n,); None weighs all the same.
    """

    def __init__(
        self, reader: VlmReader, truth: Floats, dataset: Ints, form_weight: float, weight: Floats | None = None
    ) -> None:
        self._reader, self._form_weight, self.overhead = reader, form_weight, reader.overhead
        self._truth, self._dataset = torch.from_numpy(truth), torch.from_numpy(dataset)
        self._weight = torch.from_numpy(np.ones(len(truth)) if weight is None else weight)
        self._count = 1

    def read(self, clips: Sequence[ModelClip]) -> Readings:
        """See `Objective`."""
        found = self._reader.expectation(clips)
        return Readings(found.value, [found])

    def coefficients(self, values: Tensor, batch: Ints) -> tuple[Tensor, Figures]:
        """See `Objective`; the coefficient is the loss's derivative by the value."""
        self._count = len(batch)
        leaf = values.detach().double().cpu().requires_grad_()
        with torch.enable_grad():
            loss = ranking_loss(leaf, self._truth[batch], self._dataset[batch], self._weight[batch])
        (gradient,) = torch.autograd.grad(loss, leaf)
        return gradient.to(values), {"loss": float(loss.detach())}

    def surrogate(self, clips: Sequence[ModelClip], part: Ints, readings: Readings, coefficients: Tensor) -> Tensor:
        """See `Objective`."""
        found = readings.kept[0] if readings.values.requires_grad else self._reader.expectation(clips)
        form = -torch.log(found.on_scale.clamp_min(torch.finfo(torch.float32).tiny)).sum() / self._count
        return (found.value * coefficients).sum() + self._form_weight * form

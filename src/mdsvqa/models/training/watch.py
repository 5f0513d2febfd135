"""What is watched while a vision-language model is fine-tuned, and when it has to stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.base import score_values
from mdsvqa.models.settings import VlmFinetuning
from mdsvqa.models.training.loop import Figures, Stop
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.arrays import Floats, Ints


@dataclass
class HeldOutMonitor:
    """Evaluations on held-out videos: rank, spread, form, and distance from the base model.

    Attributes:
        reader: reads the expected score.
        writer: writes replies.
        load: from a place among the held-out videos to its clip.
        mos, dataset: of the held-out videos, shape (n,).
        watched: places of those whose replies are written.
        settings: limits.
        processes: processes that share the reading.
        start: the first evaluation, before training.
    """

    reader: VlmReader
    writer: VlmReader
    load: Callable[[int], ModelClip]
    mos: Floats
    dataset: Ints
    watched: Sequence[int]
    settings: VlmFinetuning
    processes: Processes
    start: Figures | None = None

    def __call__(self) -> Figures:
        """Figures of an evaluation; `srcc` is NaN where too few replies are well-formed to go on from there.

        Raises:
            Stop: the scores have collapsed, or hardly a reply is well-formed any more.
        """
        self.reader.model.eval()

        def scores(places: Sequence[int]) -> Floats:
            return score_values(self.reader.read([self.load(place) for place in places]))

        def forms(places: Sequence[int]) -> list[float]:
            return [float(s.status == "ok") for s in self.writer.read([self.load(self.watched[k]) for k in places])]

        def divergences(places: Sequence[int]) -> list[float]:
            return [divergence(self.reader, self.load(self.watched[k])) for k in places]

        values = self.processes.each(len(self.mos), scores)
        given = np.isfinite(values)
        srcc = srcc_within(values[given], self.mos[given], self.dataset[given])
        spread = float(np.std(values[given])) if given.sum() > 1 else 0.0
        formed = float(np.mean(self.processes.each(len(self.watched), forms)))
        kl = float(np.mean(self.processes.each(len(self.watched), divergences)))
        found = {"srcc": srcc, "spread": spread, "well_formed": formed, "kl": kl}
        if self.start is None:
            self.start = found
        if spread < self.settings.least_spread * self.start["spread"] or given.mean() < 0.5:
            raise Stop(
                f"the scores of the held-out videos collapsed: their standard deviation is {spread:.3f} and was "
                f"{self.start['spread']:.3f} before training; {given.mean():.0%} of them have a score. Lower the "
                "learning rate."
            )
        before = self.start["well_formed"]
        if formed < 0.5 * self.settings.least_formed * before:
            raise Stop(
                f"the form broke: {formed:.0%} of the replies are well-formed, and {before:.0%} were before training. "
                "Raise text_weight, or lower the learning rate."
            )
        if formed < self.settings.least_formed * before:
            found["srcc"] = float("nan")
        return found


@torch.no_grad()
def divergence(reader: VlmReader, clip: ModelClip) -> float:
    """KL(f' || base) of the first token of the answer; the base is f' with its adapter switched off."""
    batch = reader.batch([clip], [reader.prompt])
    new = reader.model(**batch, logits_to_keep=1).logits[0, -1].float().log_softmax(-1)
    with reader.model.disable_adapter():
        old = reader.model(**batch, logits_to_keep=1).logits[0, -1].float().log_softmax(-1)
    return float((new.exp() * (new - old)).sum())

"""What is watched while a vision-language model is fine-tuned, and when it has to stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mdsvqa.evaluation.correlation import srcc_within
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
        places = np.arange(len(self.mos))
        mine = self.processes.share(places)
        clips = [self.load(int(place)) for place in mine]
        values = np.full(len(places), np.nan)
        values[mine] = [np.nan if s.score is None else s.score for s in self.reader.read(clips)]
        values = self.processes.gather_array(values)
        given = np.isfinite(values)
        srcc = srcc_within(values[given], self.mos[given], self.dataset[given])
        spread = float(np.std(values[given])) if given.sum() > 1 else 0.0
        some = [self.load(place) for place in self.watched]
        formed = float(np.mean([score.status == "ok" for score in self.writer.read(some)]))
        found = {"srcc": srcc, "spread": spread, "well_formed": formed, "kl": divergence(self.reader, some)}
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
def divergence(reader: VlmReader, clips: Sequence[ModelClip]) -> float:
    """Mean divergence KL(f' || base) of the first token of the answer; the base is f' with its adapter switched off."""
    total = 0.0
    for clip in clips:
        batch = reader.batch([clip], [reader.prompt])
        new = reader.model(**batch, logits_to_keep=1).logits[0, -1].float().log_softmax(-1)
        with reader.model.disable_adapter():
            old = reader.model(**batch, logits_to_keep=1).logits[0, -1].float().log_softmax(-1)
        total += float((new.exp() * (new - old)).sum())
    return total / len(clips)

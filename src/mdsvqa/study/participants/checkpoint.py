"""A vision-language checkpoint, read here and fine-tuned here: each round is an adapter on it."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.load import score_with_vlm
from mdsvqa.runtime.results import Maker, made_by
from mdsvqa.runtime.run import Run
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.predictions import handed_back
from mdsvqa.study.participants.unrefitted import Unrefitted
from mdsvqa.videos.video import Video

if TYPE_CHECKING:
    from mdsvqa.models.training.finetune import Compared
    from mdsvqa.models.training.loop import TrainingHistory


class CheckpointModel(Unrefitted):
    """A `StudyModel` that is a checkpoint.

    Args:
        config, run, turn, learned, before: as `Unrefitted`.
        settings: what it sees, and its adapters; those of the study where it has learned nothing yet.
        train: makes its adapter; None where it has learned nothing yet.

    Attributes:
        checkpoint: a folder or a Hub name.
    """

    def __init__(
        self,
        config: StudyConfig,
        run: Run,
        turn: int = 0,
        learned: NewLabels | None = None,
        before: StudyModel | None = None,
        settings: VlmSettings | None = None,
        train: "partial[tuple[TrainingHistory, list[Compared]]] | None" = None,
    ) -> None:
        super().__init__(config, run, turn, learned, before)
        self.checkpoint = config.quality.model
        self.settings = config.quality.vlm if settings is None else settings
        self._train, self._said = train, list[str]()

    @property
    def trains_here(self) -> bool:
        """Unless somebody hands in scores of a model that they fine-tuned."""
        return self.config.quality.scores_after is None

    def score_table(self, videos: Sequence[Video]) -> tuple[pa.Table, Maker]:
        """See `Unrefitted`; shard by shard."""
        self._trained()
        place = self.folder.within("scores")
        return score_with_vlm(videos, self.checkpoint, self.settings, place), made_by(place.out)

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> StudyModel | Waiting:
        """See `StudyModel`. It is trained when it is asked for a score; a training that was killed goes on."""
        if not self.trains_here:
            return handed_back(self, data, labels, turn)
        from mdsvqa.models.training.finetune import finetune_vlm  # noqa: PLC0415

        source, new = self.training_videos(data, labels)
        # f's own adapter becomes a part of the base.
        base = self.config.quality.vlm.below()
        training = self.config.finetuning.vlm.model_copy(update={"seed": seed})
        start = None
        if self.turn and training.start == "round":
            self._trained()
            start = self.settings.adapter
        place = self._adapter_of(turn)
        train = partial(finetune_vlm, source, new, [], self.checkpoint, base, training, place, start=start)
        tuned = base.model_copy(update={"adapter": str(place.out)})
        first = self if self.before is None else self.before
        return type(self)(self.config, self.run, turn, self.learned.join(labels), first, tuned, train)

    def notes(self, data: StudyData) -> list[str]:
        """See `StudyModel`."""
        self._trained()
        return [*self._said, *super().notes(data)]

    def _trained(self) -> None:
        if self._train is None:
            return
        course, compared = self._train()
        said = [f"Fine-tuned model on {each}." for each in compared]
        if course.stopped:
            said.append(f"Fine-tuning stopped early: {course.stopped}.")
        if course.best_step == 0:
            before = "the base model" if self._train.keywords["start"] is None else "the round before"
            said.append(f"No step of fine-tuning was better than {before} on the held-out videos.")
        self._said = [f"Round {self.turn}: {sentence}" if self.config.rounds > 1 else sentence for sentence in said]
        self._train = None
        for sentence in self._said:
            self.run.show.note(sentence)

    def _adapter_of(self, turn: int) -> Run:
        """The folder of a round's adapter."""
        return self.run.within("finetuned" if self.config.rounds == 1 else f"round-{turn}/finetuned")

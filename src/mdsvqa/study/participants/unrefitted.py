"""What all models share that cannot be trained anew in seconds: scores in a table, errors measured as they are."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Self

import numpy as np
import pyarrow as pa

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.held_out import unrefitted_errors, where_from
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.results import Maker, column
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.words import counted
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, Scores, StudyModel
from mdsvqa.study.data import StudyData
from mdsvqa.videos.labels import newly_labeled, write_training_set
from mdsvqa.videos.video import Video


def errors_of(
    data: StudyData, scores: Scores, asked: Ints, settings: DifficultySettings, seed: int
) -> tuple[KnownErrors, Unlabeled]:
    """As `StudyModel.errors`, of an f of which there are only scores."""
    everyone = Unlabeled.of(data.features, scores.score, readings=scores.spread)
    # The code of a data set is the same in both of the source's roles.
    codes = {name: -code for code, name in enumerate(sorted({video.dataset for video in data.videos}))}
    dataset = np.array([codes[video.dataset] for video in data.videos], np.int64)
    mos = data.mos(np.arange(len(data.videos)))
    known = unrefitted_errors(everyone, mos, dataset, data.source, data.source_test, settings, seed)
    return known, everyone.take(asked)


class Unrefitted(ABC):
    """A `StudyModel` whose scores are a table.

    Args:
        config: of the study.
        run: the study's folder.
        turn: rounds that it has learned from.
        learned: the labels of these rounds.
        before: f, whose scores stand in where this one has none.
    """

    def __init__(
        self,
        config: StudyConfig,
        run: Run,
        turn: int = 0,
        learned: NewLabels | None = None,
        before: StudyModel | None = None,
    ) -> None:
        self.config, self.run, self.turn = config, run, turn
        self.learned = NewLabels.none() if learned is None else learned
        self.before = before
        self._table: tuple[list[str], pa.Table, Maker] | None = None

    @property
    def trains_here(self) -> bool:
        """Whether it is fine-tuned here; else its owner does it."""
        return False

    @property
    def folder(self) -> Run:
        """Where it keeps what is its own: the study's folder, or that of the round that it came from."""
        return self.run.within(f"round-{self.turn}") if self.turn else self.run

    @property
    def name(self) -> str:
        """For readers."""
        return self.config.quality.model

    def within(self, run: Run) -> Self:
        """The same, whose successors keep what is theirs in another folder."""
        other = copy(self)
        other.run = run
        return other

    @abstractmethod
    def score_table(self, videos: Sequence[Video]) -> tuple[pa.Table, Maker]:
        """Its scores of some videos, and what made them."""

    def made_by(self, data: StudyData) -> Maker:
        """See `StudyModel`."""
        held_out = len(data.source_test) >= self.config.difficulty.held_out
        return {**self._scored(data)[1], "held_out": held_out}

    def scores(self, data: StudyData) -> Scores:
        """See `StudyModel`."""
        table, ids = self._scored(data)[0], data.ids(np.arange(len(data.videos)))
        found = Scores(*(column(table, ids, name) for name in ("score", "spread", "expected")))
        missing = np.isnan(found.score)
        if self.before is None or not missing.any():
            return found
        score = np.where(missing, self.before.scores(data).score, found.score)
        return replace(found, score=score)

    def notes(self, data: StudyData) -> list[str]:
        """See `StudyModel`."""
        if self.turn == 0:
            return [where_from(len(data.source_test), self.config.difficulty)]
        missing = int(np.isnan(column(self._scored(data)[0], [v.id for v in data.videos], "score")).sum())
        said = f"The fine-tuned model gave no score for {counted(missing, 'video')}; the base model's is taken there."
        return [said] if missing and self.before is not None else []

    def errors(
        self, data: StudyData, asked: Ints, settings: DifficultySettings, seed: int
    ) -> tuple[KnownErrors, Unlabeled]:
        """See `StudyModel`: on videos that it did not learn from, where there are enough."""
        return errors_of(data, self.scores(data), asked, settings, seed)

    def labeled(self, data: StudyData, settings: DifficultySettings) -> Ints:
        """Whose errors may be learned from: the videos that it was not trained on, where there are enough."""
        return data.source_test if len(data.source_test) >= settings.held_out else data.source

    def training_videos(self, data: StudyData, labels: NewLabels) -> tuple[list[Video], list[Video]]:
        """The source, and all that is newly labeled, as they are listed; also written as training_set.csv."""
        every = self.learned.join(labels)
        mos: dict[int, float] = dict(zip(every.index.tolist(), every.mos.tolist(), strict=True))
        source = [data.videos[int(index)] for index in data.source]
        new = [replace(data.videos[index], mos=mos[index]) for index in sorted(mos)]
        ids = {video.id for video in new}
        self.run.out.mkdir(parents=True, exist_ok=True)
        write_training_set(self.run.out / "training_set.csv", [*source, *newly_labeled(new)], ids)
        return source, new

    def _scored(self, data: StudyData) -> tuple[pa.Table, Maker]:
        ids = [video.id for video in data.videos]
        if self._table is None or not set(ids) <= set(self._table[0]):
            table, maker = self.score_table(data.videos)
            self._table = (ids, table, maker)
        return self._table[1], self._table[2]

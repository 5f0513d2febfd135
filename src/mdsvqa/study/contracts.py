"""What the loop asks of a quality model, and what it hands to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.cross_fitting import Predict
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.statistical.kernel_model import LabeledFeatures
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.results import Maker
from mdsvqa.runtime.run import Run
from mdsvqa.study.data import StudyData


@dataclass(frozen=True)
class Waiting:
    """The loop cannot go on before a person has done something.

    Attributes:
        sentence: says what.
        count: videos that need labels; 0 where it waits for something else.
        to_label: the list that they are on.
        labels: where their MOS may go besides.
    """

    sentence: str
    count: int = 0
    to_label: Path | None = None
    labels: Path | None = None

    def as_object(self) -> dict[str, Any]:
        """The same for a program."""
        places = {"to_label": self.to_label, "labels": self.labels}
        paths = {name: None if path is None else str(path) for name, path in places.items()}
        return {"count": self.count, **paths, "sentence": self.sentence}


@dataclass(frozen=True)
class Scores:
    """f's reading of the videos of a study, NaN where there is none, each of shape (n,).

    Attributes:
        score: predicted MOS, 1-5.
        spread: standard deviation over repeated readings.
        expected: mean of all answers that a language model could have given.
    """

    score: Floats
    spread: Floats
    expected: Floats


@dataclass(frozen=True)
class NewLabels:
    """What raters said of the choice of one round.

    Attributes:
        index: of the newly labeled videos among the study's, the first chosen first, shape (k,).
        mos: of each, 1-5, shape (k,).
        audit: MOS of the videos that were drawn at random to be measured on, by id; nothing learns from them.
        maker: what made the choice.
    """

    index: Ints
    mos: Floats
    audit: Mapping[str, float] = field(default_factory=dict)
    maker: Maker = field(default_factory=dict)

    @classmethod
    def none(cls) -> "NewLabels":
        return cls(np.empty(0, np.int64), np.empty(0))

    def join(self, later: "NewLabels") -> "NewLabels":
        """All labels of two rounds."""
        index, mos = np.concatenate([self.index, later.index]), np.concatenate([self.mos, later.mos])
        return NewLabels(index, mos, {**self.audit, **later.audit}, later.maker)


class StudyModel(Protocol):
    """f inside a study: it scores, says which of its errors may be learned from, and hands over its successor.

    Attributes:
        name: for readers.
        trains_here: whether the loop can have it fine-tuned; else a person does it, and there is one round.
    """

    @property
    def name(self) -> str: ...

    @property
    def trains_here(self) -> bool: ...

    def within(self, run: Run) -> Self:
        """The same, whose successors keep what is theirs in another folder."""
        ...

    def made_by(self, data: StudyData) -> Maker:
        """What makes its scores and errors what they are."""
        ...

    def scores(self, data: StudyData) -> Scores:
        """Of every video of the data."""
        ...

    def errors(
        self, data: StudyData, asked: Ints, settings: DifficultySettings, seed: int
    ) -> tuple[KnownErrors, Unlabeled]:
        """The errors that g may learn from, and what is known of the videos that it is asked about.

        Args:
            data: of the study.
            asked: indices of unlabeled videos, shape (k,).
            settings, seed: of g.
        """
        ...

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> "StudyModel | Waiting":
        """f': learned from the source, from all new labels before, and from these.

        Args:
            data: of the study.
            labels: of this round.
            turn: which round it is, from 1.
            seed: of the training.
        """
        ...

    def notes(self, data: StudyData) -> list[str]:
        """What a reader of its scores must know, in sentences."""
        ...


@runtime_checkable
class Refittable(Protocol):
    """A model that is trained anew in seconds: its errors are cross-fitted, and it can form a committee."""

    def refit(self, labeled: LabeledFeatures, seed: int) -> Predict:
        """A model of its kind, trained on these labels."""
        ...

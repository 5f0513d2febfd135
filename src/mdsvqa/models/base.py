"""What every quality model f is: something that scores clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.video import Video

ScoreStatus = Literal["ok", "out_of_range", "unparsable", "undecodable", "failed"]


class ModelError(InputError):
    """A quality model that cannot be used; the message says what was looked for and what was found."""


@dataclass(frozen=True)
class Score:
    """One model's reading of one video.

    Attributes:
        id: of the video.
        score: predicted MOS on the 1-5 scale, None when there is none.
        status: "ok", or why there is no score.
        text: what a language model wrote, or the reason for a missing score.
        spread: standard deviation over repeated readings, None for a single one.
        expected: mean of all answers that a language model could have given, None for other models.
        cut: whether a language model's reply ended because no more tokens were allowed; counted, not kept.
        note: what was unusual about the video's file, see `Clip`; filled in by whoever decoded it.
    """

    id: str
    score: float | None
    status: ScoreStatus = "ok"
    text: str | None = None
    spread: float | None = None
    expected: float | None = None
    cut: bool = False
    note: str | None = None


def score_values(scores: Sequence[Score]) -> Floats:
    """Predicted MOS, shape (n,), NaN where there is none.

    >>> score_values([Score("a", 3.5), Score("b", None, "unparsable")]).tolist()
    [3.5, nan]
    """
    return np.array([np.nan if score.score is None else score.score for score in scores], np.float64)


@runtime_checkable
class FineTunable(Protocol):
    """A quality model that fine-tunes itself; a study calls it once the labels of a round are there."""

    def finetune(self, videos: Sequence[Video], folder: Path) -> "QualityModel":
        """The fine-tuned model; the model itself may stay as it is, or be the one that is returned.

        Args:
            videos: with paths and MOS on the 1-5 scale, the source and all that is newly labeled. Labels of two data
                sets are not comparable; the data set of new labels is called so.
            folder: for what it wants to keep. A training that is called again with the same folder may go on there.
        """
        ...


class QualityModel(Protocol):
    """The whole contract of f. Any class with this method joins a study by its dotted path."""

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """Scores clips.

        Args:
            clips: any number of videos.

        Returns:
            One `Score` a clip, in the order of the clips.
        """
        ...

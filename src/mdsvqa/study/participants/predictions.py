"""Anyone's predictions, handed in as a table; f' is another table, once its owner has fine-tuned the model."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from mdsvqa.models.predictions import read_predictions
from mdsvqa.runtime.results import SCORES, Maker, fingerprint
from mdsvqa.runtime.user_tables import ColumnError, read_columns
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.unrefitted import Unrefitted
from mdsvqa.videos.video import Video


class PredictionsModel(Unrefitted):
    """A `StudyModel`: `quality.predictions` before fine-tuning, `quality.scores_after` behind it."""

    @property
    def _path(self) -> Path:
        path = self.config.quality.scores_after if self.turn else self.config.quality.predictions
        assert path is not None
        return path

    def score_table(self, videos: Sequence[Video]) -> tuple[pa.Table, Maker]:
        """See `Unrefitted`."""
        scores = read_predictions(self._path, [video.id for video in videos])
        content = fingerprint([[score.id, score.score] for score in scores])
        maker = {"step": "scores", "model": "precomputed", "predictions": content}
        rows = [asdict(score) for score in scores]
        if self.turn:
            return pa.Table.from_pylist(rows, SCORES), maker
        return self.run.within("scores").table(SCORES, maker, lambda: rows, name="scores"), maker

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> StudyModel | Waiting:
        """See `StudyModel`."""
        return handed_back(self, data, labels, turn)


def handed_back(f: Unrefitted, data: StudyData, labels: NewLabels, turn: int) -> StudyModel | Waiting:
    """f' where its owner fine-tunes it: the predictions that were handed in, or what is to be done for them.

    Raises:
        ColumnError: they lack a test video.
    """
    f.training_videos(data, labels)
    path = f.config.quality.scores_after
    if path is None:
        return Waiting(
            f"Fine-tune your model on {f.run.out / 'training_set.csv'} (compare MOS within a dataset only), score all "
            "videos again, name that CSV as `quality: {scores_after: ...}` in the study file, and run again."
        )
    after = PredictionsModel(f.config, f.run, turn, f.learned.join(labels))
    scores = after.score_table(data.videos)[0]["score"].to_numpy(zero_copy_only=False)
    if not np.isfinite(scores[data.target_test].astype(np.float64)).all():
        raise ColumnError(f"{path}: has no score for some test videos.")
    return after


def check_tables(*tables: Path | None) -> None:
    """Reads what was handed in, before hours of decoding: what is wrong with it is to be said now."""
    for table in tables:
        if table is not None:
            read_columns(table).numbers("score")

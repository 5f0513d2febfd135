"""Anyone's predictions, handed in as a table; f' is another table, once its owner has fine-tuned the model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mdsvqa.models.predictions import read_predictions
from mdsvqa.runtime.results import SCORES, Maker, ResultTable, fingerprint, is_table, read_meta, read_table
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
        scores = read_predictions(self._path, [video.id for video in videos], self.run.show)
        content = fingerprint([[score.id, score.score] for score in scores])
        maker: Maker = {"step": "scores", "model": "precomputed", "predictions": content}
        rows = [asdict(score) for score in scores]
        if self.turn:
            return pa.Table.from_pylist(rows, SCORES), maker
        place = self.run.within("scores")
        kept = _completed(place.out, rows)
        maker = maker if kept is None else kept
        return place.table(SCORES, maker, lambda: rows, name="scores"), maker

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> StudyModel | Waiting:
        """See `StudyModel`."""
        return handed_back(self, data, labels, turn)


def _completed(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Maker | None:
    """Puts predictions into a scores table where it had none, and returns its maker; None where more has changed."""
    if not is_table(folder):
        return None
    maker: Maker = read_meta(folder)["maker"]
    there = {row["id"]: row for row in read_table(folder).to_pylist()}
    same = all(row["id"] in there and there[row["id"]]["score"] in (None, row["score"]) for row in rows)
    if maker.get("model") != "precomputed" or len(there) != len(rows) or not same:
        return None
    with ResultTable(folder, SCORES, maker) as table:
        table.replace([row for row in rows if row["score"] is not None and there[row["id"]]["score"] is None])
    return maker


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

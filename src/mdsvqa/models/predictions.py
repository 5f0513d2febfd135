"""What people hand in instead of a model or its features: predictions and feature tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdsvqa.models.base import Score
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.user_tables import ColumnError, read_columns

NO_PREDICTION = "not in the file of predictions"
EMPTY = "no score in the file of predictions"


WANTED = "the videos that can be used"


def read_predictions(path: Path, ids: Sequence[str], show: Show | None = None) -> list[Score]:
    """Anyone's predictions of the given videos.

    Args:
        path: a table with columns id (or name) and score, empty where there is none; other columns are not read.
        ids: of the videos wanted.
        show: hears of predictions of other videos.

    Returns:
        One `Score` an id; status "failed" for a video without a prediction.

    Raises:
        ColumnError: the table cannot be used, or holds none of the videos.
    """
    table = read_columns(path)
    scores = dict(zip(table.ids(), table.numbers("score"), strict=True))
    _tell(show, match_ids(path, list(scores), ids, WANTED))
    return [_score(video, scores.get(video)) for video in ids]


def _score(video: str, score: float | None) -> Score:
    if score is None or np.isnan(score):
        return Score(video, None, "failed", NO_PREDICTION if score is None else EMPTY)
    return Score(video, float(score))


def _tell(show: Show | None, sentence: str) -> None:
    if show is not None and sentence:
        show.note(sentence)


def read_features(path: Path, ids: Sequence[str], show: Show | None = None) -> Floats:
    """Anyone's features of the given videos.

    Args:
        path: a table with a column id (or name) and numeric columns, which are the features; empty cells are allowed.
        ids: of the videos wanted.
        show: hears of features of other videos.

    Returns:
        Shape (len(ids), columns); a video that is not in the file has NaN everywhere.

    Raises:
        ColumnError: the table cannot be used, has no numeric column, or holds none of the videos.
    """
    table = read_columns(path)
    position = {video: row for row, video in enumerate(table.ids())}
    names = [name for name in table.cells if name not in ("id", "name", table.id_column())]
    if not names:
        raise ColumnError(f"{path}: has no feature columns beside the ids.")
    values = np.stack([table.numbers(name) for name in names], axis=1)
    rows = [position.get(video) for video in ids]
    _tell(show, match_ids(path, list(position), ids, WANTED))
    return np.stack([np.full(len(names), np.nan) if row is None else values[row] for row in rows])

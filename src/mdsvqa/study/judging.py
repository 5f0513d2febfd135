"""Scores and difficulties judged against MOS, by id or as arrays: for notebooks and scripts, and for the commands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mdsvqa.difficulty.errors import measured_errors
from mdsvqa.difficulty.settings import DifficultySettings, ErrorName
from mdsvqa.evaluation.compare import Comparison, compare_models
from mdsvqa.evaluation.datasets import DatasetEvaluation, evaluate_datasets
from mdsvqa.evaluation.failure import FailureEvaluation
from mdsvqa.evaluation.failure import evaluate_difficulty as evaluate_failure
from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.settings import budget_count
from mdsvqa.study.api import Result
from mdsvqa.videos.video import Video

Values = Result | Mapping[str, float] | ArrayLike
Truth = Sequence[Video] | Mapping[str, float] | ArrayLike


def _paired(columns: Mapping[str, Any], mos: Any, names: Mapping[str, str]) -> tuple[dict[str, Any], Any, list[str]]:
    """Values of the same videos: by id where both sides have ids, as they stand where they are arrays."""
    truth = {v.id: v.mos for v in mos if v.mos is not None} if _are_videos(mos) else mos
    dataset = {v.id: v.dataset for v in mos} if _are_videos(mos) else {}
    if not isinstance(truth, Mapping):
        if any(isinstance(values, Result | Mapping) for values in columns.values()):
            raise InputError("scores by id need MOS by id: a mapping, or the videos.")
        return {name: np.asarray(values, np.float64) for name, values in columns.items()}, np.asarray(truth), []
    known = {k: v.by_id(names.get(k, "score")) if isinstance(v, Result) else v for k, v in columns.items()}
    if not all(isinstance(values, Mapping) for values in known.values()):
        raise InputError("MOS by id need scores by id: a result, or a mapping.")
    ids = [video for video in truth if all(video in values for values in known.values())]
    arrays = {name: np.array([values[video] for video in ids], np.float64) for name, values in known.items()}
    return arrays, np.array([truth[video] for video in ids], np.float64), [dataset[video] for video in ids if dataset]


def _are_videos(mos: Any) -> bool:
    return isinstance(mos, Sequence) and len(mos) > 0 and all(isinstance(each, Video) for each in mos)


def evaluate(
    scores: Values, mos: Truth, dataset: Sequence[str] | None = None, *, draws: int = 1000, seed: int = 0
) -> DatasetEvaluation:
    """Agreement of scores with MOS: every metric with a 95% bootstrap interval.

    Args:
        scores: a result or values by id, beside MOS by id; or an array, shape (n,), beside one.
        mos: of the same videos: the videos themselves, by id, or an array; videos without a score or MOS are left out.
        dataset: name of each video's data set; by default those of the videos. Nothing is computed across data sets.
        draws: of the bootstrap.
        seed: of it.
    """
    found, truth, sets = _paired({"scores": scores}, mos, {})
    return evaluate_datasets(found["scores"], truth, _sets(dataset, sets), draws=draws, seed=seed)


def _sets(given: Sequence[str] | None, found: Sequence[str]) -> Sequence[str]:
    """Names of data sets where there are several."""
    sets = found if given is None else given
    return sets if given is not None or len(set(sets)) > 1 else ()


def compare(
    scores: Mapping[str, Values],
    mos: Truth,
    dataset: Sequence[str] | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Which of several models agrees better with MOS, and whether that is more than chance.

    Args:
        scores: of each model by its name, as in `evaluate`; videos that one of them did not score are left out.
        mos, dataset, draws, seed: as in `evaluate`.
    """
    found, truth, sets = _paired(scores, mos, {})
    return compare_models(found, truth, _sets(dataset, sets), draws=draws, seed=seed)


def evaluate_difficulty(
    difficulty: Values,
    scores: Values,
    mos: Truth,
    k: int | str = "5%",
    *,
    error: ErrorName = "raw",
    dataset: Sequence[str] | None = None,
    draws: int = 500,
    seed: int = 0,
) -> FailureEvaluation:
    """Whether failure was predicted, beside controls with the same scores of f.

    Args:
        difficulty: predicted; higher is harder. As `scores` in `evaluate`.
        scores: of f.
        mos, dataset: as in `evaluate`; errors stay within each data set.
        k: videos to choose, or a text such as "5%".
        error: what an error is: raw, calibrated or disorder.
        draws: of ties, controls and the bootstrap.
        seed: of them.
    """
    found, truth, sets = _paired({"score": scores, "difficulty": difficulty}, mos, {"difficulty": "difficulty"})
    names = _sets(dataset, sets) or [""] * len(truth)
    codes = np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
    settings = DifficultySettings(error=error)
    errors = measured_errors(settings.error, found["score"], truth, codes, settings.folds, seed)
    try:
        count = budget_count(str(k), max(1, len(truth)))
    except ValueError as wrong:
        raise InputError(f"k: {wrong}") from None
    return evaluate_failure(found["score"], truth, errors, found["difficulty"], count, draws=draws, seed=seed)

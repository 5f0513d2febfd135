"""Agreement with MOS within each of several data sets, and on average over them.

Two studies never share a scale, so nothing is computed across them: the overall figure is the mean of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.intervals import percentile_interval
from mdsvqa.evaluation.metrics import METRICS, Evaluation, metric_draws, metric_values, paired_values
from mdsvqa.runtime.errors import InputError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
# What the overall figures of several data sets are called; no data set can have this name.
OVERALL = "overall"


@dataclass(frozen=True)
class DatasetEvaluation:
    """How well one model's scores agree with MOS.

    Attributes:
        each: by data set, in the order of first appearance; one, named "", where there is one only.
        overall: unweighted means of the data sets' metrics, NaN where one of them is undefined. Its `n` is that of all
            videos, its `fit` "linear" where any data set's is.
    """

    each: Mapping[str, Evaluation]
    overall: Evaluation


def dataset_rows(dataset: Sequence[str], n: int) -> dict[str, Indices]:
    """The rows of each data set, in the order of first appearance.

    Args:
        dataset: the name of each video's data set; empty where there is one only.
        n: videos.

    Raises:
        InputError: there are not n names, or a data set is called `OVERALL`.

    >>> {name: rows.tolist() for name, rows in dataset_rows(["b", "a", "b"], 3).items()}
    {'b': [0, 2], 'a': [1]}
    """
    if not len(dataset):
        return {"": np.arange(n)}
    if len(dataset) != n:
        raise InputError(f"{n} videos need as many names of data sets; found {len(dataset)}.")
    if OVERALL in dataset:
        raise InputError(f"a data set is called {OVERALL!r}, as the mean over data sets is; rename it.")
    names = np.asarray(dataset, dtype=object)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(dataset)}


def evaluate_datasets(
    score: ArrayLike,
    mos: ArrayLike,
    dataset: Sequence[str] = (),
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> DatasetEvaluation:
    """SRCC, PLCC, KRCC and RMSE of each data set and their means, with bootstrap intervals.

    Args:
        score, mos: paired values, shape (n,), finite, at least 5 in each data set.
        dataset: the name of each video's data set, length n; empty where there is one only.
        draws: bootstrap replicates. Each resamples the videos within every data set; the mean over data sets has the
            interval of the replicates' means.
        confidence: of the intervals, in (0, 1).
        seed: of the resamples.

    Raises:
        InputError: as `paired_values` and `dataset_rows`, or a data set has fewer than 5 videos.
    """
    x, y = paired_values(score, mos)
    groups = dataset_rows(dataset, len(x))
    return measure(x, y, groups, group_counts(groups, draws, seed)).evaluation(confidence)


@dataclass(frozen=True)
class Measurement:
    """Metrics of one model and their bootstrap replicates.

    Attributes:
        videos: of each data set, and of all by the name of `OVERALL`.
        values: each of `METRICS` in each data set, and their means by the name of `OVERALL`.
        draws: the same in each resample, shape (draws,).
        fits: "logistic" or "linear" in each data set.
    """

    videos: Mapping[str, int]
    values: Mapping[str, Mapping[str, float]]
    draws: Mapping[str, Mapping[str, Floats]]
    fits: Mapping[str, str]

    def evaluation(self, confidence: float) -> DatasetEvaluation:
        """With intervals of this confidence, in (0, 1)."""
        each = {name: self._of(name, fit, confidence) for name, fit in self.fits.items()}
        fit = "linear" if "linear" in self.fits.values() else "logistic"
        return DatasetEvaluation(each, self._of(OVERALL, fit, confidence))

    def _of(self, name: str, fit: str, confidence: float) -> Evaluation:
        found = {
            metric: percentile_interval(self.values[name][metric], self.draws[name][metric], confidence)
            for metric in METRICS
        }
        return Evaluation(n=self.videos[name], fit=fit, **found)


def measure(score: Floats, mos: Floats, groups: Mapping[str, Indices], counts: Mapping[str, Floats]) -> Measurement:
    """Metrics and replicates within each data set, and their unweighted means.

    Args:
        score, mos: as `paired_values` returns them, shape (n,).
        groups: as `dataset_rows` returns them.
        counts: as `group_counts` returns them; the same ones for two models make a paired bootstrap.

    Raises:
        InputError: a data set has fewer than 5 videos.
    """
    for name, rows in groups.items():
        if len(rows) < 5:
            raise InputError(
                f"data set {name!r} has {len(rows)} videos with a score and a MOS; an evaluation needs at least 5. "
                "Leave it out."
            )
    found = {name: metric_values(score[rows], mos[rows]) for name, rows in groups.items()}
    values = {name: value for name, (value, _) in found.items()}
    draws = {name: metric_draws(score[rows], mos[rows], counts[name]) for name, rows in groups.items()}
    mean = {metric: float(np.mean([value[metric] for value in values.values()])) for metric in METRICS}
    mean_draws = {metric: np.mean([draw[metric] for draw in draws.values()], axis=0) for metric in METRICS}
    videos = {name: len(rows) for name, rows in groups.items()}
    return Measurement(
        videos | {OVERALL: len(score)},
        values | {OVERALL: mean},
        draws | {OVERALL: mean_draws},
        {name: fit for name, (_, fit) in found.items()},
    )


def group_counts(groups: Mapping[str, Indices], draws: int, seed: int) -> dict[str, Floats]:
    """Resamples within each data set, each of shape (draws, videos of the data set)."""
    return {name: resample_counts(len(rows), draws, seed + place) for place, (name, rows) in enumerate(groups.items())}

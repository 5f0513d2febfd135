"""Agreement with MOS within each of several data sets, and on average over them.

Two studies never share a scale, so nothing is computed across them: the overall figure is the mean of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.cautions import few, narrow
from mdsvqa.evaluation.intervals import flat
from mdsvqa.evaluation.metrics import METRICS, Evaluation, Measured, measured, paired_values
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.frames import Rows
from mdsvqa.runtime.words import counted

# What the overall figures of several data sets are called; no data set can have this name.
OVERALL = "overall"


@dataclass(frozen=True)
class DatasetEvaluation(Rows):
    """How well one model's scores agree with MOS.

    Attributes:
        each: by data set, in the order of first appearance; one, named "", where there is one only.
        overall: unweighted means of the data sets' metrics, NaN where one of them is undefined. Its `n` is that of all
            videos, its `fit` "linear" where any data set's is.
    """

    each: Mapping[str, Evaluation]
    overall: Evaluation

    def parts(self) -> dict[str, Evaluation]:
        """Each data set and then all of them; one only where there is one."""
        return dict(self.each) if len(self.each) == 1 else {**self.each, OVERALL: self.overall}

    def rows(self) -> list[dict[str, Any]]:
        """One a data set: its videos, and each metric with its interval."""
        return [
            {"dataset": name, "videos": found.n, "fit": found.fit} | flat(found.metrics)
            for name, found in self.parts().items()
        ]


def dataset_rows(dataset: Sequence[str], n: int) -> dict[str, Ints]:
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
    return measured_by_dataset(x, y, groups, group_counts(groups, draws, seed)).evaluation(confidence)


def dataset_cautions(score: Floats, mos: Floats, dataset: Sequence[str] = ()) -> list[str]:
    """What to know before the figures of each data set: few videos, scores that hardly differ; in sentences."""
    found = []
    for name, rows in dataset_rows(dataset, len(score)).items():
        found.append(few(len(rows), f"Data set {name!r} has" if name else "There are"))
        whose = f"The scores on data set {name!r}" if name else "The scores"
        found.append(narrow(score[rows], mos[rows], whose))
    return [sentence for sentence in found if sentence]


@dataclass(frozen=True)
class DatasetMeasured:
    """Metrics of one model and their bootstrap replicates, by data set and in the mean of all (`OVERALL`).

    Attributes:
        videos: of each.
        of: of each; the mean is unweighted, and "linear" where one of the fits is.
    """

    videos: Mapping[str, int]
    of: Mapping[str, Measured]

    def evaluation(self, confidence: float) -> DatasetEvaluation:
        """With intervals of this confidence, in (0, 1)."""
        each = {name: found.evaluation(self.videos[name], confidence) for name, found in self.of.items()}
        overall = each.pop(OVERALL)
        return DatasetEvaluation(each, overall)


def measured_by_dataset(
    score: Floats, mos: Floats, groups: Mapping[str, Ints], counts: Mapping[str, Floats]
) -> DatasetMeasured:
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
                f"data set {name!r} has {counted(len(rows), 'video')} with a score and a MOS; an evaluation needs at "
                "least 5. Leave it out."
            )
    found = {name: measured(score[rows], mos[rows], counts[name]) for name, rows in groups.items()}
    mean = Measured(
        {metric: float(np.mean([each.values[metric] for each in found.values()])) for metric in METRICS},
        {metric: np.mean([each.draws[metric] for each in found.values()], axis=0) for metric in METRICS},
        "linear" if any(each.fit == "linear" for each in found.values()) else "logistic",
    )
    videos = {name: len(rows) for name, rows in groups.items()}
    return DatasetMeasured(videos | {OVERALL: len(score)}, {**found, OVERALL: mean})


def group_counts(groups: Mapping[str, Ints], draws: int, seed: int) -> dict[str, Floats]:
    """Resamples within each data set, each of shape (draws, videos of the data set)."""
    return {name: resample_counts(len(rows), draws, seed + place) for place, (name, rows) in enumerate(groups.items())}

"""Agreement between predicted scores and MOS, as the field reports it: the metrics, one record each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mdsvqa.evaluation.bootstrap import krcc_draws, resample_counts, resampled_pearson, srcc_draws
from mdsvqa.evaluation.correlation import krcc, pearson, srcc
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.evaluation.logistic import fit_logistic, logistic, map_to_mos, refit_logistic
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError


@dataclass(frozen=True)
class Metric:
    """A measure of agreement.

    Attributes:
        name: in tables.
        label: for readers.
        value: of scores and MOS, both of shape (n,); NaN where undefined.
        draws: the same in each resample, shape (draws,), from scores (n,) or (draws, n), MOS (n,) and counts (draws, n)
            of each video in each resample.
        after_fit: scores are mapped to MOS by the four-parameter logistic first.
        higher_is_better: else lower is.
    """

    name: str
    label: str
    value: Callable[[Floats, Floats], float]
    draws: Callable[[Floats, Floats, Floats], Floats]
    after_fit: bool = False
    higher_is_better: bool = True


def rmse(predicted: Floats, mos: Floats) -> float:
    """Root mean square error, MOS points; of scores that were mapped to MOS first."""
    return float(np.sqrt(np.mean((predicted - mos) ** 2)))


def rmse_draws(predicted: Floats, mos: Floats, counts: Floats) -> Floats:
    """The same in each resample; arguments as `Metric.draws`."""
    return np.asarray(np.sqrt((counts * (predicted - mos) ** 2).sum(1) / counts.sum(1)), np.float64)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("srcc", "SRCC", srcc, srcc_draws),
        Metric("plcc", "PLCC", pearson, resampled_pearson, after_fit=True),
        Metric("krcc", "KRCC", krcc, krcc_draws),
        Metric("rmse", "RMSE", rmse, rmse_draws, after_fit=True, higher_is_better=False),
        # Last: results of old studies have the others in this order. docs/statistics.md says which PLCC to quote when.
        Metric("plcc_raw", "PLCC (no fit)", pearson, resampled_pearson),
    )
}


def paired_values(score: ArrayLike, mos: ArrayLike) -> tuple[Floats, Floats]:
    """Two columns as float arrays, checked.

    Raises:
        InputError: lengths differ, a value is not finite, or there are fewer than 5 pairs.
    """
    x, y = np.asarray(score, np.float64), np.asarray(mos, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"scores and MOS must be two columns of one length; found {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("scores and MOS must be finite numbers; leave out rows without a score or a MOS.")
    if len(x) < 5:
        raise InputError(f"an evaluation needs at least 5 videos with a score and a MOS; found {len(x)}.")
    return x, y


@dataclass(frozen=True)
class Evaluation:
    """How well scores agree with MOS on one set of videos.

    Attributes:
        n: videos.
        fit: "logistic", or "linear" where no logistic fits better than a straight line.
        metrics: each of `METRICS` with its interval, NaN where undefined. Each is an attribute too: `srcc`.
    """

    n: int
    fit: str
    metrics: Mapping[str, Interval]

    def __getattr__(self, name: str) -> Interval:
        try:
            return self.__dict__["metrics"][name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Measured:
    """Metrics of one model on one set of videos.

    Attributes:
        values: of each metric, NaN where undefined.
        draws: the same in each resample, shape (draws,).
        fit: how scores were mapped to MOS: "logistic" or "linear".
    """

    values: Mapping[str, float]
    draws: Mapping[str, Floats]
    fit: str

    def evaluation(self, n: int, confidence: float) -> Evaluation:
        """With intervals of this confidence, in (0, 1), for n videos."""
        found = {name: percentile_interval(self.values[name], self.draws[name], confidence) for name in METRICS}
        return Evaluation(n, self.fit, found)


def evaluate(
    score: ArrayLike, mos: ArrayLike, *, draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Evaluation:
    """Every metric with bootstrap intervals over videos.

    Args:
        score, mos: paired values, shape (n,), n >= 5, finite.
        draws: bootstrap replicates; the logistic is fitted again in each.
        confidence: of the intervals, in (0, 1).

    Raises:
        InputError: as `paired_values`.
    """
    x, y = paired_values(score, mos)
    return measured(x, y, resample_counts(len(x), draws, seed)).evaluation(len(x), confidence)


def measured(score: Floats, mos: Floats, counts: Floats, *, refit: bool = True) -> Measured:
    """Each of `METRICS`, and in each resample.

    Args:
        score, mos: as `paired_values` returns them, shape (n,).
        counts: of each video in each resample, shape (draws, n). The same ones for two models make a paired bootstrap.
        refit: fit the logistic again in each resample.
    """
    mapped, fit = map_to_mos(score, mos)
    drawn = _mapped_draws(score, mos, counts) if refit else mapped
    return Measured(
        {name: metric.value(mapped if metric.after_fit else score, mos) for name, metric in METRICS.items()},
        {name: metric.draws(drawn if metric.after_fit else score, mos, counts) for name, metric in METRICS.items()},
        fit,
    )


def _mapped_draws(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Scores mapped to MOS by a fit of each resample, shape (draws, n)."""
    start = fit_logistic(x, y)
    if start is None:
        return _linear_draws(x, y, counts)
    return logistic(x, *refit_logistic(x, y, counts, start).T[:, :, None])


def _linear_draws(x: Floats, y: Floats, counts: Floats) -> Floats:
    n = counts.sum(1, keepdims=True)
    mean_x, mean_y = (counts * x).sum(1, keepdims=True) / n, (counts * y).sum(1, keepdims=True) / n
    spread = (counts * (x - mean_x) ** 2).sum(1, keepdims=True)
    slope = (counts * (x - mean_x) * (y - mean_y)).sum(1, keepdims=True) / np.where(spread > 0, spread, 1)
    return mean_y + slope * (x - mean_x)

"""Agreement between predicted scores and MOS, as the field reports it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, rankdata

from mdsvqa.evaluation.bootstrap import krcc_draws, resample_counts, resampled_pearson, srcc_draws
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.evaluation.logistic import fit_logistic, logistic, map_to_mos, refit_logistic
from mdsvqa.runtime.errors import InputError

Floats = NDArray[np.float64]
METRICS = ("srcc", "plcc", "krcc", "rmse")


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's correlation; NaN when either side is constant."""
    # Not by the norm: a constant minus its mean is not always 0 in floating point.
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1))


def srcc(score: Floats, mos: Floats) -> float:
    """Spearman's rank correlation, ties averaged; NaN when either side is constant.

    >>> srcc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 4.0, 3.0]))
    0.8
    """
    return pearson(rankdata(score), rankdata(mos))


def krcc(score: Floats, mos: Floats) -> float:
    """Kendall's rank correlation (tau-b, which allows for ties)."""
    return float(kendalltau(score, mos).statistic)


def rmse(predicted: Floats, mos: Floats) -> float:
    """Root mean square error, MOS points; of scores that were mapped to MOS first."""
    return float(np.sqrt(np.mean((predicted - mos) ** 2)))


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
        srcc, plcc, krcc, rmse: each with its interval. PLCC and RMSE after the logistic fit. NaN where undefined.
        fit: "logistic", or "linear" where the logistic fit did not converge.
    """

    n: int
    srcc: Interval
    plcc: Interval
    krcc: Interval
    rmse: Interval
    fit: str


def evaluate(
    score: ArrayLike, mos: ArrayLike, *, draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Evaluation:
    """SRCC, PLCC, KRCC and RMSE with bootstrap intervals over videos.

    Args:
        score, mos: paired values, shape (n,), n >= 5, finite.
        draws: bootstrap replicates; the logistic is fitted again in each.
        confidence: of the intervals, in (0, 1).

    Raises:
        InputError: as `paired_values`.
    """
    x, y = paired_values(score, mos)
    counts = resample_counts(len(x), draws, seed)
    replicates = metric_draws(x, y, counts)
    values, fit = metric_values(x, y)
    return Evaluation(
        n=len(x),
        fit=fit,
        **{name: percentile_interval(values[name], replicates[name], confidence) for name in METRICS},
    )


def metric_values(score: Floats, mos: Floats) -> tuple[dict[str, float], str]:
    """Each of `METRICS`, NaN where undefined, and how the scores were mapped to MOS: "logistic" or "linear".

    Args:
        score, mos: as `paired_values` returns them, shape (n,).
    """
    mapped, fit = map_to_mos(score, mos)
    values = {
        "srcc": srcc(score, mos),
        "plcc": pearson(mapped, mos),
        "krcc": krcc(score, mos),
        "rmse": rmse(mapped, mos),
    }
    return values, fit


def metric_draws(score: Floats, mos: Floats, counts: Floats) -> dict[str, Floats]:
    """Each of `METRICS` in each resample, shape (draws,); the logistic is fitted again in each.

    Args:
        score, mos: as `paired_values` returns them, shape (n,).
        counts: of each video in each resample, shape (draws, n). The same ones for two models make a paired bootstrap.
    """
    plcc, error = _refitted_draws(score, mos, counts)
    return {
        "srcc": srcc_draws(score, mos, counts),
        "plcc": plcc,
        "krcc": krcc_draws(score, mos, counts),
        "rmse": error,
    }


def _refitted_draws(x: Floats, y: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """PLCC and RMSE of each resample, after a fit of its own."""
    start = fit_logistic(x, y)
    if start is None:
        mapped = _linear_draws(x, y, counts)
    else:
        mapped = logistic(x, *refit_logistic(x, y, counts, start).T[:, :, None])
    errors = np.sqrt((counts * (mapped - y) ** 2).sum(1) / counts.sum(1))
    return resampled_pearson(mapped, y, counts), errors


def _linear_draws(x: Floats, y: Floats, counts: Floats) -> Floats:
    n = counts.sum(1, keepdims=True)
    mean_x, mean_y = (counts * x).sum(1, keepdims=True) / n, (counts * y).sum(1, keepdims=True) / n
    spread = (counts * (x - mean_x) ** 2).sum(1, keepdims=True)
    slope = (counts * (x - mean_x) * (y - mean_y)).sum(1, keepdims=True) / np.where(spread > 0, spread, 1)
    return mean_y + slope * (x - mean_x)

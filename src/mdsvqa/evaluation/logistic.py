"""The four-parameter logistic between a model's scores and MOS, which precedes PLCC and RMSE."""

from typing import Any

import numpy as np
from scipy.optimize import leastsq
from scipy.special import expit

from mdsvqa.runtime.arrays import Floats

Number = float | Floats
# Of the grid of starts: centers at quantiles of the scores, and widths in robust standard deviations of them, from
# nearly a step to nearly a straight line.
QUANTILES = 15
WIDTHS = 2.0 ** np.arange(-5, 6)
# From which the whole sample is fitted, beside VQEG's.
STARTS = 4
# Of the curve, from each start.
MOST_EVALUATIONS = 300
# Of the rise over the scores, below which a logistic is flat where the scores are.
LEAST_VARIANCE = 1e-12
# Widths, in ranges of the scores: of a logistic that is a straight line to ten digits, and of one that may still bend.
STRAIGHT, BENT = 1e4, 0.5
# A step, to all digits, that still divides without overflow.
NARROWEST = 1e-100
# Of the damped Gauss-Newton refits; they start at the whole sample's fit and mostly need about five.
MOST_STEPS = 20
# Relative decrease of the squared error below which a refit has converged.
CONVERGED = 1e-7
# Of the scaled normal equations, so that they can be solved where a resample has fewer distinct videos than the
# logistic has parameters.
LEAST_DAMPING = 1e-9
# Numbers held at once for one block of refits: 64 MB in float64.
BLOCK = 8_000_000


def logistic(score: Floats, top: Number, bottom: Number, center: Number, width: Number) -> Floats:
    """The four-parameter logistic that VQEG recommends to map scores to MOS.

    Source: VQEG (2000), final report on FR-TV phase I; ITU-T J.149 (2004).
    """
    rise: Floats = expit((score - center) / np.abs(_not_zero(width)))
    return bottom + (top - bottom) * rise


def _gradient(score: Floats, top: Number, bottom: Number, center: Number, width: Number) -> Floats:
    """By the four parameters, along a new last axis."""
    width = _not_zero(width)
    rise = expit((score - center) / np.abs(width))
    slope = (top - bottom) * rise * (1 - rise)
    by_width = -slope * (score - center) / (np.abs(width) * width)
    return np.stack([rise, 1 - rise, -slope / np.abs(width), by_width], axis=-1)


def _not_zero(width: Number) -> Floats:
    return np.copysign(np.maximum(np.abs(width), NARROWEST), width)


def fit_logistic(score: Floats, mos: Floats) -> Floats | None:
    """Least-squares parameters of `logistic`, or None where a straight line has no larger error.

    The least error is searched for from several starts, since one far score ruins the mean and the deviation that
    VQEG's start is made of: the mean and the quantiles of the scores as centers, each with narrow and wide slopes.

    Args:
        score, mos: paired values, shape (n,), n >= 4.
    """
    # Not the standard deviation: that of a constant is not always 0 in floating point.
    if np.ptp(score) == 0 or np.ptp(mos) == 0:
        return None
    found = [_least_squares(score, mos, start) for start in _starts(score, mos)]
    once = np.ones((1, len(score)))
    errors = [float(_squared_error(score, mos, once, each[None])[0]) for each in found]
    best = int(np.argmin(errors))
    line = float(((mos - _line(score, mos)) ** 2).sum())
    return found[best] if errors[best] < line else None


def _starts(score: Floats, mos: Floats) -> list[Floats]:
    """VQEG's start, and those of a grid of centers and widths from which the error is least.

    At a given center and width, top and bottom follow by linear least squares, and the error is least where rise and
    MOS correlate most: the grid has two dimensions, not four.

    Returns:
        Parameters, each of shape (4,).
    """
    # VQEG's own code starts here.
    vqeg = np.array([mos.max(), mos.min(), score.mean(), np.std(score) / 4])
    centers = np.unique([score.mean(), *np.quantile(score, np.linspace(0.02, 0.98, QUANTILES))])
    spread = float(np.subtract(*np.quantile(score, [0.75, 0.25]))) / 1.349 or float(np.std(score))
    widths = np.unique([*(spread * WIDTHS), vqeg[3], 4 * vqeg[3]])
    center, width = (part.ravel()[:, None] for part in np.meshgrid(centers, widths, indexing="ij"))
    with np.errstate(over="ignore"):
        rise = expit((score - center) / width)
    rise_mean, mos_mean = rise.mean(1, keepdims=True), mos.mean()
    variance = ((rise - rise_mean) ** 2).sum(1)
    covariance = (rise - rise_mean) @ (mos - mos_mean)
    explained = np.divide(covariance**2, variance, out=np.zeros_like(variance), where=variance > LEAST_VARIANCE)
    # The best center of each width: the neighbors of the best start would only end where it does.
    by_width = explained.reshape(len(centers), len(widths))
    best = by_width.argmax(0) * len(widths) + np.arange(len(widths))
    kept = best[np.argsort(-explained[best], kind="stable")[:STARTS]]
    kept = kept[explained[kept] > 0]
    height = covariance[kept] / variance[kept]
    bottom = mos_mean - height * rise_mean[kept, 0]
    grid = np.stack([bottom + height, bottom, center[kept, 0], width[kept, 0]], axis=1)
    return [vqeg, *grid]


def _least_squares(score: Floats, mos: Floats, start: Floats) -> Floats:
    """Where Levenberg's and Marquardt's steps from a start end, or the start where they lead to nothing finite."""

    def residual(parameters: Any) -> Floats:
        return logistic(score, *parameters) - mos

    def jacobian(parameters: Any) -> Floats:
        return _gradient(score, *parameters)

    with np.errstate(all="ignore"):
        result: Any = leastsq(residual, start, Dfun=jacobian, full_output=True, maxfev=MOST_EVALUATIONS)
    found: Floats = result[0]
    return found if np.isfinite(found).all() and found[3] != 0 else start


def _line(score: Floats, mos: Floats) -> Floats:
    centered = score - score.mean()
    return np.asarray(mos.mean() + (centered @ mos) / (centered @ centered) * centered, np.float64)


def map_to_mos(score: Floats, mos: Floats) -> tuple[Floats, str]:
    """Scores on the scale of MOS, and how they got there.

    Returns:
        The mapped scores, and "logistic", or "linear" (least squares) where no logistic has less error. The map may
        fall, as for a model whose high scores mean low quality: the sign of the SRCC tells.
    """
    parameters = fit_logistic(score, mos)
    if parameters is not None:
        return logistic(score, *parameters), "logistic"
    if np.ptp(score) == 0 or np.ptp(mos) == 0:
        return np.full_like(mos, mos.mean()), "linear"
    return _line(score, mos), "linear"


def refit_logistic(score: Floats, mos: Floats, counts: Floats, start: Floats) -> Floats:
    """Fits the logistic to many resamples of one sample at once, by Levenberg's damped Gauss-Newton steps.

    Args:
        score, mos: the whole sample, shape (n,), or (draws, n) where the values depend on the resample.
        counts: how often each video is in each resample, shape (draws, n).
        start: parameters of the whole sample's fit, shape (4,).

    Returns:
        Parameters, shape (draws, 4), each at least as good on its resample as the start and as a straight line. Where
        the best curve lies at infinity (the scores cover a part of the logistic only) the steps stop on the way: the
        error no longer changes by what could be seen in a correlation.
    """
    rows = max(1, BLOCK // (4 * counts.shape[1]))
    score, mos = (np.broadcast_to(values, counts.shape) for values in (score, mos))
    blocks = [slice(i, i + rows) for i in range(0, len(counts), rows)]
    return np.concatenate([_refit_block(score[block], mos[block], counts[block], start) for block in blocks])


def _refit_block(score: Floats, mos: Floats, counts: Floats, start: Floats) -> Floats:
    parameters, error = _descend(score, mos, counts, np.tile(start, (len(counts), 1)))
    line = _line_as_logistic(score, mos, counts, STRAIGHT)
    line_error = _squared_error(score, mos, counts, line)
    # The whole sample's curve may lead nowhere in a resample, for instance without the one score that shaped it.
    worse = np.flatnonzero(error > line_error)
    if len(worse):
        again = score[worse], mos[worse], counts[worse]
        parameters[worse], error[worse] = _descend(*again, _line_as_logistic(*again, BENT))
    straight = error > line_error
    parameters[straight] = line[straight]
    return parameters


def _line_as_logistic(score: Floats, mos: Floats, counts: Floats, width: float) -> Floats:
    """The logistic that has the slope of each resample's least-squares line at its mean score.

    Args:
        score, mos, counts: shape (draws, n).
        width: of the logistic, in ranges of the scores.

    Returns:
        Parameters, shape (draws, 4).
    """
    n = counts.sum(1, keepdims=True)
    x, y = ((counts * values).sum(1, keepdims=True) / n for values in (score, mos))
    spread = (counts * (score - x) ** 2).sum(1)
    slope = (counts * (score - x) * (mos - y)).sum(1) / np.where(spread > 0, spread, 1)
    widths = width * np.ptp(score, axis=1)
    height = 4 * widths * slope
    return np.stack([y[:, 0] + height / 2, y[:, 0] - height / 2, x[:, 0], widths], axis=1)


def _descend(score: Floats, mos: Floats, counts: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Parameters (draws, 4) at the end of the steps from a start of the same shape, and their errors (draws,)."""
    parameters = start.copy()
    damping = np.full(len(counts), 1e-3)
    error = _squared_error(score, mos, counts, parameters)
    open_ = np.arange(len(counts))
    for _ in range(MOST_STEPS):
        now, x, y, weight = parameters[open_], score[open_], mos[open_], counts[open_]
        tried = now + _damped_step(x, y, weight, now, damping[open_])
        tried_error = _squared_error(x, y, weight, tried)
        better = tried_error <= error[open_]
        settled = better & (error[open_] - tried_error <= CONVERGED * error[open_])
        parameters[open_[better]], error[open_[better]] = tried[better], tried_error[better]
        damping[open_] = np.maximum(damping[open_] * np.where(better, 0.1, 10), LEAST_DAMPING)
        open_ = open_[~settled]
        if len(open_) == 0:
            break
    return parameters, error


def _damped_step(score: Floats, mos: Floats, counts: Floats, parameters: Floats, damping: Floats) -> Floats:
    """Marquardt's step: each parameter in the unit in which its column of the Jacobian has length 1."""
    # What overflows or is undefined (a width near 0) has no finite error afterwards, and is not taken.
    with np.errstate(all="ignore"):
        residual = mos - logistic(score, *parameters.T[:, :, None])
        gradient = _gradient(score, *parameters.T[:, :, None])
        weighted = gradient * counts[:, :, None]
        normal = weighted.transpose(0, 2, 1) @ gradient
        unit = np.sqrt(normal[:, range(4), range(4)])
        unit[unit == 0] = 1
        normal /= unit[:, :, None] * unit[:, None, :]
        normal[:, range(4), range(4)] += damping[:, None]
        slope = (weighted * residual[:, :, None]).sum(1) / unit
        return np.linalg.solve(normal, slope[:, :, None])[:, :, 0] / unit


def _squared_error(score: Floats, mos: Floats, counts: Floats, parameters: Floats) -> Floats:
    with np.errstate(all="ignore"):
        error = (counts * (mos - logistic(score, *parameters.T[:, :, None])) ** 2).sum(1)
    return np.where(np.isfinite(error), error, np.inf)

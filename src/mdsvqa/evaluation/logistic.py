"""The four-parameter logistic between a model's scores and MOS, which precedes PLCC and RMSE."""

import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

from mdsvqa.runtime.arrays import Floats

Number = float | Floats
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
    rise: Floats = expit((score - center) / np.abs(width))
    return bottom + (top - bottom) * rise


def _gradient(score: Floats, top: Number, bottom: Number, center: Number, width: Number) -> Floats:
    """By the four parameters, along a new last axis."""
    rise = expit((score - center) / np.abs(width))
    slope = (top - bottom) * rise * (1 - rise)
    by_width = -slope * (score - center) / (np.abs(width) * width)
    return np.stack([rise, 1 - rise, -slope / np.abs(width), by_width], axis=-1)


def fit_logistic(score: Floats, mos: Floats) -> Floats | None:
    """Least-squares parameters of `logistic`, or None where the fit does not converge.

    Args:
        score, mos: paired values, shape (n,), n >= 4.
    """
    # Not the standard deviation: that of a constant is not always 0 in floating point.
    if np.ptp(score) == 0 or np.ptp(mos) == 0:
        return None
    # The start that VQEG's own code uses.
    start = (float(mos.max()), float(mos.min()), float(score.mean()), float(np.std(score)) / 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("error", OptimizeWarning)
        try:
            parameters, _ = curve_fit(logistic, score, mos, p0=start, jac=_gradient, method="lm", maxfev=2000)
        except (RuntimeError, OptimizeWarning, ValueError):
            return None
    return np.asarray(parameters) if np.all(np.isfinite(parameters)) else None


def map_to_mos(score: Floats, mos: Floats) -> tuple[Floats, str]:
    """Scores on the scale of MOS, and how they got there.

    Returns:
        The mapped scores, and "logistic", or "linear" (least squares) where the logistic fit does not converge. The
        map may fall, as for a model whose high scores mean low quality: the sign of the SRCC tells.
    """
    parameters = fit_logistic(score, mos)
    if parameters is not None:
        return logistic(score, *parameters), "logistic"
    if np.ptp(score) == 0 or np.ptp(mos) == 0:
        return np.full_like(mos, mos.mean()), "linear"
    centered = score - score.mean()
    return mos.mean() + (centered @ mos) / (centered @ centered) * centered, "linear"


def refit_logistic(score: Floats, mos: Floats, counts: Floats, start: Floats) -> Floats:
    """Fits the logistic to many resamples of one sample at once, by Levenberg's damped Gauss-Newton steps.

    Args:
        score, mos: the whole sample, shape (n,), or (draws, n) where the values depend on the resample.
        counts: how often each video is in each resample, shape (draws, n).
        start: parameters of the whole sample's fit, shape (4,).

    Returns:
        Parameters, shape (draws, 4), each at least as good on its resample as the start. Where the best curve lies at
        infinity (the scores cover a part of the logistic only) the steps stop on the way: the error no longer changes
        by what could be seen in a correlation.
    """
    rows = max(1, BLOCK // (4 * counts.shape[1]))
    score, mos = (np.broadcast_to(values, counts.shape) for values in (score, mos))
    blocks = [slice(i, i + rows) for i in range(0, len(counts), rows)]
    return np.concatenate([_refit_block(score[block], mos[block], counts[block], start) for block in blocks])


def _refit_block(score: Floats, mos: Floats, counts: Floats, start: Floats) -> Floats:
    parameters = np.tile(start, (len(counts), 1))
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
    return parameters


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

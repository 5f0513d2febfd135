"""The metrics of the field: SRCC, PLCC, KRCC and RMSE."""

import numpy as np

from mdsvqa.evaluation.bootstrap import krcc_draws, resampled_pearson, srcc_draws
from mdsvqa.evaluation.correlation import krcc, pearson, srcc
from mdsvqa.evaluation.metric import Metric
from mdsvqa.runtime.arrays import Floats


def rmse(predicted: Floats, mos: Floats) -> float:
    """Root mean square error, MOS points; of scores that were mapped to MOS first."""
    return float(np.sqrt(np.mean((predicted - mos) ** 2)))


def rmse_draws(predicted: Floats, mos: Floats, counts: Floats) -> Floats:
    """The same in each resample; arguments as `Metric.draws`."""
    return np.asarray(np.sqrt((counts * (predicted - mos) ** 2).sum(1) / counts.sum(1)), np.float64)


METRICS = (
    Metric("srcc", "SRCC", srcc, srcc_draws),
    Metric("plcc", "PLCC", pearson, resampled_pearson, after_fit=True),
    Metric("krcc", "KRCC", krcc, krcc_draws),
    Metric("rmse", "RMSE", rmse, rmse_draws, after_fit=True, higher_is_better=False),
    # Last: results of old studies have the others in this order. docs/statistics.md says which PLCC to quote when.
    Metric("plcc_raw", "PLCC (no fit)", pearson, resampled_pearson),
)

"""Is failure predicted? Predicted difficulty against f's true errors, beside what a look at f alone would give.

The correlation of f with MOS on the chosen videos falls with the range of f among them, whatever f's errors are. So
every figure about the chosen videos stands beside the same figure of a control: other videos with scores of f as near
as there are. Where the chosen ones use up a range of f, that is not very near: the mean f of both is told. Where errors
grow with falling f, choosing the lowest f has such a lift too, without knowing anything of errors: it stands beside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from mdsvqa.evaluation.bootstrap import resample_counts, resampled_pearson, srcc_draws
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.evaluation.logistic import fit_logistic, logistic, refit_logistic
from mdsvqa.evaluation.metrics import evaluate
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.frames import Rows

# A control is drawn from as many unchosen videos of nearest f.
NEAREST = 5
# The share of the pool that counts as f's true failures.
WORST = 0.1
FEWEST = 20
# Standard deviations of f between the means of chosen and control, above which they are not alike (Austin, 2009,
# Balance diagnostics for comparing the distribution of baseline covariates).
UNLIKE = 0.1


@dataclass(frozen=True)
class FailureEvaluation(Rows):
    """How well difficulty predicts errors.

    Attributes:
        n: videos.
        k: chosen, those of highest difficulty; ties by chance.
        figures: by name, as `FIGURES` describes them; NaN where undefined.
        warnings: why the lift may say less about g than it seems to, in sentences.
    """

    n: int
    k: int
    figures: Mapping[str, Interval]
    warnings: Sequence[str] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One a figure, with its interval."""
        return [{"figure": FIGURES[name], **asdict(interval)} for name, interval in self.figures.items()]


FIGURES = {
    "srcc": "SRCC of difficulty with the error",
    "partial_srcc": "the same, given f's score",
    "pool_error": "mean error: the pool",
    "chosen_error": "mean error: the chosen",
    "matched_error": "mean error: the control matched on f",
    "nearest_error": "mean error: the control with repeats",
    "lowest_error": "mean error: the lowest f",
    "lowest_matched_error": "mean error: the control matched on these",
    "lift_over_pool": "mean error: chosen / pool",
    "lift_over_matched": "mean error: chosen / matched control",
    "lift_over_nearest": "mean error: chosen / control with repeats",
    "lowest_lift_over_matched": "mean error: lowest f / its matched control",
    "lift_beyond_lowest": "the chosen's lift over its control / that of the lowest f",
    "worst_precision": "share of the chosen among the true worst 10%",
    "chosen_score": "mean f: the chosen",
    "matched_score": "mean f: the control matched on f",
    "nearest_score": "mean f: the control with repeats",
    "lowest_score": "mean f: the lowest f",
    "pool_srcc": "SRCC of f with MOS: the pool",
    "chosen_srcc": "SRCC of f with MOS: the chosen",
    "matched_srcc": "SRCC of f with MOS: the control matched on f",
    "lowest_srcc": "SRCC of f with MOS: the lowest f",
    "pool_plcc": "PLCC of f with MOS: the pool",
    "chosen_plcc": "PLCC of f with MOS: the chosen",
    "matched_plcc": "PLCC of f with MOS: the control matched on f",
    "lowest_plcc": "PLCC of f with MOS: the lowest f",
}


def evaluate_difficulty(
    score: ArrayLike,
    mos: ArrayLike,
    error: ArrayLike,
    difficulty: ArrayLike,
    k: int,
    *,
    draws: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> FailureEvaluation:
    """Every figure that tells a failure predictor from an artefact.

    Args:
        score: f's, shape (n,).
        mos: shape (n,).
        error: of f, shape (n,), at least 0.
        difficulty: predicted, shape (n,); higher is harder.
        k: videos to choose, 2 to n / 2.
        draws: of ties and controls, over which a figure is the mean; and of the bootstrap over videos, each of which
            breaks ties and draws the controls anew.
        confidence, seed: of the bootstrap.

    Raises:
        InputError: columns of different lengths, not finite, too few videos, or k out of range.
    """
    columns = [np.asarray(values, np.float64) for values in (score, mos, error, difficulty)]
    _check(columns, k)
    x, y, e, d = columns
    rng = np.random.default_rng(seed)
    everyone = np.arange(len(x))
    values = {
        name: float(draw[np.isfinite(draw)].mean()) if np.isfinite(draw).any() else float("nan")
        for name, draw in subset_figures(x, y, e, draw_subsets(x, e, d, k, [everyone] * draws, rng)).items()
    }
    counts = resample_counts(len(x), draws, seed)
    samples = [np.repeat(everyone, row.astype(np.int64)) for row in counts]
    replicates = subset_figures(x, y, e, draw_subsets(x, e, d, k, samples, rng))
    with_error, with_score, between = (srcc_draws(a, b, counts) for a, b in ((d, e), (d, x), (x, e)))
    values |= {"srcc": srcc(d, e), "partial_srcc": float(partial_correlation(srcc(d, e), srcc(d, x), srcc(x, e)))}
    replicates |= {"srcc": with_error, "partial_srcc": np.asarray(partial_correlation(with_error, with_score, between))}
    figures = {name: percentile_interval(values[name], replicates[name], confidence) for name in values}
    pool = evaluate(x, y, draws=draws, confidence=confidence, seed=seed)
    figures |= {"pool_srcc": pool.srcc, "pool_plcc": pool.plcc}
    return FailureEvaluation(len(x), k, {name: figures[name] for name in FIGURES}, _warnings(figures, float(x.std())))


def _warnings(figures: Mapping[str, Interval], spread: float) -> list[str]:
    """Where controls are unlike the chosen, or the lowest f does as well; `spread` is f's standard deviation."""
    lift, lowest, beyond = (
        figures[name] for name in ("lift_over_matched", "lowest_lift_over_matched", "lift_beyond_lowest")
    )
    found = []
    if lift.value > 1 and not beyond.low > 1:
        found.append(
            f"The lowest f, which knows nothing of errors, has a lift of {lowest.value:.2f} over its own control: a "
            f"lift of {lift.value:.2f} is not clearly more than that."
        )
    chosen, matched, nearest = (figures[f"{name}_score"].value for name in ("chosen", "matched", "nearest"))
    apart = abs(chosen - matched) / spread if spread > 0 else 0.0
    if apart > UNLIKE:
        found.append(
            f"The control is unlike the chosen: their mean f are {matched:.2f} and {chosen:.2f}, {apart:.1f} standard "
            f"deviations apart, so a part of the lift may be f's. The control with repeats has {nearest:.2f}."
        )
    return found


def partial_correlation(xy: float | Floats, xz: float | Floats, yz: float | Floats) -> float | Floats:
    """Correlation of x and y given z, from the three correlations; of ranks, the partial rank correlation.

    Source: Kendall (1942), partial rank correlation.

    >>> round(float(partial_correlation(0.5, 0.6, 0.7)), 4)
    0.14
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        partial: float | Floats = (xy - xz * yz) / np.sqrt((1 - np.square(xz)) * (1 - np.square(yz)))
    return np.where(np.isfinite(partial), partial, np.nan)


@dataclass(frozen=True)
class Subsets:
    """What was chosen, and what it is compared with, in each of some draws.

    Attributes:
        chosen, matched, nearest, lowest, lowest_matched: indices of videos, shape (draws, k).
        pool_error: mean error of the videos to choose from, shape (draws,).
        worst: share of the chosen that are among the `WORST` of these, shape (draws,).
    """

    chosen: Ints
    matched: Ints
    nearest: Ints
    lowest: Ints
    lowest_matched: Ints
    pool_error: Floats
    worst: Floats


def draw_subsets(
    score: Floats, error: Floats, difficulty: Floats, k: int, samples: Sequence[Ints], rng: np.random.Generator
) -> Subsets:
    """Chooses the k most difficult videos of each sample, the k of lowest f, two controls of these and one of those.

    Args:
        score, error, difficulty: shape (n,).
        k: to choose.
        samples: the videos to choose from, perhaps some of them several times (a bootstrap sample). No copy of a chosen
            video is a control.
        rng: breaks ties and draws the controls.
    """
    rows, pool_error, worst = [], [], []
    # Of its own, so that the other draws are the same with and without it.
    of_lowest = rng.spawn(1)[0]
    for sample in samples:
        at = highest(difficulty[sample], k, rng)
        chosen = sample[at]
        others = sample[~np.isin(sample, chosen)]
        controls = [others[matched(score[chosen], score[others], rng, repeats=twice)] for twice in (False, True)]
        lowest = sample[highest(-score[sample], k, rng)]
        above = sample[~np.isin(sample, lowest)]
        rows.append([chosen, *controls, lowest, above[matched(score[lowest], score[above], of_lowest)]])
        pool_error.append(error[sample].mean())
        failures = highest(error[sample], max(1, round(WORST * len(sample))), rng)
        worst.append(np.isin(at, failures).mean())
    of_chosen, of_matched, of_nearest, of_lowest_f, of_control = np.array(rows).transpose(1, 0, 2)
    errors, shares = np.array(pool_error), np.array(worst)
    return Subsets(of_chosen, of_matched, of_nearest, of_lowest_f, of_control, errors, shares)


def subset_figures(score: Floats, mos: Floats, error: Floats, subsets: Subsets) -> dict[str, Floats]:
    """The figures that depend on what was chosen, each of shape (draws,).

    Args:
        score, mos, error: shape (n,).
        subsets: of these videos.
    """
    parts = {name: getattr(subsets, name) for name in ("chosen", "matched", "nearest", "lowest", "lowest_matched")}
    found = {f"{name}_error": error[part].mean(1) for name, part in parts.items()}
    found |= {f"{name}_score": score[part].mean(1) for name, part in parts.items() if name != "lowest_matched"}
    found |= {"pool_error": subsets.pool_error, "worst_precision": subsets.worst}
    for name in ("pool", "matched", "nearest"):
        with np.errstate(invalid="ignore", divide="ignore"):
            found[f"lift_over_{name}"] = found["chosen_error"] / found[f"{name}_error"]
    with np.errstate(invalid="ignore", divide="ignore"):
        found["lowest_lift_over_matched"] = found["lowest_error"] / found["lowest_matched_error"]
        found["lift_beyond_lowest"] = found["lift_over_matched"] / found["lowest_lift_over_matched"]
    start = fit_logistic(score, mos)
    for name in ("chosen", "matched", "lowest"):
        x, y = score[parts[name]], mos[parts[name]]
        once = np.ones(x.shape)
        found[f"{name}_srcc"] = resampled_pearson(rankdata(x, axis=1), rankdata(y, axis=1), once)
        # Without a fit on the whole sample there is none on a part of it.
        mapped = x if start is None else logistic(x, *refit_logistic(x, y, once, start).T[:, :, None])
        found[f"{name}_plcc"] = resampled_pearson(mapped, y, once)
    return found


def highest(values: Floats, k: int, rng: np.random.Generator) -> Ints:
    """Indices of the k highest values, ties by chance, shape (k,).

    >>> sorted(highest(np.array([3.0, 1.0, 3.0, 2.0]), 2, np.random.default_rng(0)).tolist())
    [0, 2]
    """
    return np.lexsort((rng.random(len(values)), -values))[:k]


def matched(wanted: Floats, offered: Floats, rng: np.random.Generator, *, repeats: bool = False) -> Ints:
    """For each wanted score a random one of the five nearest that are offered, ties by chance.

    Args:
        wanted: shape (k,).
        offered: shape (m,), at least 1; with fewer than k some are taken again in any case.
        rng: of the draw, and of the order in which the wanted scores take theirs.
        repeats: one may be taken for several. Nearer where few are offered, less certain as they count more than once.

    Returns:
        Indices of offered ones, shape (k,).
    """
    shuffled = rng.permutation(len(offered))
    free = offered[shuffled]
    taken = np.empty(len(wanted), np.int64)
    for place in rng.permutation(len(wanted)):
        distance = np.abs(free - wanted[place])
        width = min(NEAREST, int(np.isfinite(distance).sum()))
        if width == 0:
            free = offered[shuffled]
            distance, width = np.abs(free - wanted[place]), min(NEAREST, len(free))
        # Among equals a partition takes whom it likes, by place; the shuffle has made the place a matter of chance.
        near = np.argpartition(distance, width - 1)[:width]
        pick = near[rng.integers(width)]
        taken[place] = shuffled[pick]
        if not repeats:
            free[pick] = np.inf
    return taken


def _check(columns: list[Floats], k: int) -> None:
    n = len(columns[0])
    if any(values.shape != (n,) for values in columns):
        raise InputError(
            "score, MOS, error and difficulty must be four columns of one length; found "
            f"{', '.join(str(values.shape) for values in columns)}."
        )
    if not all(np.isfinite(values).all() for values in columns):
        raise InputError("score, MOS, error and difficulty must be finite numbers; leave out rows without one of them.")
    if n < FEWEST:
        raise InputError(f"an evaluation of difficulty needs at least {FEWEST} videos with all values; found {n}.")
    if not 2 <= k <= n // 2:
        raise InputError(f"k videos to choose: expected 2 to {n // 2} (half of the {n}), found {k}.")

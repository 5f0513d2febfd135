"""Do the intervals of selection rules against random selection keep what they promise, and does "better" hold?

    python benchmarks/rule_coverage.py [--studies 400] [--videos 150] [--draws 300] [--seed 0]

Simulated comparisons whose truth is known. The model of a rule and seed scores a video of true quality q by
rho q + sqrt(1 - rho^2) error, all normal. Its rho is that of the rule plus an effect of the seed; of the variance of
its errors one share belongs to the video (the same error for all seeds of a rule, and half of it for all rules), the
rest is the interaction of seed and video. SRCC of a correlation r of normal variables is 6 / pi * arcsin(r / 2)
(Pearson, 1907), so that the true mean gain over seeds is known by quadrature.

Random selection and five rules are alike (rho 0.75), one more rule is better (0.80). Coverage: how often the 95%
interval of a rule's gain over random selection holds the true one, over all rules. False "better", false claims: in how
many comparisons at least one of the five alike is called better, or better or worse, at p < 0.05 after Holm. Wanted: 93
to 97%, and at most 5%. Beside them the percentile interval of seeds and videos resampled together, as it was before,
and its width over that of the interval now; and how often the better rule is called so, by the p-value now.
"""

import argparse
import json

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.evaluation.bootstrap import resample_counts, srcc_draws
from mdsvqa.evaluation.correlated import holm
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.crossed import Seeds, crossed
from mdsvqa.evaluation.intervals import percentile_interval
from mdsvqa.evaluation.rule_summary import LEVEL, paired

Floats = NDArray[np.float64]
SEEDS = (5, 10, 20)
ALIKE, BETTER, NULLS = 0.75, 0.80, 5
# By name: standard deviation of rho over seeds, share of the errors' variance that belongs to the video.
EFFECTS = {
    "mostly the interaction": (0.002, 0.2),
    "all three": (0.02, 0.5),
    "mostly the videos": (0.005, 0.9),
    "mostly the seeds": (0.05, 0.8),
}
COLUMNS = {
    "coverage": "covered",
    "coverage_together": "before",
    "width_ratio": "width",
    "false_better": "false +",
    "false_claims": "false",
    "found_better": "found",
}
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(31)


def spearman_of(rho: Floats) -> Floats:
    """SRCC of normal variables of these correlations.

    >>> spearman_of(np.array([0.0, 1.0])).round(6).tolist()
    [0.0, 1.0]
    """
    return np.asarray(6 / np.pi * np.arcsin(rho / 2))


def true_srcc(rho: float, over_seeds: float) -> float:
    """Mean over all seeds there could be."""
    return float(WEIGHTS @ spearman_of(np.clip(rho + over_seeds * NODES, -1, 1)) / WEIGHTS.sum())


def simulated(rhos: list[float], over_seeds: float, of_video: float, seeds: int, videos: int, seed: int) -> Floats:
    """True quality, shape (videos,), in row 0; then the scores of each rule's models: (1 + rules * seeds, videos)."""
    rng = np.random.default_rng([seed, seeds])
    quality, common = rng.normal(size=(2, videos))
    rows = [quality[None]]
    for rho in rhos:
        own = (common + rng.normal(size=videos)) / np.sqrt(2)
        error = np.sqrt(of_video) * own + np.sqrt(1 - of_video) * rng.normal(size=(seeds, videos))
        each = np.clip(rho + over_seeds * rng.normal(size=(seeds, 1)), -1, 1)
        rows.append(each * quality + np.sqrt(1 - each**2) * error)
    return np.concatenate(rows)


def together(difference: Seeds, rng: np.random.Generator) -> tuple[float, float]:
    """The interval of resampling seeds and videos at once."""
    seeds, draws = difference.draws.shape
    drawn = rng.integers(seeds, size=(seeds, draws))
    interval = percentile_interval(0.0, np.take_along_axis(difference.draws, drawn, axis=0).mean(0))
    return interval.low, interval.high


def comparison(effects: tuple[float, float], seeds: int, videos: int, draws: int, seed: int) -> dict[str, float]:
    """What became of one simulated comparison: shares of its rules, widths, and claims."""
    rhos = [ALIKE, *[ALIKE] * NULLS, BETTER]
    rows = simulated(rhos, *effects, seeds, videos, seed)
    quality, counts = rows[0], resample_counts(videos, draws, seed)
    models = [
        Seeds(
            np.array([srcc(score, quality) for score in scores]),
            np.array([srcc_draws(score, quality, counts) for score in scores]),
        )
        for scores in np.split(rows[1:], len(rhos))
    ]
    gains = [paired(model, models[0]) for model in models[1:]]
    truth = [true_srcc(rho, effects[0]) - true_srcc(ALIKE, effects[0]) for rho in rhos[1:]]
    found = [crossed(gain, videos) for gain in gains]
    intervals = [each.interval() for each in found]
    rng = np.random.default_rng(seed)
    before = [together(gain[0], rng) for gain in gains]
    adjusted = holm([each.p for each in found])
    claims = [p < LEVEL for p in adjusted[:NULLS]]
    upwards = [claim and each.value > 0 for claim, each in zip(claims, found, strict=False)]
    return {
        "coverage": float(np.mean([i.low <= true <= i.high for i, true in zip(intervals, truth, strict=True)])),
        "coverage_together": float(
            np.mean([low <= true <= high for (low, high), true in zip(before, truth, strict=True)])
        ),
        "width_ratio": float(
            np.mean([high - low for low, high in before]) / np.mean([i.high - i.low for i in intervals])
        ),
        "false_better": float(any(upwards)),
        "false_claims": float(any(claims)),
        "found_better": float(adjusted[-1] < LEVEL and found[-1].value > 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--videos", type=int, default=150)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    threadpool_limits(1)
    table = Table(
        "effects", "seeds", *COLUMNS.values(), title="95% intervals, p < 0.05 after Holm", box=box.SIMPLE_HEAD
    )
    result: dict[str, object] = {"studies": options.studies, "videos": options.videos, "draws": options.draws}
    rows = []
    for name, effects in EFFECTS.items():
        for seeds in SEEDS:
            found = [
                comparison(effects, seeds, options.videos, options.draws, options.seed + study)
                for study in range(options.studies)
            ]
            means = {column: float(np.mean([each[column] for each in found])) for column in COLUMNS}
            rows.append(means)
            table.add_row(name, str(seeds), *(f"{value:.3f}" for value in means.values()))
            result[f"{name.replace(' ', '_')}_{seeds}"] = {column: round(value, 4) for column, value in means.items()}
    Console().print(table)
    result |= {"lowest_coverage": round(min(row["coverage"] for row in rows), 4)}
    result |= {"highest_coverage": round(max(row["coverage"] for row in rows), 4)}
    result |= {"most_false_better": round(max(row["false_better"] for row in rows), 4)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""What each selection rule gained, over seeds and over test videos."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.evaluation.metrics import METRICS, measured
from mdsvqa.runtime.arrays import Floats, Ints


@dataclass(frozen=True)
class RuleSummary:
    """One rule's model on one set of test videos, averaged over seeds.

    Attributes:
        metrics: srcc, plcc, krcc, rmse.
        over_base, over_random: difference of SRCC, paired by video and seed; None where there is nothing to compare.
        seeds: how many models.
    """

    metrics: dict[str, Interval]
    over_base: Interval | None
    over_random: Interval | None
    seeds: int


def summarise_rules(
    scores: Mapping[str, Floats],
    mos: Floats,
    dataset: Ints,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, RuleSummary]:
    """Mean metrics of each rule with intervals that resample seeds and videos.

    Args:
        scores: for each rule the scores of its models, shape (seeds, n). "base" and "random" are what the others are
            compared with; "base" has one row.
        mos: of the test videos, shape (n,).
        dataset: integer code of each test video's data set; a metric is computed within each and averaged, as the
            paper's tables are.
        draws, confidence, seed: of the bootstrap. The logistic that precedes PLCC and RMSE is not fitted again in
            each draw.

    Returns:
        A summary for each rule.
    """
    groups = [np.flatnonzero(dataset == code) for code in np.unique(dataset)]
    counts = [resample_counts(len(group), draws, seed + place) for place, group in enumerate(groups)]
    values, replicates = {}, {}
    for rule, models in scores.items():
        per_group = [_metrics(models[:, group], mos[group], count) for group, count in zip(groups, counts, strict=True)]
        values[rule] = {name: np.mean([value[name] for value, _ in per_group], 0) for name in per_group[0][0]}
        replicates[rule] = {name: np.mean([draw[name] for _, draw in per_group], 0) for name in per_group[0][1]}
    most = max(len(models) for models in scores.values())
    # Uniform numbers, so that rules with as many seeds are drawn in pairs, and one with fewer is drawn evenly.
    uniform = np.random.default_rng(seed).random((draws, most))

    def over_seeds(rule: str, name: str) -> Floats:
        per_seed = replicates[rule][name]
        drawn = (uniform[:, : len(per_seed)] * len(per_seed)).astype(np.int64)
        return np.take_along_axis(per_seed.T, drawn, axis=1).mean(1)

    def difference(rule: str, other: str) -> Interval | None:
        if other not in scores or rule == other:
            return None
        value = float(values[rule]["srcc"].mean() - values[other]["srcc"].mean())
        return percentile_interval(value, over_seeds(rule, "srcc") - over_seeds(other, "srcc"), confidence)

    return {
        rule: RuleSummary(
            {
                name: percentile_interval(float(value.mean()), over_seeds(rule, name), confidence)
                for name, value in values[rule].items()
            },
            difference(rule, "base"),
            difference(rule, "random") if rule != "base" else None,
            len(scores[rule]),
        )
        for rule in scores
    }


def _metrics(models: Floats, mos: Floats, counts: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Each metric of each model, shape (seeds,), and in each draw, shape (seeds, draws)."""
    found = [measured(score, mos, counts, refit=False) for score in models]
    values = {name: np.array([each.values[name] for each in found]) for name in METRICS}
    return values, {name: np.stack([each.draws[name] for each in found]) for name in METRICS}

"""What each selection rule gained, over seeds and over test videos."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.correlated import holm
from mdsvqa.evaluation.crossed import Seeds, crossed
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.evaluation.metrics import METRICS, measured
from mdsvqa.runtime.arrays import Floats, Ints

BASE, RANDOM = "base", "random"
# Of a family of comparisons: how often any of them may be called a difference where there is none.
LEVEL = 0.05


@dataclass(frozen=True)
class RuleSummary:
    """One rule's model on one set of test videos, averaged over seeds.

    Attributes:
        metrics: srcc, plcc, krcc, rmse.
        over_base, over_random: difference of SRCC, paired by video, and by seed where both have as many; None where
            there is nothing to compare.
        seeds: how many models.
        p_over_random: two-sided, that there is no difference from random selection, adjusted for all rules that are
            compared with it (Holm), in [0, 1]; None where there is nothing to compare, or nothing is claimed.
    """

    metrics: dict[str, Interval]
    over_base: Interval | None
    over_random: Interval | None
    seeds: int
    p_over_random: float | None = None

    @property
    def differs_from_random(self) -> bool:
        """Whether that may be said, with as many rules as were compared."""
        return self.p_over_random is not None and self.p_over_random < LEVEL

    @property
    def better_than_random(self) -> bool:
        """Whether that may be said, with as many rules as were compared."""
        return self.differs_from_random and self.over_random is not None and self.over_random.value > 0


def summarise_rules(
    scores: Mapping[str, Floats],
    mos: Floats,
    dataset: Ints,
    *,
    frames: Collection[str] = (),
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, RuleSummary]:
    """Mean metrics of each rule with intervals for other seeds and other videos.

    Args:
        scores: for each rule the scores of its models, shape (seeds, n). "base" and "random" are what the others are
            compared with; "base" has one row.
        mos: of the test videos, shape (n,).
        dataset: integer code of each test video's data set; a metric is computed within each and averaged, as the
            paper's tables are.
        frames: rules that only frame the others: nothing is claimed of them, and the others do not pay for them.
        draws, confidence, seed: of the bootstrap over videos. The logistic that precedes PLCC and RMSE is not fitted
            again in each draw.

    Returns:
        A summary for each rule. Intervals of several seeds are those of `crossed`; those of one model are percentiles
        of the bootstrap over videos, and say nothing of other seeds.
    """
    groups = [np.flatnonzero(dataset == code) for code in np.unique(dataset)]
    counts = [resample_counts(len(group), draws, seed + place) for place, group in enumerate(groups)]
    figures = {rule: _figures(models, mos, groups, counts) for rule, models in scores.items()}
    # Each data set has a mean of its own.
    videos = max(2, len(mos) - len(groups) + 1)
    over = {
        other: {
            rule: paired(of_rule["srcc"], figures[other]["srcc"])
            for rule, of_rule in figures.items()
            if other in figures and rule not in (BASE, other)
        }
        for other in (BASE, RANDOM)
    }
    claimed = [rule for rule in over[RANDOM] if rule not in frames]
    p_values = holm([crossed(over[RANDOM][rule], videos).p for rule in claimed])
    adjusted = dict(zip(claimed, p_values, strict=True))

    def gain(rule: str, other: str) -> Interval | None:
        return _interval(over[other][rule], videos, confidence) if rule in over[other] else None

    return {
        rule: RuleSummary(
            {name: _in_range(name, _interval([found], videos, confidence)) for name, found in of_rule.items()},
            gain(rule, BASE),
            gain(rule, RANDOM),
            len(scores[rule]),
            adjusted.get(rule),
        )
        for rule, of_rule in figures.items()
    }


def paired(first: Seeds, second: Seeds) -> list[Seeds]:
    """The parts of a difference, for `crossed`: seed by seed where that is possible, else each side's own seeds."""
    alike = len(first.values) == len(second.values) or 1 in (len(first.values), len(second.values))
    return [first - second] if alike else [first, second]


def _figures(models: Floats, mos: Floats, groups: Sequence[Ints], counts: Sequence[Floats]) -> dict[str, Seeds]:
    """Each metric of each model, the mean over groups of videos."""
    found = [
        [measured(score[group], mos[group], count, refit=False) for group, count in zip(groups, counts, strict=True)]
        for score in models
    ]
    return {
        name: Seeds(
            np.array([np.mean([each.values[name] for each in of_model]) for of_model in found]),
            np.array([np.mean([each.draws[name] for each in of_model], axis=0) for of_model in found]),
        )
        for name in METRICS
    }


def _interval(parts: Sequence[Seeds], videos: int, confidence: float) -> Interval:
    mean = crossed(parts, videos)
    if any(len(part.values) > 1 for part in parts):
        return mean.interval(confidence)
    return percentile_interval(mean.value, parts[0].draws[0], confidence)


def _in_range(name: str, interval: Interval) -> Interval:
    """An interval cut to what the metric can be: a correlation, or an error."""
    low, high = (-1.0, 1.0) if METRICS[name].higher_is_better else (0.0, np.inf)
    return Interval(interval.value, float(np.clip(interval.low, low, high)), float(np.clip(interval.high, low, high)))

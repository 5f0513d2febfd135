"""Summaries of selection rules against loops that write every resample out."""

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau, pearsonr, spearmanr

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.logistic import map_to_mos
from mdsvqa.evaluation.metrics import METRICS
from mdsvqa.evaluation.rule_summary import summarise_rules

Floats = NDArray[np.float64]
DATASET = np.repeat([4, 2], [25, 15])
DRAWS, SEED = 30, 3


def statistics(score: Floats, mapped: Floats, mos: Floats) -> list[float]:
    return [
        spearmanr(score, mos).statistic,
        pearsonr(mapped, mos).statistic,
        kendalltau(score, mos).statistic,
        math.sqrt(np.mean((mapped - mos) ** 2)),
        pearsonr(score, mos).statistic,
    ]


def material() -> tuple[dict[str, Floats], Floats]:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 40).round(1)
    noise = {"base": (1.2, 1), "random": (1.0, 4), "mds": (0.5, 4), "k-means": (0.8, 3)}
    return {rule: mos + size * rng.normal(size=(seeds, 40)) for rule, (size, seeds) in noise.items()}, mos


@cache
def slow() -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Of each rule of `material` the metrics, and in each draw, by loops over draws, seeds and data sets."""
    scores, mos = material()
    groups = [np.flatnonzero(code == DATASET) for code in (2, 4)]
    counts = [resample_counts(len(g), DRAWS, SEED + place).astype(int) for place, g in enumerate(groups)]
    uniform = np.random.default_rng(SEED).random((DRAWS, max(map(len, scores.values()))))
    values, replicates = {}, {}
    for rule, models in scores.items():
        maps = [[map_to_mos(model[g], mos[g])[0] for g in groups] for model in models]
        every = [
            (model[g], mapped[place], mos[g])
            for model, mapped in zip(models, maps, strict=True)
            for place, g in enumerate(groups)
        ]
        values[rule] = np.mean([statistics(*one) for one in every], 0)
        of_draws = []
        for draw in range(DRAWS):
            found = []
            for place in range(len(models)):
                model = int(uniform[draw, place] * len(models))
                for g, mapped, count in zip(groups, maps[model], counts, strict=True):
                    chosen = np.repeat(np.arange(len(g)), count[draw])
                    found.append(statistics(models[model][g][chosen], mapped[chosen], mos[g][chosen]))
            of_draws.append(np.mean(found, 0))
        replicates[rule] = np.array(of_draws)
    return values, replicates


def close(found: Interval | None, value: float, draws: Floats, confidence: float) -> None:
    tail = (1 - confidence) / 2
    assert found is not None
    expected = [value, *np.quantile(draws, [tail, 1 - tail])]
    assert [found.value, found.low, found.high] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_against_loops(confidence: float) -> None:
    scores, mos = material()
    values, replicates = slow()
    found = summarise_rules(scores, mos, DATASET, draws=DRAWS, seed=SEED, confidence=confidence)
    assert list(found) == list(scores)
    for rule, summary in found.items():
        assert summary.seeds == len(scores[rule])
        for place, name in enumerate(METRICS):
            close(summary.metrics[name], values[rule][place], replicates[rule][:, place], confidence)
        for other, difference in (("base", summary.over_base), ("random", summary.over_random)):
            if rule == other or rule == "base":
                assert difference is None
                continue
            gain = replicates[rule][:, 0] - replicates[other][:, 0]
            close(difference, values[rule][0] - values[other][0], gain, confidence)


def test_nothing_to_compare_with() -> None:
    scores, mos = material()
    (summary,) = summarise_rules({"mds": scores["mds"]}, mos, DATASET, draws=DRAWS).values()
    assert summary.over_base is None
    assert summary.over_random is None


def test_data_sets_count_alike() -> None:
    # Perfect on the small data set, reversed on the large one.
    mos = np.concatenate([np.arange(30.0), np.arange(6.0)])
    score = np.concatenate([-np.arange(30.0), np.arange(6.0)])[None]
    found = summarise_rules({"mds": score}, mos, np.repeat([0, 1], [30, 6]), draws=DRAWS)["mds"]
    assert found.metrics["srcc"].value == pytest.approx(0)
    assert found.metrics["krcc"].value == pytest.approx(0)


def test_the_same_models_differ_by_nothing() -> None:
    scores, mos = material()
    found = summarise_rules({"random": scores["mds"], "mds": scores["mds"].copy()}, mos, DATASET, draws=DRAWS)
    assert found["mds"].over_random == Interval(0.0, 0.0, 0.0)


def test_a_clear_gain_is_told_from_none() -> None:
    scores, mos = material()
    found = summarise_rules(scores, mos, DATASET, draws=300)
    gain = found["mds"].over_base
    assert gain is not None
    assert gain.low > 0
    noise = mos + 3 * np.random.default_rng(1).normal(size=(4, 40))
    worse = summarise_rules({"base": scores["mds"][:1], "mds": noise}, mos, DATASET, draws=300)["mds"].over_base
    assert worse is not None
    assert worse.high < 0


def test_every_seed_of_a_rule_with_fewer_is_drawn_as_often() -> None:
    # Two models, one perfect and one reversed, beside a rule with three: the mean of the draws is that of the models.
    mos = np.arange(12.0)
    scores = {"two": np.stack([mos, -mos]), "three": np.stack([mos, mos, mos])}
    found = summarise_rules(scores, mos, np.zeros(12, np.int64), draws=2000, confidence=0.98)["two"].metrics["srcc"]
    assert (found.value, found.low, found.high) == pytest.approx((0, -1, 1))
    found = summarise_rules(scores, mos, np.zeros(12, np.int64), draws=2000, confidence=0.4)["two"].metrics["srcc"]
    # Both models are drawn once in half of the draws, and each twice in a quarter.
    assert (found.low, found.high) == pytest.approx((0, 0), abs=1e-12)

"""Summaries of selection rules against loops that write every resample out."""

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau, pearsonr, spearmanr
from scipy.stats import t as student

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.logistic import map_to_mos
from mdsvqa.evaluation.rule_summary import RuleSummary, summarise_rules

Floats = NDArray[np.float64]
DATASET = np.repeat([4, 2], [25, 15])
DRAWS, SEED = 30, 3
SHOWN = ("srcc", "plcc", "krcc", "rmse")


def statistics(score: Floats, mapped: Floats, mos: Floats) -> list[float]:
    return [
        spearmanr(score, mos).statistic,
        pearsonr(mapped, mos).statistic,
        kendalltau(score, mos).statistic,
        math.sqrt(np.mean((mapped - mos) ** 2)),
    ]


def material() -> tuple[dict[str, Floats], Floats]:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 40).round(1)
    noise = {"base": (1.2, 1), "random": (1.0, 4), "mds": (0.5, 4), "k-means": (0.8, 3)}
    return {rule: mos + size * rng.normal(size=(seeds, 40)) for rule, (size, seeds) in noise.items()}, mos


@cache
def slow() -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The four metrics of each model of `material`, shape (seeds, 4), and in each draw, shape (seeds, draws, 4)."""
    scores, mos = material()
    groups = [np.flatnonzero(code == DATASET) for code in (2, 4)]
    counts = [resample_counts(len(g), DRAWS, SEED + place).astype(int) for place, g in enumerate(groups)]
    values, replicates = {}, {}
    for rule, models in scores.items():
        values[rule], replicates[rule] = np.empty((len(models), 4)), np.empty((len(models), DRAWS, 4))
        for place, model in enumerate(models):
            maps = [map_to_mos(model[g], mos[g])[0] for g in groups]
            found = [statistics(model[g], mapped, mos[g]) for g, mapped in zip(groups, maps, strict=True)]
            values[rule][place] = np.mean(found, 0)
            for draw in range(DRAWS):
                found = []
                for g, mapped, count in zip(groups, maps, counts, strict=True):
                    chosen = np.repeat(np.arange(len(g)), count[draw])
                    found.append(statistics(model[g][chosen], mapped[chosen], mos[g][chosen]))
                replicates[rule][place, draw] = np.mean(found, 0)
    return values, replicates


def half_width(values: Floats, draws: Floats, confidence: float) -> float:
    """Of a mean over seeds, by the covariances of every two of them over resamples of 40 videos in two data sets."""
    seeds, n = len(values), 39
    covariance = np.cov(draws) * n / (n - 1)
    between = values.var(ddof=1) / seeds
    whole = between + max(0.0, covariance[~np.eye(seeds, dtype=bool)].mean())
    tail = (1 + confidence) / 2
    factor = between * student.ppf(tail, seeds - 1) + (whole - between) * student.ppf(tail, n - 1)
    return float(factor / whole * math.sqrt(whole))


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_against_loops(confidence: float) -> None:
    scores, mos = material()
    values, replicates = slow()
    found = summarise_rules(scores, mos, DATASET, draws=DRAWS, seed=SEED, confidence=confidence)
    assert list(found) == list(scores)
    for rule in ("random", "mds", "k-means"):
        assert found[rule].seeds == len(scores[rule])
        for place, name in enumerate(SHOWN):
            interval, of_seeds = found[rule].metrics[name], values[rule][:, place]
            half = half_width(of_seeds, replicates[rule][:, :, place], confidence)
            most = math.inf if name == "rmse" else 1.0
            expected = (of_seeds.mean(), of_seeds.mean() - half, min(most, of_seeds.mean() + half))
            assert (interval.value, interval.low, interval.high) == pytest.approx(expected)
        over_base = found[rule].over_base
        assert over_base is not None
        gains = values[rule][:, 0] - values["base"][:, 0]
        half = half_width(gains, replicates[rule][:, :, 0] - replicates["base"][:, :, 0], confidence)
        assert (over_base.value, over_base.low) == pytest.approx((gains.mean(), gains.mean() - half))
    over_random = found["mds"].over_random
    assert over_random is not None
    gains = values["mds"][:, 0] - values["random"][:, 0]
    half = half_width(gains, replicates["mds"][:, :, 0] - replicates["random"][:, :, 0], confidence)
    assert (over_random.value, over_random.high) == pytest.approx((gains.mean(), gains.mean() + half))
    # With another number of seeds than random selection they are not paired.
    other = found["k-means"].over_random
    assert other is not None
    assert other.value == pytest.approx(values["k-means"][:, 0].mean() - values["random"][:, 0].mean())
    assert found["base"].over_base is None
    assert found["base"].over_random is None
    assert found["random"].over_random is None


def test_one_model_has_the_percentiles_of_its_resamples() -> None:
    scores, mos = material()
    values, replicates = slow()
    found = summarise_rules(scores, mos, DATASET, draws=DRAWS, seed=SEED, confidence=0.8)["base"]
    for place, name in enumerate(SHOWN):
        interval = found.metrics[name]
        expected = [values["base"][0, place], *np.quantile(replicates["base"][0, :, place], [0.1, 0.9])]
        assert [interval.value, interval.low, interval.high] == pytest.approx(expected, abs=1e-9)
    pair = {"base": scores["base"], "round 1": scores["mds"][:1]}
    gain = summarise_rules(pair, mos, DATASET, draws=DRAWS, seed=SEED, confidence=0.8)["round 1"].over_base
    assert gain is not None
    expected = np.quantile(replicates["mds"][0, :, 0] - replicates["base"][0, :, 0], [0.1, 0.9])
    assert [gain.low, gain.high] == pytest.approx(expected.tolist(), abs=1e-9)


def test_p_values_are_adjusted_for_the_rules_that_are_compared_and_not_for_what_frames_them() -> None:
    rng = np.random.default_rng(5)
    mos = rng.uniform(1, 5, 80)
    noise = {"random": 1.0, "a": 0.6, "b": 0.97, "c": 1.01, "everything": 0.3}
    scores = {rule: mos + size * rng.normal(size=(6, 80)) for rule, size in noise.items()}
    codes = np.zeros(80, np.int64)
    alone = {}
    for rule in "abc":
        pair = {"random": scores["random"], rule: scores[rule]}
        alone[rule] = summarise_rules(pair, mos, codes)[rule].p_over_random
    found = summarise_rules(scores, mos, codes, frames=("everything",))
    assert found["everything"].p_over_random is None
    assert not found["everything"].better_than_random
    assert found["random"].p_over_random is None
    order = sorted("abc", key=lambda rule: alone[rule])
    largest = 0.0
    for factor, rule in zip((3, 2, 1), order, strict=True):
        largest = min(1.0, max(largest, factor * alone[rule]))
        assert found[rule].p_over_random == pytest.approx(largest)
        assert found[rule].differs_from_random == (largest < 0.05)
    assert found["a"].better_than_random


def test_a_gain_that_is_one_of_many_is_no_gain() -> None:
    gain = Interval(0.02, 0.001, 0.039)
    assert RuleSummary({}, None, gain, 10, 0.04).better_than_random
    assert not RuleSummary({}, None, gain, 10, 0.12).better_than_random
    assert not RuleSummary({}, None, gain, 10).better_than_random
    assert not RuleSummary({}, None, Interval(-0.02, -0.039, -0.001), 10, 0.04).better_than_random
    assert not RuleSummary({}, None, gain, 10, math.nan).differs_from_random


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
    rng = np.random.default_rng(2)
    scores["mds"] = mos + 0.3 * rng.normal(size=(6, 40))
    found = summarise_rules(scores, mos, DATASET, draws=300)
    gain = found["mds"].over_base
    assert gain is not None
    assert gain.low > 0
    noise = mos + 3 * np.random.default_rng(1).normal(size=(4, 40))
    worse = summarise_rules({"base": scores["mds"][:1], "mds": noise}, mos, DATASET, draws=300)["mds"].over_base
    assert worse is not None
    assert worse.high < 0


def test_an_interval_of_a_correlation_ends_where_correlations_do() -> None:
    mos = np.arange(12.0)
    scores = {"two": np.stack([mos, -mos]), "one": mos[None]}
    found = summarise_rules(scores, mos, np.zeros(12, np.int64))
    assert found["two"].metrics["srcc"] == Interval(0.0, -1.0, 1.0)
    assert found["two"].metrics["rmse"].low >= 0
    assert found["one"].metrics["srcc"] == Interval(1.0, 1.0, 1.0)

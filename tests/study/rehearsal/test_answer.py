"""The verdict: what is struck out, what is recommended, and the interval behind both, by hand and by simulation."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import t as student

from mdsvqa.evaluation.intervals import resampled
from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.rehearsal.answer import CurvePoint, answer, curve_points, reached
from mdsvqa.study.rehearsal.repeats import RANDOM, RepeatResult

FALLBACK = "facility-location"


def results(gains: Mapping[str, Sequence[Sequence[float]]], budget: int = 5) -> list[RepeatResult]:
    """Of rules by pseudo-target by repeat, over a random selection that reaches 0.5."""
    found = []
    shape = np.array(next(iter(gains.values()))).shape
    for name, of_targets in {RANDOM: np.zeros(shape), BASE: np.full(shape, -0.1), **gains}.items():
        spent = {BASE: 0}.get(name, budget)
        for target, row in enumerate(np.asarray(of_targets)):
            found += [RepeatResult(f"t{target}", i, name, spent, 0.5 + float(x), 0.7) for i, x in enumerate(row)]
    everything = [
        RepeatResult(f"t{target}", i, EVERYTHING, 99, 0.8, 0.7) for target in range(shape[0]) for i in range(shape[1])
    ]
    return [*found, *everything]


def around(value: float, repeats: int = 16, targets: int = 2, spread: float = 0.01, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, round(1000 * abs(value))])
    return value + spread * rng.normal(size=(targets, repeats))


def test_the_interval_by_hand() -> None:
    differences = np.array([[0.00, 0.02, 0.04], [0.01, 0.03, 0.05]])
    # Variance 0.0004 of each; a third more for the mean of three, a half for the share of test to pool videos.
    error = np.sqrt(2 * 0.0004 * (1 / 3 + 1 / 2)) / 2
    found = resampled(differences, 0.05, 1 / 2)
    assert found.value == pytest.approx(0.025)
    assert found.high - found.value == pytest.approx(student.ppf(0.975, 4) * error)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    plain = resampled(differences, 0.05, 0.0)
    assert plain.high - plain.value == pytest.approx(student.ppf(0.975, 4) * np.sqrt(2 * 0.0004 / 3) / 2)


def test_with_one_repeat_nothing_can_be_told() -> None:
    found = answer(results({FALLBACK: [[0.1], [0.1]], "mds": [[-0.3], [-0.3]]}), 5, FALLBACK)
    assert (found.recommended, found.struck) == (FALLBACK, [])


def test_a_rule_behind_random_selection_is_struck_out() -> None:
    found = answer(results({FALLBACK: around(0.02), "mds": around(-0.05), "k-means": around(0.01)}), 5, FALLBACK)
    assert [each.rule for each in found.struck] == ["mds"]
    assert found.recommended == FALLBACK
    assert [each.rule for each in found.standings] == [FALLBACK, "k-means", "mds"]
    assert (found.random_srcc, found.base_srcc, found.everything_srcc) == pytest.approx((0.5, 0.4, 0.8))
    assert found.standings[0].source_srcc == pytest.approx(0.7)


def test_another_rule_has_to_be_ahead_of_the_fallback_and_not_of_random_selection_only() -> None:
    ahead = answer(results({FALLBACK: around(0.02), "k-means": around(0.08)}), 5, FALLBACK)
    assert ahead.recommended == "k-means"
    level = answer(results({FALLBACK: around(0.05), "k-means": around(0.055)}), 5, FALLBACK)
    assert level.recommended == FALLBACK
    assert level.standings[0].gain.low > 0


def test_it_has_to_be_ahead_on_every_pseudo_target() -> None:
    split = np.vstack([around(0.5)[0], around(-0.03)[0]])
    assert resampled(split, 0.05 / 2, 1 / 2).low > 0
    assert answer(results({FALLBACK: around(0.0), "k-means": split}), 5, FALLBACK).recommended == FALLBACK


def test_a_fallback_that_does_harm_gives_way_to_random_selection() -> None:
    found = answer(results({FALLBACK: around(-0.06), "mds": around(-0.07)}), 5, FALLBACK)
    assert found.recommended == RANDOM
    better = answer(results({FALLBACK: around(-0.06), "k-means": around(0.04)}), 5, FALLBACK)
    assert better.recommended == "k-means"


def test_the_fallback_is_struck_out_only_by_what_holds_on_other_videos_too() -> None:
    little = around(-0.01, spread=0.02)
    assert resampled(little, 0.05, 0.0).high < 0 < resampled(little, 0.05, 1 / 2).high
    found = answer(results({FALLBACK: little, "mds": little - 0.001}), 5, FALLBACK)
    assert [each.rule for each in found.struck] == ["mds"]
    assert found.recommended == FALLBACK


def test_random_selection_may_be_the_fallback() -> None:
    assert answer(results({"mds": around(-0.06)}), 5, RANDOM).recommended == RANDOM
    assert answer(results({"mds": around(0.06)}), 5, RANDOM).recommended == "mds"


def test_where_all_rules_are_level_the_fallback_stands_nearly_always() -> None:
    """Repeats share most of their videos: a rule has an error on each pseudo-target, and another in each repeat."""
    rng, other = np.random.default_rng(0), 0
    for _ in range(200):
        gains = {
            name: 0.02 * rng.normal(size=(2, 1)) + 0.03 * rng.normal(size=(2, 16))
            for name in (FALLBACK, "mds", "k-means", "core-set", "typiclust")
        }
        other += answer(results(gains), 5, FALLBACK).recommended != FALLBACK
    assert other <= 10


def test_only_repeats_that_every_pseudo_target_had_count() -> None:
    whole = results({FALLBACK: around(0.02)})
    cut = [each for each in whole if (each.target, each.repeat) != ("t1", 15)]
    assert {name: values.shape for name, values in reached(cut, 5, "target_srcc").items()} == dict.fromkeys(
        (RANDOM, BASE, FALLBACK, EVERYTHING), (2, 15)
    )


def test_the_curve() -> None:
    found = [*results({FALLBACK: [[0.1], [0.2]]}), *results({FALLBACK: [[0.2], [0.3]]}, 10)]
    assert curve_points(found, [FALLBACK], [5, 10]) == [
        CurvePoint(FALLBACK, 5, pytest.approx(0.65)),
        CurvePoint(FALLBACK, 10, pytest.approx(0.75)),
    ]

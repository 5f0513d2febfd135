import math
from dataclasses import replace

import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.data import RuleResult
from mdsvqa.report.page.wording import (
    bounds,
    comparison_sentences,
    flat_settings,
    number,
    tick_label,
    verdict,
    winner,
)


def rule(name: str, srcc: float, gain: Interval | None = None) -> RuleResult:
    return RuleResult(name, name.upper(), {"srcc": Interval(srcc, srcc, srcc)}, gain_over_random=gain)


CLEAR, UNCLEAR, WORSE = Interval(0.05, 0.01, 0.09), Interval(0.05, -0.01, 0.09), Interval(-0.05, -0.09, -0.01)


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.1234, False, "0.123"),
        (-0.5, False, "−0.500"),
        (-0.0004, True, "0.000"),
        (0.04, True, "+0.040"),
        (math.inf, False, "–"),
        (None, False, "–"),
    ],
)
def test_numbers(value, signed, text):
    assert number(value, signed=signed) == text


def test_ticks_have_the_decimals_of_their_step():
    assert [tick_label(0.5, step) for step in (0.5, 0.1, 0.05, 0.001)] == ["0.5", "0.5", "0.50", "0.500"]
    assert tick_label(20.0, 10.0) == "20"


def test_unknown_bounds_are_left_out():
    assert bounds(Interval(0.5, math.nan, math.nan)) == ""
    assert bounds(None) == ""


@pytest.mark.parametrize(
    ("gain", "tone"),
    [
        (CLEAR, "better"),
        (UNCLEAR, "open"),
        (WORSE, "worse"),
        (None, "open"),
        (Interval(0.1, math.nan, math.nan), "open"),
    ],
)
def test_a_verdict_needs_an_interval_off_zero(gain, tone):
    assert verdict(rule("mds", 0.7, gain)).tone == tone


@pytest.mark.parametrize(("p", "tone"), [(0.012, "better"), (0.0501, "open"), (math.nan, "open"), (1.0, "open")])
def test_a_verdict_counts_how_many_rules_were_compared(p, tone):
    one_of_many = replace(rule("mds", 0.7, CLEAR), p_over_random=p)
    assert verdict(one_of_many).tone == tone
    assert winner([one_of_many]) == ("mds" if tone == "better" else None)


def test_an_interval_over_zero_is_not_distinguishable():
    assert verdict(rule("mds", 0.7, UNCLEAR)).text == "not distinguishable from random"
    assert verdict(rule("mds", 0.7)).text == "not compared with random"


def test_the_best_rule_wins_only_when_it_beats_random_for_sure():
    assert winner([rule("random", 0.6), rule("a", 0.65, CLEAR), rule("all", 0.9, CLEAR)]) == "a"
    # The best estimate cannot be told from random: the second best must not take the title.
    assert winner([rule("a", 0.65, CLEAR), rule("b", 0.7, UNCLEAR)]) is None
    assert winner([]) is None


def test_sentences_group_rules_by_verdict():
    rules = [rule("base", 0.5), rule("a", 0.7, CLEAR), rule("b", 0.6, UNCLEAR), rule("c", 0.6, UNCLEAR)]
    assert comparison_sentences(rules) == [
        "A is better than random selection.",
        "B and C are not distinguishable from random selection.",
    ]


def test_settings_are_flat():
    assert flat_settings({"a": {"b": [1, 2], "c": {}}, "d": True}) == [("a.b", "1, 2"), ("a.c", "–"), ("d", "yes")]

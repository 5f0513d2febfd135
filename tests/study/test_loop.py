"""The loop on arrays: who is asked what, in which order, and with which seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrays import config, model_of, pool_of, study
from mdsvqa.difficulty.prediction import Prediction
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Limits, Pick
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, Waiting
from mdsvqa.study.data import PoolArrays, StudyData
from mdsvqa.study.failure_predictors import FromFeatures
from mdsvqa.study.loop import Round, budget_by_round, rounds
from mdsvqa.study.rule_comparison import FirstKnown, know

RULES = ("mds", "random", "difficulty", "core-set", "k-means")


class Recorded:
    """A model whose successors know what they learned, and a g that says what it was asked; all calls are kept."""

    name, trains_here = "recorded", True

    def __init__(self, calls: list[tuple[Any, ...]], learned: tuple[str, ...] = (), waits_in: int = 0) -> None:
        self.calls, self.learned, self.waits_in = calls, learned, waits_in

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> "Recorded | Waiting":
        self.calls.append(("finetuned", turn, seed, data.ids(labels.index), labels.mos.tolist()))
        if turn == self.waits_in:
            return Waiting("train it yourself")
        return Recorded(self.calls, (*self.learned, *data.ids(labels.index)), self.waits_in)

    def g(self, rule: Any, f: "Recorded", data: StudyData, asked: Ints, seed: int) -> Prediction:
        self.calls.append(("difficulty", f.learned, seed, rule.name))
        return Prediction(np.arange(len(asked), dtype=float), "recorded")


class Everything:
    """Computes all that is asked."""

    def difficulty(self, turn: int, rule: Any, f: Any, compute: Any) -> Floats:
        return compute().difficulty

    def selection(self, turn: int, compute: Any) -> list[Pick]:
        return compute()


@given(st.integers(0, 500), st.integers(1, 20))
def test_budget_by_round(budget: int, turns: int) -> None:
    parts = budget_by_round(budget, turns)
    assert len(parts) == turns
    assert sum(parts) == budget
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


def played(
    settings: StudyConfig, budget: int, *, waits_in: int = 0, raters: Any = None, limits: Limits | None = None
) -> tuple[list[Round], list[tuple[Any, ...]], StudyData]:
    data, calls = study(), []
    pool = pool_of(data)
    f = Recorded(calls, waits_in=waits_in)

    def known(turn: int, picks: Sequence[Pick]) -> NewLabels | Waiting:
        calls.append(("labels", turn, [pool.ids[pick.index] for pick in picks]))
        return know(data, pool, turn, picks)

    limits = limits or Limits()
    turns = list(
        rounds(f, f.g, data, pool, Budget(budget, limits), settings, raters or known, Everything(), seed=7)  # type: ignore[arg-type]
    )
    return turns, calls, data


def test_each_round_asks_g_of_the_f_of_the_round_before_and_trains_on_what_was_said() -> None:
    turns, calls, data = played(config("difficulty", rounds=2), 5)
    first, second = (call[2] for call in calls if call[0] == "labels")
    assert [len(first), len(second)] == [3, 2]
    assert first == ["v29", "v28", "v27"]
    assert second == ["v26", "v25"]
    mos = {video.id: video.mos for video in data.videos}
    assert calls == [
        ("difficulty", (), 7, "difficulty"),
        ("labels", 1, first),
        ("finetuned", 1, 7, first, [mos[i] for i in first]),
        ("difficulty", tuple(first), 7, "difficulty"),
        ("labels", 2, second),
        ("finetuned", 2, 7, second, [mos[i] for i in second]),
    ]
    assert [turn.turn for turn in turns] == [1, 2]
    assert turns[-1].model.learned == (*first, *second)


def test_each_choice_has_a_seed_of_its_own() -> None:
    turns, *_ = played(config("random", rounds=2), 10)
    first, second = ([pick.index for pick in turn.picks] for turn in turns)
    candidates = np.arange(30)
    assert first == np.random.default_rng(7).permutation(candidates)[:5].tolist()
    left = np.setdiff1d(candidates, first)
    assert second == np.random.default_rng(8).permutation(left)[:5].tolist()


def test_it_ends_where_somebody_has_to_do_something_first() -> None:
    turns, calls, _ = played(config("difficulty", rounds=3), 6, raters=lambda turn, picks: Waiting("rate these"))
    assert [turn.waiting for turn in turns] == [Waiting("rate these")]
    assert (turns[0].labels, len(turns[0].picks)) == (None, 2)
    assert turns[0].model.learned == ()
    turns, calls, _ = played(config("difficulty", rounds=3), 6, waits_in=2)
    assert [turn.waiting for turn in turns] == [None, Waiting("train it yourself")]
    assert turns[1].labels is not None
    assert turns[1].model.learned == ("v29", "v28")
    assert sum(call[0] == "finetuned" for call in calls) == 2


def test_there_are_no_more_rounds_than_videos_and_no_more_videos_than_the_pool_has() -> None:
    turns, *_ = played(config("difficulty", rounds=9), 4)
    assert [len(turn.picks) for turn in turns] == [1, 1, 1, 1]
    turns, *_ = played(config("difficulty", rounds=2), 80)
    assert [len(turn.picks) for turn in turns] == [30, 0]


def test_a_time_is_spread_over_the_rounds() -> None:
    seconds = Limits(seconds=np.full(30, 10.0), most_seconds=60.0)
    turns, *_ = played(config("difficulty", rounds=3), 30, limits=seconds)
    assert [len(turn.picks) for turn in turns] == [2, 2, 2]


def test_the_audit_is_drawn_in_the_first_round_and_taught_to_nobody_who_is_told_so() -> None:
    data, calls = study(), []
    pool, f = pool_of(data), Recorded([])
    budget = Budget(6, Limits(), audit=3)
    turns = list(
        rounds(f, f.g, data, pool, budget, config("difficulty", 2), _without_audit(data, pool, calls), Everything())
    )  # type: ignore[arg-type]
    assert [[pick.rule == "audit" for pick in turn.picks].count(True) for turn in turns] == [3, 0]
    assert [len(turn.picks) for turn in turns] == [6, 3]
    assert all(len(learned) == 3 for learned in calls)


def _without_audit(data: StudyData, pool: PoolArrays, calls: list[list[str]]) -> Any:
    def said(turn: int, picks: Sequence[Pick]) -> NewLabels:
        index = pool.index[np.array([pick.index for pick in picks if pick.rule != "audit"], np.int64)]
        calls.append(data.ids(index))
        return NewLabels(index, data.mos(index))

    return said


@pytest.mark.parametrize("rule", RULES)
def test_the_statistical_model_goes_through_it_under_every_rule(rule: str) -> None:
    data, settings = study(), config(rule, rounds=2)
    pool, f, g = pool_of(data), model_of(study()), FromFeatures(settings.difficulty)
    first = {"predicted": np.linspace(0, 1, len(pool))}

    def run(turns: int, budget: int) -> list[Round]:
        asked = settings.model_copy(update={"rounds": turns})
        keep, raters = FirstKnown(first, len(pool)), lambda turn, picks: know(data, pool, turn, picks)
        return list(rounds(f, g, data, pool, Budget(budget, Limits()), asked, raters, keep))

    chosen = [pick.index for turn in run(2, 9) for pick in turn.picks]
    assert len(set(chosen)) == len(chosen) == 9
    assert [pick.index for pick in run(1, 5)[0].picks] == chosen[:5]


def test_limits_hold_in_every_round() -> None:
    group = Limits(group=np.arange(30) % 3, most=2)
    turns, *_ = played(config("difficulty", rounds=2), 6, limits=group)
    for turn in turns:
        assert max(np.bincount([pick.index % 3 for pick in turn.picks])) <= 2


def test_what_is_handed_over_stays_as_it_was() -> None:
    data = study()
    before = replace(data)
    played(config("mds", rounds=2), 6)
    assert before == data

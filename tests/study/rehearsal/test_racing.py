"""Who goes on, what is asked, what is kept, and when it ends."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from mdsvqa.runtime.progress import Silent
from mdsvqa.study.rehearsal.contenders import RANDOM, contenders
from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.racing import Race, race, rungs
from mdsvqa.study.rehearsal.repeats import Job, RepeatResult

RULES = contenders(["mds", "k-means", "core-set", "difficulty", "typiclust"], [3.0], ["standard"], ["content"])
WORTH = {RANDOM: 0.5, "mds": 0.5, "k-means": 0.6, "core-set": 0.4, "difficulty": 0.45, "typiclust": 0.55}
LOW, HIGH = np.arange(30), np.arange(30, 60)
TARGETS = [PseudoTarget("a", LOW, HIGH, 0.75), PseudoTarget("b", HIGH, LOW, 0.25)]
asked: list[Job] = []


def engine(jobs: Iterable[Job]) -> Iterator[list[RepeatResult]]:
    for job in jobs:
        asked.append(job)
        yield [
            RepeatResult(job.target, job.repeat, each.name, budget, WORTH[each.rule], 0.7)
            for each in job.contenders
            for budget in job.budgets
        ]


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    asked.clear()


def plan(repeats: int = 4, seconds: float = float("inf")) -> Race:
    return Race(TARGETS, RULES, 10, [5, 20], rungs(repeats), seconds)


def test_the_better_half_and_then_the_best_quarter_go_on() -> None:
    results, cut = race(engine, plan(), Silent(), {}, lambda job, found: None)
    assert not cut
    rounds = [[each.name for each in job.contenders] for job in asked[::2]]
    assert rounds == [
        [RANDOM, "mds", "k-means", "core-set", "difficulty", "typiclust"],
        [RANDOM, "k-means", "typiclust"],
        [RANDOM, "k-means"],
        [RANDOM, "k-means"],
    ]
    counts = {name: sum(r.contender == name and r.budget == 10 for r in results) for name in WORTH}
    assert counts == {RANDOM: 8, "k-means": 8, "typiclust": 4, "mds": 2, "core-set": 2, "difficulty": 2}


def test_every_budget_in_the_last_rung_and_the_bounds_in_the_first() -> None:
    race(engine, plan(), Silent(), {}, lambda job, found: None)
    assert [(job.budgets, job.bounds) for job in asked[::2]] == [
        ([10], True),
        ([10], False),
        ([5, 10, 20], False),
        ([5, 10, 20], False),
    ]
    assert [job.repeat for job in asked] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_is_known_is_not_done_again() -> None:
    kept: dict[str, list[RepeatResult]] = {}
    whole, _ = race(engine, plan(), Silent(), {}, lambda job, found: kept.update({job.id: found}))
    half = dict(list(kept.items())[:3])
    asked.clear()
    again, _ = race(engine, plan(), Silent(), half, lambda job, found: None)
    assert len(asked) == 5
    assert sorted(map(str, again)) == sorted(map(str, whole))


def test_the_first_pass_is_done_however_short_the_time() -> None:
    results, cut = race(engine, plan(seconds=0), Silent(), {}, lambda job, found: None)
    assert cut
    assert [(job.target, job.repeat) for job in asked] == [("a", 0), ("b", 0)]
    assert {r.contender for r in results} == set(WORTH)


def test_two_repeats_have_two_rungs() -> None:
    assert [(rung.share, rung.repeats, rung.curve) for rung in rungs(2)] == [(1.0, 1, False), (0.25, 1, True)]

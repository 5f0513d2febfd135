"""The method, for any quality model f, on files and on arrays, under any rule.

In each round a failure predictor g says of every video of the pool how wrong f is there. A rule D chooses videos that
are difficult and differ from each other, as far as the budget goes. People rate them. f learns to rank them, beside
what it was trained on, and is the f of the next round.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mdsvqa.difficulty.prediction import Prediction
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Pick, Rule
from mdsvqa.selection.catalogue import rule_named
from mdsvqa.selection.select import Choice, select
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import PoolArrays, StudyData


@dataclass(frozen=True)
class Round:
    """One turn of the loop.

    Attributes:
        turn: from 1.
        difficulty: of the pool's videos, by g.
        picks: chosen, the first first; `Pick.index` counts in the pool.
        model: f behind it: fine-tuned, or f as it was where somebody has to do something first.
        labels: what raters said; None where they have not.
        waiting: for what; None when the round is done.
    """

    turn: int
    difficulty: Floats
    picks: Sequence[Pick]
    model: StudyModel
    labels: NewLabels | None = None
    waiting: Waiting | None = None


class FailurePredictor(Protocol):
    """g: how wrong f is expected to be on each of the videos that are asked about; only the order means anything."""

    def __call__(self, rule: Rule, f: StudyModel, data: StudyData, asked: Ints, seed: int) -> Prediction: ...


class Keep(Protocol):
    """Who computes difficulties and choices, or knows them already."""

    def difficulty(self, turn: int, rule: Rule, f: StudyModel, compute: Callable[[], Prediction]) -> Floats: ...

    def selection(self, turn: int, compute: Callable[[], Choice]) -> list[Pick]: ...


# What raters say of the picks of a round, or what has to be done to hear it.
Raters = Callable[[int, Sequence[Pick]], NewLabels | Waiting]


def rounds(
    f: StudyModel,
    g: FailurePredictor,
    data: StudyData,
    pool: PoolArrays,
    budget: Budget,
    config: StudyConfig,
    raters: Raters,
    keep: Keep,
    seed: int = 0,
) -> Iterator[Round]:
    """Chooses what f gets wrong and what is new, has it rated, lets f learn it; again.

    The difficulty has the same seed in every round, each choice its own: `seed` plus the number of rounds before it.
    The budget is split over the rounds as evenly as whole videos allow, its audit is drawn in the first. Where somebody
    has to do something first, the last round says so.
    """
    rule = rule_named(config.selection.rule)
    chosen: tuple[str, ...] = ()
    parts = budget_by_round(budget.videos, min(config.rounds, budget.videos))
    limits = budget.spread(len(parts)).limits
    for turn, part in enumerate(parts, 1):
        difficulty = keep.difficulty(turn, rule, f, partial(g, rule, f, data, pool.index, seed))
        choose = partial(select, pool.ids, difficulty, pool.content, part, config.selection, seed=seed + turn - 1)
        audit = budget.audit if turn == 1 else 0.0
        picks = keep.selection(turn, partial(choose, chosen=chosen, limits=limits, audit=audit))
        labels = raters(turn, picks)
        if isinstance(labels, Waiting):
            yield Round(turn, difficulty, picks, f, waiting=labels)
            return
        better = f.finetuned(data, labels, turn, seed)
        if isinstance(better, Waiting):
            yield Round(turn, difficulty, picks, f, labels, better)
            return
        # Those that nobody could rate are not chosen again either.
        f, chosen = better, (*chosen, *(pool.ids[pick.index] for pick in picks))
        yield Round(turn, difficulty, picks, f, labels)


def budget_by_round(budget: int, rounds: int) -> list[int]:
    """A budget split as evenly as whole videos allow, the larger parts first.

    >>> budget_by_round(20, 3)
    [7, 7, 6]
    """
    return [budget // rounds + (turn < budget % rounds) for turn in range(rounds)]

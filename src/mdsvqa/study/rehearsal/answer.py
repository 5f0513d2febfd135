"""From repeats to a verdict: which rules do harm, and whether one is ahead of the fallback beyond doubt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.intervals import Interval, resampled
from mdsvqa.runtime.arrays import Floats
from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.rehearsal.repeats import RANDOM, TARGET_TEST, RepeatResult

# Of the verdicts.
LEVEL = 0.05
# Test videos to those that may be labeled, for what is said about other videos.
SHARED = TARGET_TEST / (1 - TARGET_TEST)


@dataclass(frozen=True)
class Standing:
    """How one rule did at the study's budget.

    Attributes:
        rule: by name.
        srcc: on the pseudo-targets' test parts, mean over pseudo-targets.
        source_srcc: on videos of the other data sets that f did not learn from.
        gain: in `srcc` over random selection; the interval is about these data sets, over draws.
        over_fallback: in `srcc` over the fallback; the interval is about other videos of their kind, see `resampled`.
        struck: it is behind random selection beyond doubt.
        ahead: of the fallback, beyond doubt and on every pseudo-target.
        repeats: over all pseudo-targets.
    """

    rule: str
    srcc: float
    source_srcc: float
    gain: Interval
    over_fallback: Interval
    struck: bool
    ahead: bool
    repeats: int


@dataclass(frozen=True)
class Answer:
    """What a rehearsal found.

    Attributes:
        standings: of the rules, the largest gain first; random selection is not among them.
        fallback: what is used unless the rehearsal speaks against it.
        recommended: what is to be used.
        random_srcc, base_srcc, everything_srcc: target SRCC of random selection, of no new labels, of the whole pool
            labeled; means over pseudo-targets.
    """

    standings: Sequence[Standing]
    fallback: str
    recommended: str
    random_srcc: float
    base_srcc: float
    everything_srcc: float

    @property
    def struck(self) -> list[Standing]:
        """Rules that are behind random selection beyond doubt, the worst last."""
        return [each for each in self.standings if each.struck]


def answer(results: Sequence[RepeatResult], budget: int, fallback: str) -> Answer:
    """Sums up repeats.

    A rule that is behind random selection beyond doubt on these data sets is struck out: that costs nothing. The
    fallback is held to more, to being behind on other videos of their kind. Another than the fallback is recommended
    only where it is ahead of the fallback beyond doubt, all rules that were looked at accounted for (Bonferroni), and
    on each pseudo-target in the mean; where the fallback is struck out, so may be random selection.

    Args:
        results: of repeats, all rules in each.
        budget: at which rules are judged.
        fallback: a rule that was tried, or random selection.
    """
    target, source = (reached(results, budget, side) for side in ("target_srcc", "source_srcc"))
    names = [name for name in target if name not in (BASE, EVERYTHING, RANDOM)]
    standings = []
    for name in names:
        gain, over = target[name] - target[RANDOM], target[name] - target[fallback]
        struck = resampled(gain, LEVEL, SHARED if name == fallback else 0.0).high < 0
        ahead = resampled(over, LEVEL / len(names), SHARED).low > 0 and bool((over.mean(1) > 0).all())
        means = float(target[name].mean()), float(source[name].mean())
        both = resampled(gain, LEVEL, 0.0), resampled(over, LEVEL, SHARED)
        standings.append(Standing(name, *means, *both, struck, ahead, over.size))
    standings.sort(key=lambda each: -each.gain.value)
    fallen = any(each.rule == fallback and each.struck for each in standings)
    better = [each.rule for each in standings if each.ahead and each.gain.value > 0]
    recommended = next(iter(better), RANDOM if fallen else fallback)
    return Answer(
        standings, fallback, recommended, *(float(target[name].mean()) for name in (RANDOM, BASE, EVERYTHING))
    )


def reached(results: Sequence[RepeatResult], budget: int, side: str) -> dict[str, Floats]:
    """SRCC at one budget, and of the bounds, which spend others; by rule, of shape (pseudo-targets, repeats).

    Only the repeats that every pseudo-target had are looked at.
    """
    targets = list(dict.fromkeys(each.target for each in results))
    repeats = set.intersection(*({each.repeat for each in results if each.target == name} for name in targets))
    wanted = [r for r in results if r.repeat in repeats and (r.budget == budget or r.contender in (BASE, EVERYTHING))]
    found = {each.contender: np.empty((len(targets), len(repeats))) for each in wanted}
    places = {repeat: place for place, repeat in enumerate(sorted(repeats))}
    for each in wanted:
        found[each.contender][targets.index(each.target), places[each.repeat]] = getattr(each, side)
    return found


@dataclass(frozen=True)
class CurvePoint:
    """One rule at one budget: `srcc` on the pseudo-targets' test parts, mean over these."""

    contender: str
    labels: int
    srcc: float


def curve_points(results: Sequence[RepeatResult], rules: Sequence[str], budgets: Sequence[int]) -> list[CurvePoint]:
    """What more labels buy, by rules that spent all of these budgets."""
    by_budget = {budget: reached(results, budget, "target_srcc") for budget in budgets}
    return [
        CurvePoint(rule, budget, float(found[rule].mean())) for rule in rules for budget, found in by_budget.items()
    ]

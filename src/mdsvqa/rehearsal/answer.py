"""From repeats to an answer: how every rule did, which one to use, and whether it can be told from random selection."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.loop import BASE, EVERYTHING
from mdsvqa.rehearsal.contenders import RANDOM
from mdsvqa.rehearsal.gains import Gains, gains, weighted_mean
from mdsvqa.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.rehearsal.repeats import TARGET_TEST, Result

Floats = NDArray[np.float64]
# Of the test that no rule is better than random selection.
LEVEL = 0.05


@dataclass(frozen=True)
class Standing:
    """How one contender did at the main budget.

    Attributes:
        contender: by name.
        srcc: on the pseudo-targets' test parts, weighted mean.
        source_srcc: on held-out videos of the rest of the source.
        gain: in `srcc` over random selection, with its 95% interval.
        expected: gain on another target of the kind: shrunk towards 0 by what chance explains of the differences
            between contenders.
        chance: that random selection does as well on such a target, in [0, 1].
        wins, losses: pseudo-targets on which it was better or worse than random selection in the mean.
        repeats: over all pseudo-targets.
    """

    contender: str
    srcc: float
    source_srcc: float
    gain: Interval
    expected: float
    chance: float
    wins: int
    losses: int
    repeats: int


@dataclass(frozen=True)
class Answer:
    """What a rehearsal found.

    Attributes:
        standings: of the contenders, the best expected gain first; random selection is not among them.
        recommended: name of the contender to use; "random" where none gained.
        p_value: that a lead such as the recommended one's arises where no contender is better than random selection;
            the search over all contenders is accounted for.
        random_srcc, base_srcc, everything_srcc: target SRCC of random selection, of no new labels, of the whole pool
            labeled; weighted means.
    """

    standings: Sequence[Standing]
    recommended: str
    p_value: float
    random_srcc: float
    base_srcc: float
    everything_srcc: float

    @property
    def distinguishable(self) -> bool:
        """Whether the recommended rule can be told from random selection."""
        return self.recommended != RANDOM and self.p_value < LEVEL

    @property
    def best(self) -> Standing | None:
        """The standing of the recommended contender; None where that is random selection."""
        return next((each for each in self.standings if each.contender == self.recommended), None)


def answer(results: Sequence[Result], targets: Sequence[PseudoTarget], budget: int) -> Answer:
    """Sums up repeats.

    The gain of a contender is the weighted mean over pseudo-targets of its mean gain in a repeat. Its standard error
    holds two parts, of which the larger counts: how much repeats differ within a pseudo-target, where the labels behind
    them are the same and repeats beyond a few say little new; and how much pseudo-targets differ.

    Expected gains are shrunk towards 0, the gain of random selection, by the share of the spread between contenders
    that their errors explain, so that the best of many is not overrated.

    Args:
        results: of repeats; each contender has some on every pseudo-target.
        targets: the pseudo-targets.
        budget: at which contenders are ranked.

    Source: Nadeau and Bengio (2003), section 3, for repeats that share data; Morris (1983) for the shrinkage.
    """
    table = gains(results, budget)
    weights = {target.name: target.weight for target in targets}
    names = [name for name in table if name not in (BASE, EVERYTHING, RANDOM)]
    value = np.array([weighted_mean(table[name], weights) for name in names])
    error = np.array([_standard_error(table[name], weights) for name in names])
    spread = max(0.0, float(np.mean(value**2 - error**2)))
    # Of a normal prior around 0 and a normal error: posterior mean and standard deviation.
    kept = spread / (spread + error**2)
    expected, deviation = kept * value, np.sqrt(kept) * error
    # Where nothing but error is left, the chance is even.
    chance = np.where(deviation > 0, norm.cdf(-expected / np.maximum(deviation, 1e-12)), 0.5)
    order = sorted(range(len(names)), key=lambda i: (-expected[i], -value[i]))
    srcc, source = _levels(results, budget, weights)
    quantile = float(norm.ppf(0.975))
    standings = [
        Standing(
            names[i],
            srcc[names[i]],
            source[names[i]],
            Interval(float(value[i]), float(value[i] - quantile * error[i]), float(value[i] + quantile * error[i])),
            float(expected[i]),
            float(chance[i]),
            *_wins_and_losses(table[names[i]]),
            sum(len(by_repeat) for by_repeat in table[names[i]].values()),
        )
        for i in order
    ]
    best = standings[0].contender if standings and standings[0].gain.value > 0 else RANDOM
    p_value = 1.0 if best == RANDOM else _p_value(table[best], weights, len(names))
    return Answer(standings, best, p_value, srcc[RANDOM], srcc[BASE], srcc[EVERYTHING])


def _standard_error(of_targets: Gains, weights: Mapping[str, float]) -> float:
    """Of the weighted mean gain over pseudo-targets."""
    share = np.array([weights[name] for name in of_targets])
    share = share / share.sum()
    gained = [np.array(list(by_repeat.values())) for by_repeat in of_targets.values()]
    counts = np.array([len(values) for values in gained])
    within, between = 0.0, 0.0
    if counts.sum() > len(counts):
        pooled = sum(float(((values - values.mean()) ** 2).sum()) for values in gained) / (counts.sum() - len(counts))
        # Repeats draw their parts from the same videos, a third of them to measure on.
        within = float((share**2 * pooled * (1 / counts + TARGET_TEST / (1 - TARGET_TEST))).sum())
    if len(counts) > 1:
        between = float((share**2).sum() * np.array([values.mean() for values in gained]).var(ddof=1))
    return float(np.sqrt(max(within, between)))


def _p_value(of_targets: Gains, weights: Mapping[str, float], contenders: int) -> float:
    """One-sided, of the mean gain.

    Source: Sidak (1967), for the best of many; conservative, because contenders share their yardstick.
    """
    error = _standard_error(of_targets, weights)
    freedom = max(1, sum(len(by_repeat) for by_repeat in of_targets.values()) - len(of_targets))
    single = float(student.sf(weighted_mean(of_targets, weights) / error, freedom)) if error > 0 else 0.0
    return float(-np.expm1(contenders * np.log1p(-single)))


def _levels(
    results: Sequence[Result], budget: int, weights: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Weighted mean SRCC of every contender and bound on target and source."""
    levels = []
    for side in ("target_srcc", "source_srcc"):
        table: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for r in results:
            if r.budget == budget or r.contender in (BASE, EVERYTHING):
                table[r.contender][r.target][r.repeat] = getattr(r, side)
        levels.append({name: weighted_mean(of_targets, weights) for name, of_targets in table.items()})
    return levels[0], levels[1]


def _wins_and_losses(of_targets: Gains) -> tuple[int, int]:
    means = [float(np.mean(list(by_repeat.values()))) for by_repeat in of_targets.values()]
    return sum(mean > 0 for mean in means), sum(mean < 0 for mean in means)

"""From repeats to an answer: how every rule did, which one to use, and whether it can be told from random selection."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.runtime.arrays import Floats
from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.rehearsal.contenders import RANDOM
from mdsvqa.study.rehearsal.gains import by_contender, gains, weighted_mean
from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.repeats import RepeatResult

# Of the test that no rule is better than random selection.
LEVEL = 0.05
# Pseudo-targets whose signs are all tried.
MOST_EXACT = 13


@dataclass(frozen=True)
class Standing:
    """How one contender did at the main budget.

    Attributes:
        contender: by name.
        srcc: on the pseudo-targets' test parts, weighted mean.
        source_srcc: on held-out videos of the rest of the source.
        gain: in `srcc` over random selection, with its 95% interval.
        expected: gain, shrunk towards 0 by what chance explains of the differences between contenders.
        chance: that random selection does as well in the mean, in [0, 1].
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
        leader: name of the contender of largest expected gain; "random" where none gained.
        p_value: that a lead such as its own arises where no contender is better than random selection;
            the search over all contenders is accounted for.
        random_srcc, base_srcc, everything_srcc: target SRCC of random selection, of no new labels, of the whole pool
            labeled; weighted means.
    """

    standings: Sequence[Standing]
    leader: str
    p_value: float
    random_srcc: float
    base_srcc: float
    everything_srcc: float

    @property
    def distinguishable(self) -> bool:
        """Whether the leader can be told from random selection."""
        return self.leader != RANDOM and self.p_value < LEVEL

    @property
    def best(self) -> Standing | None:
        """The standing of the leader; None where that is random selection."""
        return next((each for each in self.standings if each.contender == self.leader), None)


def answer(results: Sequence[RepeatResult], targets: Sequence[PseudoTarget], budget: int) -> Answer:
    """Sums up repeats.

    The gain of a contender is the weighted mean over pseudo-targets of its mean gain in a repeat, its error is how much
    pseudo-targets differ: one more of them is what the real pool is, and repeats on the same videos are not.

    Expected gains are shrunk towards 0, the gain of random selection, by the share of the spread between contenders
    that their errors explain. So the best of many is not overrated, and of two with one mean the steadier is ahead.

    Args:
        results: of repeats; each contender has some on every pseudo-target.
        targets: the pseudo-targets.
        budget: at which contenders are ranked.

    Source: Morris (1983), parametric empirical Bayes, for the shrinkage.
    """
    table = gains(results, budget)
    weights = {target.name: target.weight for target in targets}
    names = [name for name in table if name not in (BASE, EVERYTHING, RANDOM)]
    share = np.array([target.weight for target in targets])
    # Mean gains, shape (contenders, pseudo-targets).
    means = np.array([[np.mean(list(table[name][target.name].values())) for target in targets] for name in names])
    value = means @ share
    error = np.sqrt((share**2).sum() * means.var(1, ddof=1))
    spread = max(0.0, float(np.mean(value**2 - error**2)))
    # Of a normal prior around 0 and a normal error: posterior mean and standard deviation.
    kept = spread / (spread + error**2) if spread > 0 else np.zeros(len(names))
    expected, deviation = kept * value, np.sqrt(kept) * error
    # Where nothing but error is left, the chance is even.
    chance = np.where(deviation > 0, norm.cdf(-expected / np.maximum(deviation, 1e-12)), 0.5)
    # Where nothing but error is left, in the order of the limit: by value / error^2.
    steady = value / np.maximum(error, 1e-9) ** 2
    order = sorted(range(len(names)), key=lambda i: (-expected[i], -steady[i]))
    srcc, source = (
        {name: weighted_mean(of_targets, weights) for name, of_targets in by_contender(results, budget, side).items()}
        for side in (attrgetter("target_srcc"), attrgetter("source_srcc"))
    )
    half = float(student.ppf(0.975, len(targets) - 1)) * error
    standings = [
        Standing(
            names[i],
            srcc[names[i]],
            source[names[i]],
            Interval(float(value[i]), float(value[i] - half[i]), float(value[i] + half[i])),
            float(expected[i]),
            float(chance[i]),
            int((means[i] > 0).sum()),
            int((means[i] < 0).sum()),
            sum(len(by_repeat) for by_repeat in table[names[i]].values()),
        )
        for i in order
    ]
    best = standings[0].contender if standings and standings[0].gain.value > 0 else RANDOM
    p_value = 1.0 if best == RANDOM else sign_flips(means * share, names.index(best))
    return Answer(standings, best, p_value, srcc[RANDOM], srcc[BASE], srcc[EVERYTHING])


def sign_flips(gained: Floats, best: int) -> float:
    """The chance of a lead such as the best one's where no contender differs from random selection.

    Then the gains on a pseudo-target might as well be those of random selection over the contender, all signs turned.
    Counted are the choices of signs, one for each pseudo-target, under which the largest of the contenders' sums
    reaches that of the best one: the search over contenders is accounted for, however they depend on each other.
    Contenders behind random selection take no part: turned around they would hide a lead.

    Args:
        gained: weighted gains, shape (contenders, pseudo-targets).
        best: index of a contender whose gains have a positive sum.

    Returns:
        At least 1 / 2 ** pseudo-targets; with fewer than five nothing can be told at the level of 5%.

    Source: Fisher (1935), section 21, for the signs; Hansen (2005) for leaving out what is behind.

    >>> sign_flips(np.array([[0.01, 0.02, 0.03, 0.01, 0.02], [-0.1, -0.1, -0.2, -0.1, -0.1]]), 0)
    0.03125
    """
    count = gained.shape[1]
    if count <= MOST_EXACT:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], (2**MOST_EXACT, count))
        signs[0] = 1
    sums = gained.sum(1)
    largest = (gained[sums > 0] @ signs.T).max(0)
    return float((largest >= sums[best] * (1 - 1e-9)).mean())

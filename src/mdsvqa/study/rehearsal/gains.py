"""What repeats of a rehearsal gained over random selection, by contender and pseudo-target."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.rehearsal.contenders import RANDOM
from mdsvqa.study.rehearsal.repeats import RepeatResult

# Of one contender: gains, or other figures, by the number of the repeat, by pseudo-target.
Gains = Mapping[str, Mapping[int, float]]


def gains(results: Sequence[RepeatResult], budget: int) -> dict[str, Gains]:
    """Target SRCC of every contender minus that of random selection in the same repeat.

    Args:
        results: of repeats.
        budget: labels that contenders spent; the bounds, which spend others, are compared with it, too.

    Returns:
        By contender, by pseudo-target, by the number of the repeat.
    """
    yardstick = {(r.target, r.repeat): r.target_srcc for r in results if r.contender == RANDOM and r.budget == budget}
    paired = [r for r in results if (r.target, r.repeat) in yardstick]
    return by_contender(paired, budget, lambda r: r.target_srcc - yardstick[r.target, r.repeat])


def by_contender(
    results: Sequence[RepeatResult], budget: int, figure: Callable[[RepeatResult], float]
) -> dict[str, Gains]:
    """A figure of every result at one budget, and of the bounds, which spend others.

    Args:
        results: of repeats.
        budget: labels that contenders spent.
        figure: of a result.

    Returns:
        By contender, by pseudo-target, by the number of the repeat.
    """
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for r in results:
        if r.budget == budget or r.contender in (BASE, EVERYTHING):
            found[r.contender][r.target][r.repeat] = figure(r)
    return {name: {target: dict(by_repeat) for target, by_repeat in table.items()} for name, table in found.items()}


def weighted_mean(of_targets: Gains, weights: Mapping[str, float]) -> float:
    """The mean over pseudo-targets of the means over repeats.

    >>> weighted_mean({"a": {0: 0.25, 1: 0.75}, "b": {0: 1.0}}, {"a": 0.5, "b": 0.5})
    0.75
    """
    means = np.array([np.mean(list(by_repeat.values())) for by_repeat in of_targets.values()])
    share = np.array([weights[target] for target in of_targets])
    return float(means @ share / share.sum())

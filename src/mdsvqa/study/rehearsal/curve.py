"""What more labels would buy: target SRCC by budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mdsvqa.study.rehearsal.gains import weighted_mean
from mdsvqa.study.rehearsal.repeats import RepeatResult


@dataclass(frozen=True)
class CurvePoint:
    """One contender at one budget.

    Attributes:
        contender: by name.
        labels: spent.
        srcc: on the pseudo-targets' test parts, weighted mean over pseudo-targets of the means over repeats.
    """

    contender: str
    labels: int
    srcc: float


def curve_points(
    results: Sequence[RepeatResult], names: Sequence[str], budgets: Sequence[int], weights: Mapping[str, float]
) -> list[CurvePoint]:
    """The points of some contenders, each from the repeats in which every budget was tried for every one of them.

    Args:
        results: of repeats.
        names: contenders.
        budgets: labels.
        weights: of the pseudo-targets.
    """
    reached = {(r.contender, r.budget, r.target, r.repeat): r.target_srcc for r in results}
    places = sorted({(r.target, r.repeat) for r in results})
    common = [
        place for place in places if all((name, budget, *place) in reached for name in names for budget in budgets)
    ]
    if not common:
        return []

    def mean(name: str, budget: int) -> float:
        by_target = {
            target: {repeat: reached[name, budget, target, repeat] for place, repeat in common if place == target}
            for target in dict.fromkeys(target for target, _ in common)
        }
        return weighted_mean(by_target, weights)

    return [CurvePoint(name, budget, mean(name, budget)) for name in names for budget in budgets]

"""Many repeats for the promising, few for the others: successive halving over the repeats of a rehearsal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from mdsvqa.runtime.progress import Show
from mdsvqa.study.rehearsal.contenders import RANDOM, Contender
from mdsvqa.study.rehearsal.gains import gains, weighted_mean
from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.repeats import Job, RepeatResult

# From jobs to their results, in order; reads a job only when there is room for it.
Engine = Callable[[Iterable[Job]], Iterator[list[RepeatResult]]]
LABEL = "Rehearsing"


@dataclass(frozen=True)
class Rung:
    """A stage of the race.

    Attributes:
        share: of the contenders of the first rung that take part, in (0, 1].
        repeats: of each on every pseudo-target, beyond those before.
        curve: whether every budget is tried, not only the main one.
    """

    share: float
    repeats: int
    curve: bool = False


@dataclass(frozen=True)
class Race:
    """What a rehearsal tries.

    Attributes:
        targets: pseudo-targets.
        contenders: random selection first.
        budget: labels, by which contenders are ranked.
        curve: further budgets, for those that reach the last rung.
        rungs: in order.
        seconds: after which no further repeat is begun; infinite for none. At least one on every pseudo-target is.
    """

    targets: Sequence[PseudoTarget]
    contenders: Sequence[Contender]
    budget: int
    curve: Sequence[int]
    rungs: Sequence[Rung]
    seconds: float = float("inf")


def rungs(repeats: int) -> list[Rung]:
    """Three rungs: all contenders, the better half, the best quarter, each with as many repeats as all rungs before.

    Args:
        repeats: that the last ones have on each pseudo-target in the end.

    Source: successive halving, Karnin et al. (2013); Jamieson and Talwalkar (2016).

    >>> [rung.repeats for rung in rungs(8)], [rung.repeats for rung in rungs(1)]
    ([2, 2, 4], [1])
    """
    parts = [repeats // 4, repeats // 2 - repeats // 4, repeats - repeats // 2]
    found = [Rung(share, part) for share, part in zip((1.0, 0.5, 0.25), parts, strict=True) if part]
    if parts[0] == 0:
        found[0] = Rung(1.0, found[0].repeats)
    return [*found[:-1], Rung(found[-1].share, found[-1].repeats, curve=True)]


def race(
    engine: Engine,
    plan: Race,
    show: Show,
    known: Mapping[str, Sequence[RepeatResult]],
    save: Callable[[Job, list[RepeatResult]], None],
) -> tuple[list[RepeatResult], bool]:
    """Runs the rungs one after the other.

    Args:
        engine: does repeats.
        plan: what is tried.
        show: how progress is told.
        known: results of repeats that were done before, by the id of their job.
        save: called with the results of every new repeat, in order.

    Returns:
        All results, and whether the time was up before all was done.
    """
    ends = monotonic() + plan.seconds
    passes = len(plan.targets)
    results: list[RepeatResult] = []
    before, racing = 0, list(plan.contenders)
    for rung in plan.rungs:
        if results:
            racing = best(results, racing, plan, round(rung.share * (len(plan.contenders) - 1)))
        budgets = sorted({plan.budget, *(plan.curve if rung.curve else ())})
        jobs = [
            Job(target.name, target.members, target.others, repeat, racing, budgets, bounds=before == 0)
            for repeat in range(before, before + rung.repeats)
            for target in plan.targets
        ]
        results += [result for job in jobs for result in known.get(job.id, ())]
        waiting = [job for job in jobs if job.id not in known]
        behind = passes * before + len(jobs) - len(waiting)
        begun: list[Job] = []
        for done, found in enumerate(engine(_in_time(waiting, ends, begun, passes if before == 0 else 0))):
            save(begun[done], found)
            results += found
            show.progress(LABEL, behind + done + 1, passes * sum(each.repeats for each in plan.rungs))
        before += rung.repeats
        if len(begun) < len(waiting):
            return results, True
    return results, False


def _in_time(jobs: Iterable[Job], ends: float, begun: list[Job], least: int) -> Iterator[Job]:
    """The jobs, until the time is up and `least` are begun; those handed out are added to `begun`."""
    for job in jobs:
        # The first pass over all pseudo-targets is done in any case.
        if len(begun) >= least and monotonic() > ends:
            return
        begun.append(job)
        yield job


def best(results: Sequence[RepeatResult], racing: Sequence[Contender], plan: Race, keep: int) -> list[Contender]:
    """Random selection and the contenders of largest mean gain over it so far, in the plan's order.

    Args:
        results: so far.
        racing: those still in the race.
        plan: names the budget and the weights of the pseudo-targets.
        keep: how many, beside random selection; at least one.
    """
    table = gains(results, plan.budget)
    weights = {target.name: target.weight for target in plan.targets}
    means = {name: weighted_mean(of_targets, weights) for name, of_targets in table.items()}
    ranked = sorted((each for each in racing if each.rule != RANDOM), key=lambda each: -means[each.name])
    kept = {each.name for each in ranked[: max(1, keep)]}
    return [each for each in racing if each.rule == RANDOM or each.name in kept]

"""The audit: videos drawn at random, by which anybody can see how good a model is on the target; and its budget."""

from dataclasses import dataclass, replace

import numpy as np

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.base import Limits, Pick
from mdsvqa.selection.settings import SelectionSettings, budget_count

AUDIT = "audit"


@dataclass(frozen=True)
class Budget:
    """What a choice may spend.

    Attributes:
        videos: for the rule, at most.
        limits: of the rule; its time is without the audit's.
        audit: videos to draw at random beside them; seconds, where the budget is in time; 0 for none.
    """

    videos: int
    limits: Limits
    audit: float = 0.0

    def spread(self, rounds: int) -> "Budget":
        """What one of several rounds has of the time; the audit is drawn in the first."""
        time = self.limits.most_seconds
        return self if time is None else replace(self, limits=replace(self.limits, most_seconds=time / rounds))


def budget_of(settings: SelectionSettings, videos: int, limits: Limits) -> Budget:
    """Splits a budget into what the rule may spend and what goes to the audit.

    Args:
        settings: the whole budget, and the audit's share of it.
        videos: of the pool.
        limits: of the choice, with the whole time.
    """
    if limits.most_seconds is not None:
        audit = settings.audit * limits.most_seconds
        return Budget(videos, replace(limits, most_seconds=limits.most_seconds - audit), audit)
    whole = budget_count(settings.budget, videos)
    drawn = min(whole - 1, max(1, round(settings.audit * whole))) if settings.audit else 0
    return Budget(whole - drawn, limits, drawn)


def beyond_pool(settings: SelectionSettings, videos: int, limits: Limits) -> str:
    """A sentence where the budget buys more than there is to choose from, else nothing.

    Args:
        settings: with the budget.
        videos: of the pool.
        limits: of the choice, with the whole time and how long the videos are.

    >>> beyond_pool(SelectionSettings(budget=64), 40, Limits())
    'The budget of 64 videos is more than the 40 that there are to choose from.'
    """
    if limits.most_seconds is not None and limits.seconds is not None:
        there = float(limits.seconds.sum())
        if limits.most_seconds <= there:
            return ""
        asked, found = f"{limits.most_seconds / 60:g} min", f"{there / 60:.1f} min"
    else:
        asked, found = f"{settings.budget} videos", f"{videos}"
        if not str(settings.budget).strip().isdecimal() or int(settings.budget) <= videos:
            return ""
    return f"The budget of {asked} is more than the {found} that there are to choose from."


def mean_budget(budget: Budget) -> int:
    """About how many videos the rule may choose: where the budget is in time, by the mean length."""
    limits = budget.limits
    if limits.most_seconds is None or limits.seconds is None:
        return budget.videos
    return max(1, min(budget.videos, round(limits.most_seconds / float(limits.seconds.mean()))))


def audit_sample(difficulty: Floats, candidates: Ints, amount: float, seconds: Floats | None, seed: int) -> list[Pick]:
    """Draws videos uniformly, without regard to anything else.

    Every other rule prefers some videos to others, so what is measured on its choice says nothing of the whole pool.

    Args:
        difficulty: shape (n,).
        candidates: indices to draw from.
        amount: videos, or seconds where they are given; at least one video is drawn.
        seconds: of each video, shape (n,), where the budget is in time.
        seed: of the draw.

    Returns:
        Picks of the rule "audit", in the order in which they were drawn.
    """
    order = np.random.default_rng([seed, 2]).permutation(candidates)
    # In time up to the first that does not fit: taking a shorter one in its place would prefer the short.
    fits = round(amount) if seconds is None else int((np.cumsum(seconds[order]) <= amount).sum())
    drawn = order[: max(1, fits)]
    return [Pick(int(index), float(difficulty[index]), rule=AUDIT) for index in drawn]

"""Which videos may be chosen next: the budget and the limits of a choice, kept for every rule alike."""

from typing import Self

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.base import Pool

# Of a sum of seconds, relative.
ROUNDING = 1e-9


class Eligible:
    """What is open while a rule chooses.

    A rule asks `mask` for the videos that may come next and `choose`s the one it likes best, until there is none.

    Args:
        pool: with its limits.
        budget: most videos.

    Raises:
        InputError: the budget cannot pay the fewest videos of each group.
    """

    def __init__(self, pool: Pool, budget: int) -> None:
        self._limits = limits = pool.limits
        self._content = pool.content
        self._taken = [int(index) for index in pool.chosen]
        self._open = np.zeros(len(pool), bool)
        self._open[pool.candidates()] = True
        timed = limits.seconds is not None and limits.most_seconds is not None
        self._cost: Floats = np.asarray(limits.seconds if timed else np.ones(len(pool)), np.float64)
        self._dearest = float(self._cost.max(initial=0.0))
        budget_ = float(limits.most_seconds or 0) if timed else float(budget)
        # Rounding of sums closes nothing that fits exactly.
        self._left = budget_ * (1 + ROUNDING)
        self._count_left = budget
        self._group = np.full(len(pool), -1) if limits.group is None else limits.group
        self._of_group = np.bincount(self._group[self._group >= 0], minlength=1) * 0
        # Videos of groups, by group, the cheapest first.
        by_group = np.lexsort((self._cost, self._group))
        self._by_group = by_group[self._group[by_group] >= 0]
        for index in self._taken:
            self._count(index)
        self._close_full()
        cost, number, _ = self._needs()
        for needed, there, unit in ((number.sum(), budget, "videos"), (cost.sum(), budget_, "seconds")):
            if needed > there * (1 + ROUNDING) and number.any():
                raise InputError(
                    f"at least {limits.least} videos of each group need {needed:g} {unit}, and the budget is "
                    f"{there:g}. Raise the budget or ask for fewer."
                )

    @property
    def mask(self) -> Flags:
        """Whether each video may be chosen next, shape (n,); a copy."""
        if self._count_left < 1:
            return np.zeros_like(self._open)
        open_ = self._open.copy() if self._dearest <= self._left else self._open & (self._cost <= self._left)
        if self._limits.least:
            cost, number, dearest = self._payable_needs()
            # A video of a group that is short takes the place of the dearest that was reserved for that group.
            grouped = self._group >= 0
            freed = np.where(grouped, dearest[self._group], 0.0)
            place = np.where(grouped, number[self._group] > 0, False)
            open_ &= self._cost <= self._left - cost.sum() + freed
            open_ &= number.sum() - place < self._count_left
        return open_

    def only(self, videos: Flags) -> Self:
        """The same where no others than some videos are open, shape (n,)."""
        self._open &= videos
        return self

    def about_how_many(self) -> int:
        """About how many more videos the budget buys."""
        open_ = self._open
        if not open_.any():
            return 0
        return min(self._count_left, int(open_.sum()), max(1, int(self._left / max(self._cost[open_].mean(), 1e-9))))

    def choose(self, index: int) -> bool:
        """Takes a video that is open.

        Returns:
            False where it is too near to one that is taken already; it is closed then.
        """
        self._open[index] = False
        if self._limits.apart > 0 and self._taken:
            taken = self._content.take(np.array(self._taken, np.int64))
            if taken.distances_from(self._content.of(index)).min() < self._limits.apart:
                return False
        self._taken.append(index)
        self._left -= self._cost[index]
        self._count_left -= 1
        self._count(index)
        self._close_full()
        return True

    def choose_first(self, order: Ints) -> int | None:
        """Takes the first video of an order that is open and may be taken; None where there is none."""
        while len(open_ := order[self.mask[order]]):
            if self.choose(int(open_[0])):
                return int(open_[0])
        return None

    def _count(self, index: int) -> None:
        if self._group[index] >= 0:
            self._of_group[self._group[index]] += 1

    def _close_full(self) -> None:
        if self._limits.most is not None:
            full = self._of_group >= self._limits.most
            self._open &= ~((self._group >= 0) & full[self._group])

    def _needs(self) -> tuple[Floats, Ints, Floats]:
        """What each group is short of: its cheapest open videos, as many as are missing and there are.

        Returns:
            Their cost, their number, and the cost of the dearest of them, each of shape (groups,).
        """
        least = self._limits.least if self._limits.most is None else min(self._limits.least, self._limits.most)
        short = np.maximum(least - self._of_group, 0)
        cost, dearest = np.zeros(len(short)), np.zeros(len(short))
        if not short.any():
            return cost, short, dearest
        videos = self._by_group[self._open[self._by_group]]
        group = self._group[videos]
        needed = np.arange(len(videos)) - np.searchsorted(group, group) < short[group]
        videos, group = videos[needed], group[needed]
        np.add.at(cost, group, self._cost[videos])
        np.maximum.at(dearest, group, self._cost[videos])
        return cost, np.bincount(group, minlength=len(short)), dearest

    def _payable_needs(self) -> tuple[Floats, Ints, Floats]:
        """`_needs` without those of groups that cannot be paid any more, which near-duplicates can bring about."""
        cost, number, dearest = self._needs()
        order = np.argsort(cost, kind="stable")
        paid = (np.cumsum(cost[order]) <= self._left) & (np.cumsum(number[order]) <= self._count_left)
        given_up = order[~paid]
        cost[given_up], number[given_up], dearest[given_up] = 0, 0, 0
        return cost, number, dearest


def in_order(eligible: Eligible, order: Ints) -> list[int]:
    """Takes what is open in an order of preference, until nothing is."""
    taken = []
    while (video := eligible.choose_first(order)) is not None:
        taken.append(video)
    return taken

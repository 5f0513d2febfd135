"""A budget in two parts: most of it covers the pool, the rest looks for failures."""

from dataclasses import replace

from mdsvqa.config import SelectionSettings
from mdsvqa.errors import InputError
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.facility_location import facility_location
from mdsvqa.selection.greedy import greedy

# Of the budget. Of the mixtures tried on YouTube-UGC and KoNViD-1k this one lost nothing against coverage alone.
COVERAGE = 2 / 3


def split(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Two thirds of the videos by `facility_location`, then the others by `greedy`, the rule of the paper.

    The second part is as far from the first as it is from itself: its diversity counts all that is chosen.
    """
    # With the whole budget in view, so that what each group still needs can be paid in the second part.
    whole = facility_location(pool, budget, settings, seed)
    covering = whole[: max(1, round(COVERAGE * len(whole)))]
    limits = pool.limits
    if limits.most_seconds is not None and limits.seconds is not None:
        spent = float(sum(limits.seconds[pick.index] for pick in covering))
        limits = replace(limits, most_seconds=limits.most_seconds - spent)
    rest = replace(pool, chosen=(*pool.chosen, *(pick.index for pick in covering)), limits=limits)
    try:
        return [*covering, *greedy(rest, budget - len(covering), settings, seed)]
    except InputError:
        # Coverage gave up a group of near-duplicates and spent what was kept for it; a new choice asks for it again.
        return whole

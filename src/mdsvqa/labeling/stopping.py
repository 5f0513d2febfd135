"""When a study has enough votes."""

from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.rating_rules import StoppingSettings
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.runtime.arrays import Flags

__all__ = ["Standing", "StoppingSettings", "standing"]


@dataclass(frozen=True)
class Standing:
    """Where a study stands against its rule.

    Attributes:
        ended: whether it has enough.
        reason: for people; empty while it goes on.
        reached: videos that are narrow enough and have the least number of votes, shape (videos,).
        share: of the videos that are rated at all.
    """

    ended: bool
    reason: str
    reached: Flags
    share: float


def standing(
    found: Estimate, settings: StoppingSettings, *, level: float = 1.0, unratable: Flags | None = None
) -> Standing:
    """Where a study stands.

    Args:
        found: MOS of all its videos so far.
        settings: of the rule.
        level: size of a level of the scale.
        unratable: videos that nobody could play, which nothing waits for, shape (videos,).
    """
    asked = np.ones(len(found.mos), np.bool_) if unratable is None else ~unratable
    half = (found.high - found.low) / 2 / level
    wanted = np.inf if settings.half_width is None else settings.half_width
    reached = asked & (found.votes >= settings.least_votes) & (half <= wanted)
    share = float(reached.sum() / asked.sum()) if asked.any() else 0.0
    total, least = int(found.votes.sum()), int(found.votes[asked].min(initial=np.iinfo(np.int64).max))
    reason = ""
    if settings.budget is not None and total >= settings.budget:
        reason = f"the budget of {settings.budget} votes is spent"
    elif settings.votes is not None and asked.any() and least >= settings.votes:
        reason = f"every video has {settings.votes} votes"
    elif settings.half_width is not None and asked.any() and _narrow(found, settings, asked, share):
        reason = f"{share:.0%} of the videos have an interval of at most +-{settings.half_width:g} levels"
    return Standing(reason != "", reason, reached, share)


def _narrow(found: Estimate, settings: StoppingSettings, asked: Flags, share: float) -> bool:
    return share >= settings.share and bool((found.votes[asked] >= settings.least_votes).all())

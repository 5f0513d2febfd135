"""Rules that flag raters. Whether flagged raters count is for the organiser to say; MOS stand side by side."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.rating_rules import ScreeningSettings
from mdsvqa.labeling.agreement import RaterFigures, rater_figures
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.models import DEFAULT, estimate_mos
from mdsvqa.labeling.votes import PairVotes, Votes
from mdsvqa.runtime.arrays import Flags

__all__ = ["RULES", "Flag", "ScreeningSettings", "SideBySide", "flagged", "flags", "screening_figures", "side_by_side"]


@dataclass(frozen=True)
class Flag:
    """A rule that a rater breaks.

    Attributes:
        rater: place in the table's raters.
        rule: name of the setting.
        reason: for people.
    """

    rater: int
    rule: str
    reason: str


@dataclass(frozen=True)
class SideBySide:
    """MOS with and without the raters that are flagged.

    Attributes:
        every: by all votes that count.
        kept: without those of flagged raters; None where nothing would be left.
    """

    every: Estimate
    kept: Estimate | None


def flags(votes: Votes | PairVotes, settings: ScreeningSettings) -> list[Flag]:
    """The rules that raters break, rater by rater.

    Args:
        votes: the whole table, with repeats, traps, anchors and disturbed plays.
        settings: of the rules.
    """
    figures = rater_figures(votes)
    level = (votes.high - votes.low) / 4 if isinstance(votes, Votes) else 1.0
    return [
        Flag(rater, rule, reason)
        for rater in range(len(votes.raters))
        for rule, broken in RULES.items()
        if (reason := broken(figures, rater, settings, level)) is not None
    ]


def flagged(votes: Votes | PairVotes, found: Sequence[Flag]) -> Flags:
    """Which raters have a flag, shape (raters,)."""
    marked = np.zeros(len(votes.raters), np.bool_)
    marked[[flag.rater for flag in found]] = True
    return marked


def side_by_side(votes: Votes, found: Sequence[Flag], model: str = DEFAULT) -> SideBySide:
    """MOS with and without flagged raters, by the same model."""
    kept = votes.without_raters(flagged(votes, found), "rater flagged")
    return SideBySide(estimate_mos(votes, model), estimate_mos(kept, model) if kept.counts.any() else None)


def screening_figures(votes: Votes | PairVotes, found: Sequence[Flag], both: SideBySide) -> dict[str, Any]:
    """How many raters each rule flags, why, and what leaving them out changes, JSON-able.

    Args:
        votes: the whole table.
        found: flags of its raters.
        both: MOS with and without them.
    """
    raters: dict[int, list[str]] = {}
    for flag in found:
        raters.setdefault(flag.rater, []).append(flag.reason)
    change: dict[str, Any] = {"mean_change": None, "largest_change": None, "srcc": None}
    if both.kept is not None:
        common = np.isfinite(both.every.mos) & np.isfinite(both.kept.mos)
        difference = np.abs(both.every.mos - both.kept.mos)[common]
        if len(difference):
            order = float(srcc(both.every.mos[common], both.kept.mos[common]))
            change = {"mean_change": float(difference.mean()), "largest_change": float(difference.max())}
            change["srcc"] = order if np.isfinite(order) else None
    return {
        "rules": dict(Counter(flag.rule for flag in found)),
        "raters": [{"rater": rater, "reasons": reasons} for rater, reasons in sorted(raters.items())],
        "without_flagged": change,
    }


def _wrong_traps(figures: RaterFigures, rater: int, settings: ScreeningSettings, level: float) -> str | None:
    wrong, shown, most = figures.traps_wrong[rater], figures.traps[rater], settings.wrong_traps
    return f"{wrong} of {shown} traps wrong" if most is not None and wrong > most else None


def _anchors_off(figures: RaterFigures, rater: int, settings: ScreeningSettings, level: float) -> str | None:
    off, shown, most = figures.anchors_off[rater], figures.anchors[rater], settings.anchors_off
    return f"{off} of {shown} anchors off by more than one level" if most is not None and off > most else None


def _correlation(figures: RaterFigures, rater: int, settings: ScreeningSettings, level: float) -> str | None:
    r, least = figures.correlation[rater], settings.correlation
    if least is None or figures.votes[rater] < settings.least_votes or not r < least:
        return None
    return f"correlation {r:.2f} with the mean of the others, under {least:g}"


def _spread(figures: RaterFigures, rater: int, settings: ScreeningSettings, level: float) -> str | None:
    std, least = figures.spread[rater] / level, settings.spread
    if least is None or figures.votes[rater] < settings.least_votes or not std < least:
        return None
    return f"votes spread by {std:.2f} levels, under {least:g}"


def _disturbed(figures: RaterFigures, rater: int, settings: ScreeningSettings, level: float) -> str | None:
    share, most = figures.disturbed[rater], settings.disturbed
    if most is None or not share > most:
        return None
    return f"{share:.0%} of plays disturbed, over {most:.0%}"


RULES: Mapping[str, Callable[[RaterFigures, int, ScreeningSettings, float], str | None]] = {
    "wrong_traps": _wrong_traps,
    "anchors_off": _anchors_off,
    "correlation": _correlation,
    "spread": _spread,
    "disturbed": _disturbed,
}

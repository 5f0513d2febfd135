"""What a report of a rating study says of its votes, as plain values; and the table of its raters."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.labeling.agreement import krippendorff_alpha, rater_figures, sos
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.screening import Flag, SideBySide
from mdsvqa.labeling.vote_export import csv_bytes
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Floats


def vote_figures(votes: Votes, found: Estimate) -> dict[str, Any]:
    """Counts of votes, intervals, agreement and the spread of votes, JSON-able; what is undefined is None.

    Args:
        votes: the whole table.
        found: MOS of the votes that count.

    Source: ITU-T P.910 (10/2023), clause 11, for what is reported.
    """
    counted, figures, spread = votes.counted(), rater_figures(votes), sos(votes.counted())
    rated = found.votes > 0
    half = ((found.high - found.low) / 2)[rated]
    excluded = Counter(str(reason) for reason in votes.excluded[votes.excluded != ""])
    return {
        "method": votes.method,
        "scale": [votes.low, votes.high],
        "model": found.model,
        "settings": dict(found.settings),
        "parts": found.parts,
        "videos": len(votes.videos),
        "videos_rated": int(rated.sum()),
        "raters": int((counted.per_rater() > 0).sum()),
        "votes": {
            "given": len(votes),
            "counted": len(counted),
            "by_kind": {str(kind): int(n) for kind, n in zip(*np.unique(votes.kind, return_counts=True), strict=True)},
            "disturbed": int(votes.disturbed.sum()),
            "excluded": dict(sorted(excluded.items())),
            "per_video": _range(found.votes.astype(np.float64)),
        },
        "interval_half_width": _range(half),
        "agreement": {
            "correlation_with_others": _range(figures.correlation),
            "krippendorff_alpha": _known(krippendorff_alpha(counted)),
            "repeats": int(figures.repeats.sum()),
            "repeat_difference": _mean(figures.repeat_difference, figures.repeats.astype(np.float64)),
            "traps": int(figures.traps.sum()),
            "traps_wrong": int(figures.traps_wrong.sum()),
            "anchors": int(figures.anchors.sum()),
            "anchors_off": int(figures.anchors_off.sum()),
        },
        "sos": {
            "a": _known(spread.a),
            "mos": [_known(value) for value in spread.mos.tolist()],
            "std": [_known(value) for value in spread.std.tolist()],
        },
    }


def screening_figures(votes: Votes, flags: Sequence[Flag], both: SideBySide) -> dict[str, Any]:
    """How many raters each rule flags, why, and what leaving them out changes, JSON-able.

    Args:
        votes: the whole table.
        flags: of its raters.
        both: MOS with and without them.
    """
    raters: dict[int, list[str]] = {}
    for flag in flags:
        raters.setdefault(flag.rater, []).append(flag.reason)
    change: dict[str, Any] = {"mean_change": None, "largest_change": None, "srcc": None}
    if both.kept is not None:
        common = np.isfinite(both.every.mos) & np.isfinite(both.kept.mos)
        difference = np.abs(both.every.mos - both.kept.mos)[common]
        if len(difference):
            change = {"mean_change": float(difference.mean()), "largest_change": float(difference.max())}
            change["srcc"] = _known(float(srcc(both.every.mos[common], both.kept.mos[common])))
    return {
        "rules": dict(Counter(flag.rule for flag in flags)),
        "raters": [{"rater": rater, "reasons": reasons} for rater, reasons in sorted(raters.items())],
        "without_flagged": change,
    }


def raters_csv(votes: Votes, found: Estimate, flags: Sequence[Flag], names: Sequence[str] | None = None) -> bytes:
    """What is known of every rater in a row.

    Args:
        votes: the whole table.
        found: MOS of the votes that count.
        flags: of its raters.
        names: in place of the table's.
    """
    figures, raters = rater_figures(votes), names or votes.raters
    reasons = ["; ".join(flag.reason for flag in flags if flag.rater == i) for i in range(len(raters))]
    rejected = [None] * len(raters) if found.rejected is None else [int(one) for one in found.rejected]
    columns: dict[str, Sequence[str | float | int | None]] = {
        "id": list(raters),
        "votes": figures.votes.tolist(),
        "bias": found.bias.tolist(),
        "inconsistency": found.inconsistency.tolist(),
        "weight": found.weight.tolist(),
        "rejected": rejected,
        "correlation": figures.correlation.tolist(),
        "spread": figures.spread.tolist(),
        "repeats": figures.repeats.tolist(),
        "repeat_difference": figures.repeat_difference.tolist(),
        "traps": figures.traps.tolist(),
        "traps_wrong": figures.traps_wrong.tolist(),
        "anchors": figures.anchors.tolist(),
        "anchors_off": figures.anchors_off.tolist(),
        "disturbed": figures.disturbed.tolist(),
        "flags": reasons,
    }
    return csv_bytes(list(columns), zip(*columns.values(), strict=True))


def _range(values: Floats) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    figures = {"least": known.min(), "median": np.median(known), "mean": known.mean(), "most": known.max()}
    return {name: float(value) for name, value in figures.items()}


def _mean(values: Floats, weight: Floats) -> float | None:
    total = float(weight.sum())
    return float(np.nansum(values * weight)) / total if total else None


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None

"""What is known of a study at a moment: of its videos, its raters and their agreement."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mdsvqa.labeling.agreement import RaterFigures, krippendorff_alpha, rater_figures, sos
from mdsvqa.labeling.collecting.catalogue import stimuli_of
from mdsvqa.labeling.collecting.course import ENDED
from mdsvqa.labeling.collecting.database import Connection, fact
from mdsvqa.labeling.collecting.hand_over import raters_of, table_of
from mdsvqa.labeling.collecting.raters import excluded_raters, name_of
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.models import estimate_scores
from mdsvqa.labeling.screening import Flag, flagged, flags
from mdsvqa.labeling.stopping import Standing, standing
from mdsvqa.labeling.votes import PairVotes, Votes
from mdsvqa.study.labeling import LabelingSettings

HOUR = 3600.0


@dataclass(frozen=True)
class Findings:
    """The statistics of a study.

    Attributes:
        votes: the whole table.
        kept: the table whose votes count by the settings: without flagged raters where those do not count.
        estimate: MOS by the model of the study of what is kept; None where no vote counts.
        every, without_flagged: the same with, and without, the votes of flagged raters.
        flags: rules that raters break.
        raters: figures of each rater.
        standing: against the rule that ends the study; None where there is no estimate.
    """

    votes: Votes | PairVotes
    kept: Votes | PairVotes
    estimate: Estimate | None
    every: Estimate | None
    without_flagged: Estimate | None
    flags: Sequence[Flag]
    raters: RaterFigures
    standing: Standing | None


def findings(connection: Connection, settings: LabelingSettings) -> Findings:
    """What the votes of a study say."""
    votes = table_of(connection, settings)
    marked = flags(votes, settings.screening)
    without = votes.without_raters(flagged(votes, marked), "rater flagged")
    kept = votes if settings.flagged_count else without
    every, fewer = (_estimate(table, settings) for table in (votes, without))
    found = every if settings.flagged_count else fewer
    where = None
    if found is not None:
        # Traps, anchors and practice stand in the table of votes; nothing waits for them.
        others = set(votes.videos) - set(videos_of(connection, settings))
        unratable = _marks(votes.videos, unplayable_everywhere(connection) | others)
        # Half-widths of preferences are no levels: the numbers end a study of pairs.
        pairs = settings.method == "pairs"
        rule = settings.stopping.model_copy(update={"half_width": None}) if pairs else settings.stopping
        where = standing(found, rule, unratable=unratable)
    return Findings(votes, kept, found, every, fewer, marked, rater_figures(votes), where)


def _estimate(votes: Votes | PairVotes, settings: LabelingSettings) -> Estimate | None:
    model = None if settings.method == "pairs" else settings.model
    return estimate_scores(votes, model) if votes.counts.any() else None


def _marks(names: Sequence[str], marked: set[str]) -> Any:
    return np.array([name in marked for name in names], np.bool_)


def videos_of(connection: Connection, settings: LabelingSettings) -> list[str]:
    """Ids of what is rated, hidden references behind the videos."""
    roles = ("video", "reference") if settings.method == "acr-hr" else ("video",)
    return [row["id"] for role in roles for row in stimuli_of(connection, role)]


def unplayable_everywhere(connection: Connection) -> set[str]:
    """Videos that some browser could not play and none did."""
    # Of a pair either side may be the one that did not play.
    rows = connection.execute(
        "SELECT stimuli.id, sum(outcome = 'unplayable') AS bad, sum(outcome = 'voted') AS good FROM slots JOIN stimuli "
        "ON stimuli.number = coalesce(second, first) OR (pair IS NOT NULL AND stimuli.number = first) "
        "WHERE kind = 'video' GROUP BY stimuli.id"
    )
    return {row["id"] for row in rows if row["bad"] and not row["good"]}


def overview(connection: Connection, settings: LabelingSettings, at: float) -> dict[str, Any]:
    """Where a study stands, JSON-able; what is undefined is None.

    Args:
        connection: of the study.
        settings: of it.
        at: now, in seconds since 1970.
    """
    found = findings(connection, settings)
    raters = _raters(connection, found)
    videos = _videos(connection, settings, found)
    counting = len(found.kept.counted())
    hours = _hours(connection)
    per_hour = counting / hours if hours else None
    missing = sum(max(0, settings.stopping.least_votes - video["votes"]) for video in videos if not video["unplayable"])
    standing_ = found.standing
    return {
        "title": settings.title,
        "method": settings.method,
        "model": settings.model if settings.method != "pairs" else "pairs",
        "ended": fact(connection, ENDED) or None,
        "enough": standing_.reason if standing_ else "",
        "share_reached": standing_.share if standing_ else 0.0,
        "wanted_share": settings.stopping.share,
        "wanted_half_width": settings.stopping.half_width,
        "votes": counting,
        "votes_given": len(found.votes),
        "votes_last_hour": _count(connection, "SELECT count(*) FROM votes WHERE at > ?", at - HOUR),
        "votes_per_hour": per_hour,
        "votes_missing": missing,
        "hours_left": missing / per_hour if per_hour else None,
        "invited": _count(connection, "SELECT count(*) FROM raters"),
        "opened": _count(connection, "SELECT count(DISTINCT rater) FROM events WHERE kind = 'opened'"),
        "agreement": agreement(found),
        "checks": _checks(connection),
        "devices": _devices(connection),
        "videos": videos,
        "raters": raters,
        "unplayable": _unplayable(connection),
    }


def agreement(found: Findings) -> dict[str, float | None]:
    """How far raters agree, with the others and with themselves."""
    counted, figures = found.kept.counted(), found.raters
    known = figures.correlation[np.isfinite(figures.correlation)]
    levels = counted if isinstance(counted, Votes) and len(counted) else None
    return {
        "krippendorff_alpha": None if levels is None else number(krippendorff_alpha(levels)),
        "mean_correlation": number(float(known.mean())) if len(known) else None,
        "repeat_difference": _mean(figures.repeat_difference, figures.repeats),
        "traps_right": _share(figures.traps_wrong, figures.traps),
        "anchors_right": _share(figures.anchors_off, figures.anchors),
        "sos_a": None if levels is None else number(sos(levels).a),
    }


def number(value: float) -> float | None:
    """A figure, None where it is undefined."""
    return float(value) if math.isfinite(value) else None


def _mean(values: Any, weights: Any) -> float | None:
    return number(float(np.nansum(values * weights) / weights.sum())) if weights.sum() else None


def _share(wrong: Any, shown: Any) -> float | None:
    return 1 - float(wrong.sum()) / float(shown.sum()) if shown.sum() else None


def _count(connection: Connection, question: str, *values: float) -> int:
    return int(connection.execute(question, values).fetchone()[0])


def _hours(connection: Connection) -> float:
    """Hours in which votes came: pauses of more than an hour of everybody are left out."""
    times = [row["at"] for row in connection.execute("SELECT at FROM votes ORDER BY at")]
    gaps = (later - earlier for earlier, later in pairwise(times))
    return sum(min(gap, HOUR) for gap in gaps) / HOUR


def _videos(connection: Connection, settings: LabelingSettings, found: Findings) -> list[dict[str, Any]]:
    gone, estimate = unplayable_everywhere(connection), found.estimate
    place = {name: number_ for number_, name in enumerate(found.votes.videos)}
    rows = []
    for name in videos_of(connection, settings):
        j = place.get(name)
        known = estimate is not None and j is not None and estimate.votes[j] > 0
        low, high = (estimate.low[j], estimate.high[j]) if known and estimate is not None else (math.nan, math.nan)
        rows.append(
            {
                "id": name,
                "votes": int(estimate.votes[j]) if known and estimate is not None else 0,
                "mos": number(float(estimate.mos[j])) if known and estimate is not None else None,
                "half_width": number(float(high - low) / 2),
                "all_raters": _score(found.every, j),
                "without_flagged": _score(found.without_flagged, j),
                "unplayable": name in gone,
            }
        )
    return rows


def _score(estimate: Estimate | None, j: int | None) -> float | None:
    return None if estimate is None or j is None else number(float(estimate.mos[j]))


def _raters(connection: Connection, found: Findings) -> list[dict[str, Any]]:
    out = excluded_raters(connection)
    reasons: dict[str, list[str]] = {}
    for flag in found.flags:
        reasons.setdefault(found.votes.raters[flag.rater], []).append(flag.reason)
    slots = {
        row["rater"]: row
        for row in connection.execute(
            "SELECT rater, count(*) AS given, sum(closed IS NOT NULL) AS closed, sum(outcome = 'unplayable') AS bad, "
            "max(closed) AS last FROM slots GROUP BY rater"
        )
    }
    seen = set(raters_of(connection))
    checks = {row["rater"]: json.loads(row["detail"]) for row in _last_checks(connection)}
    rows = []
    for row in connection.execute("SELECT number FROM raters ORDER BY number"):
        rater = int(row["number"])
        own, check = slots.get(rater), checks.get(rater, {})
        rows.append(
            {
                "rater": name_of(rater),
                "number": rater,
                "consented": rater in seen,
                "slots": int(own["given"]) if own else 0,
                "closed": int(own["closed"] or 0) if own else 0,
                "unplayable": int(own["bad"] or 0) if own else 0,
                "last": own["last"] if own else None,
                "browser": check.get("browser", ""),
                "screen": [check.get("screen_width"), check.get("screen_height")] if check else None,
                "failed": check.get("failed", []),
                "flags": reasons.get(name_of(rater), []),
                "excluded": out.get(rater),
                **_figures(found, name_of(rater)),
            }
        )
    return rows


def _figures(found: Findings, name: str) -> dict[str, Any]:
    if name not in found.votes.raters:
        return {}
    i, figures = found.votes.raters.index(name), found.raters
    return {
        "votes": int(figures.votes[i]),
        "correlation": number(float(figures.correlation[i])),
        "repeats": int(figures.repeats[i]),
        "repeat_difference": number(float(figures.repeat_difference[i])),
        "traps": int(figures.traps[i]),
        "traps_wrong": int(figures.traps_wrong[i]),
        "anchors": int(figures.anchors[i]),
        "anchors_off": int(figures.anchors_off[i]),
        "disturbed": number(float(figures.disturbed[i])),
    }


def _last_checks(connection: Connection) -> Sequence[Any]:
    return connection.execute(
        "SELECT rater, detail FROM events WHERE number IN (SELECT max(number) FROM events WHERE kind = 'check' "
        "GROUP BY "
        "rater)"
    ).fetchall()


def _checks(connection: Connection) -> dict[str, Any]:
    found = [json.loads(row["detail"])["failed"] for row in _last_checks(connection)]
    failed = Counter(name for names in found for name in names)
    return {"raters": len(found), "failed": sum(bool(names) for names in found), "by_check": dict(failed)}


def _devices(connection: Connection) -> dict[str, Any]:
    """What the study was seen on: browsers and pixel ratios of raters, and how many plays were scaled."""
    checks = [json.loads(row["detail"]) for row in _last_checks(connection)]
    plays, scaled, full = 0, 0, 0
    for row in connection.execute(
        "SELECT facts, width FROM plays JOIN slots ON slots.id = slot JOIN stimuli ON stimuli.number = CASE "
        "WHEN side = 1 "
        "THEN second ELSE first END"
    ):
        facts: Mapping[str, Any] = json.loads(row["facts"])
        plays += 1
        scaled += facts["shown_width"] < row["width"] - 1
        full += bool(facts["fullscreen"])
    return {
        "browsers": dict(Counter(check["browser"] for check in checks)),
        "touch": sum(bool(check["touch"]) for check in checks),
        "ratios": dict(Counter(f"{check['ratio']:g}" for check in checks)),
        "refresh": dict(Counter(f"{check['refresh']:.0f} Hz" for check in checks)),
        "screens": dict(Counter(f"{check['screen_width']:.0f} x {check['screen_height']:.0f}" for check in checks)),
        "plays": plays,
        "scaled": scaled,
        "fullscreen": full,
    }


def _unplayable(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT stimuli.id, events.rater, events.detail FROM events JOIN slots ON slots.id = events.slot JOIN "
        "stimuli ON "
        "stimuli.number = coalesce(second, first) WHERE events.kind = 'unplayable' ORDER BY events.number"
    )
    return [{"id": r["id"], "rater": name_of(r["rater"]), "error": json.loads(r["detail"])["error"]} for r in rows]

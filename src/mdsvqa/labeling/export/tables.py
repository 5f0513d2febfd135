"""The tables that leave a study: labels, votes, raters, differences, preferences."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.collecting.raters import name_of
from mdsvqa.labeling.differences import differences
from mdsvqa.labeling.export.findings import Findings, overview, videos_of
from mdsvqa.labeling.vote_export import csv_bytes, deviations, videos_csv
from mdsvqa.labeling.votes import Votes
from mdsvqa.study.labeling import LabelingSettings

VIDEOS, VOTES, RATERS, DIFFERENCES, PREFERENCES = (
    "videos.csv", "votes.csv", "raters.csv", "differences.csv", "preferences.csv",
)  # fmt: skip
_PLAYED = (
    "total", "dropped", "stalled", "stalls", "hidden", "watching", "delay", "shown_width", "shown_height",
    "window_width", "window_height", "ratio", "fullscreen", "streamed",
)  # fmt: skip


def utc(at: float | None) -> str | None:
    """A moment as ISO 8601.

    >>> utc(0.0)
    '1970-01-01T00:00:00.000Z'
    """
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def videos_table(
    connection: Connection, settings: LabelingSettings, found: Findings, tone_mapped: Mapping[str, str]
) -> bytes:
    """One row a video: id, mos, mos_low, mos_high, mos_std, votes, votes_excluded.

    A video that nobody could play, or that has no vote that counts, has an empty mos. MOS lie on the ends of the scale
    where a model places them beyond. A study of pairs has scores without levels, which say so: column scale. One with
    HDR that was tone-mapped says so of each video: column tone_mapped.
    """
    return videos_csv(found.estimate, found.kept, videos_of(connection, settings), tone_mapped)


def votes_table(connection: Connection, settings: LabelingSettings, found: Findings) -> bytes:
    """One row a vote, in the order in which they came: what was said, whether it counts, how the clip played."""
    votes = found.kept
    pairs = not isinstance(votes, Votes)
    said = ["first", "second"] if pairs else ["video"]
    value = "preference" if pairs else "vote"
    header = [*said, "rater", value, "scale", "method", "kind", "expected", "disturbed", "excluded"]
    header = [name for name in header if not (pairs and name == "scale")]
    extra = ["session", "place", "issued", "begun", "voted", "correction", "plays", "disturbance", *_PLAYED]
    rows = []
    for number, row in enumerate(_vote_rows(connection, training=not pairs)):
        kept = {
            "first": row["before"], "second": row["video"], "video": row["video"], "rater": name_of(row["rater"]),
            value: row["value"], "scale": "1-5", "method": settings.method, "kind": row["kind"],
            "expected": row["expected"], "disturbed": int(bool(row["disturbed"])),
            "excluded": str(votes.excluded[number]),
        }  # fmt: skip
        facts = json.loads(row["facts"]) if row["facts"] else {}
        played = [int(facts[name]) if isinstance(facts.get(name), bool) else facts.get(name) for name in _PLAYED]
        rows.append(
            [
                *(kept[name] for name in header),
                row["turn"],
                row["place"] + 1,
                *(utc(row[name]) for name in ("issued", "begun", "at")),
                row["correction"],
                row["plays"],
                row["disturbed"],
                *played,
            ]
        )
    return csv_bytes([*header, *extra], rows)


def _vote_rows(connection: Connection, *, training: bool) -> Iterator[Any]:
    return connection.execute(
        "SELECT votes.*, slots.rater, slots.kind, slots.issued, slots.begun, slots.place, sessions.turn, shown.id AS "
        "video, shown.expected, other.id AS before, (SELECT facts FROM plays WHERE plays.slot = slots.id ORDER "
        "BY number "
        "DESC LIMIT 1) AS facts, (SELECT count(*) FROM plays WHERE plays.slot = slots.id) AS plays FROM votes "
        "JOIN slots "
        "ON slots.id = votes.slot JOIN sessions ON sessions.number = slots.session JOIN stimuli AS shown ON "
        "shown.number "
        "= coalesce(slots.second, slots.first) LEFT JOIN stimuli AS other ON other.number = slots.first AND "
        "slots.second IS NOT NULL " + ("" if training else "WHERE slots.kind != 'training' ") + "ORDER BY votes.number"
    )


def raters_table(connection: Connection, settings: LabelingSettings, found: Findings, at: float) -> bytes:
    """One row a rater: the device, what was given and said, agreement, what the model holds, flags and exclusion."""
    known = overview(connection, settings, at)["raters"]
    estimate = found.estimate
    place = {name: i for i, name in enumerate(found.votes.raters)}
    header = [
        "rater", "browser", "screen_width", "screen_height", "failed_checks", "slots", "closed", "unplayable", "votes",
        "correlation", "repeats", "repeat_difference", "traps", "traps_wrong", "anchors", "anchors_off", "disturbed",
        "bias", "inconsistency", "weight", "flags", "excluded",
    ]  # fmt: skip
    rows = []
    for each in known:
        i = place.get(each["rater"])
        model: list[float | None] = [None, None, None]
        if estimate is not None and i is not None:
            model = [float(values[i]) for values in (estimate.bias, estimate.inconsistency, estimate.weight)]
        screen = each["screen"] or [None, None]
        cells = {**each, "screen_width": screen[0], "screen_height": screen[1]}
        cells |= {"failed_checks": " ".join(each["failed"]), "flags": "; ".join(each["flags"])}
        cells |= dict(zip(("bias", "inconsistency", "weight"), model, strict=True))
        rows.append([cells.get(name) for name in header])
    return csv_bytes(header, rows)


def differences_table(connection: Connection, found: Findings) -> bytes | None:
    """Differential MOS of ACR-HR: each rater's vote on a video, minus that on its hidden reference, plus 5.

    Returns:
        One row a video with its reference: id, reference, dmos, dmos_std, raters; None where there are none.

    Source: ITU-T P.910 (10/2023), clause on ACR-HR: DV = V(PVS) - V(REF) + 5.
    """
    votes = found.kept
    if not isinstance(votes, Votes):
        return None
    pairs = connection.execute(
        "SELECT video.id AS video, reference.id AS reference FROM stimuli AS video JOIN stimuli AS reference ON "
        "reference.number = video.reference WHERE video.role = 'video' AND NOT video.retired ORDER BY video.number"
    ).fetchall()
    place = {name: j for j, name in enumerate(votes.videos)}
    reference = np.full(len(votes.videos), -1)
    for row in pairs:
        if row["video"] in place:
            reference[place[row["video"]]] = place.get(row["reference"], -1)
    against = differences(votes.counted(), reference)
    raters, std = against.per_video(), deviations(against)
    mean = np.bincount(against.video, against.vote, len(raters)) / np.maximum(raters, 1)
    rows: list[list[Any]] = []
    for row in pairs:
        j = place.get(row["video"])
        known = [float(mean[j]), float(std[j]), int(raters[j])] if j is not None and raters[j] else [None, None, 0]
        rows.append([row["video"], row["reference"], *known])
    return csv_bytes(["id", "reference", "dmos", "dmos_std", "raters"], rows) if rows else None


def preferences_table(connection: Connection, found: Findings) -> bytes:
    """Answers to named pairs as `mdsvqa gmad rank --preferences` takes them: pair, left, right, preference, rater."""
    rows = []
    for number, row in enumerate(_vote_rows(connection, training=False)):
        if not found.kept.counts[number]:
            continue
        pair = connection.execute(
            "SELECT pairs.name FROM slots JOIN pairs ON pairs.number = slots.pair WHERE slots.id = ?", (row["slot"],)
        ).fetchone()
        rows.append([pair["name"], row["before"], row["video"], row["value"], name_of(row["rater"])])
    return csv_bytes(["pair", "left", "right", "preference", "rater"], rows)

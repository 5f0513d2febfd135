"""Votes: what may be said of which slot, when, and what is kept of it."""

import json
from collections.abc import Sequence
from typing import Any

from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.collecting.plays import Play, disturbances, was_whole
from mdsvqa.labeling.collecting.raters import note
from mdsvqa.labeling.collecting.refusals import Refused
from mdsvqa.study.labeling import LabelingSettings

LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
PREFERENCES = (0.0, 0.5, 1.0)
UNPLAYABLE, VOTED = "unplayable", "voted"
# Clocks of two machines are not compared, but a slot is issued a moment before its clip can start.
_SOONEST = 0.95


def current_slot(connection: Connection, rater: int) -> Any:
    """The slot that a rater is at: training first, then in the order of the session; None where all are closed."""
    return connection.execute(
        "SELECT slots.* FROM slots JOIN sessions ON sessions.number = slots.session WHERE slots.rater = ? AND "
        "closed IS "
        "NULL ORDER BY slots.kind != 'training', sessions.number, place LIMIT 1",
        (rater,),
    ).fetchone()


def issue(connection: Connection, slot: Any, at: float) -> None:
    """Remembers when a rater was first told of a slot."""
    if slot["issued"] is None:
        connection.execute("UPDATE slots SET issued = ? WHERE id = ?", (at, slot["id"]))


def begin(connection: Connection, rater: int, slot: str, at: float) -> None:
    """A clip starts: the vote before it is final from here on."""
    row = _own_slot(connection, rater, slot)
    if row["closed"] is not None:
        return
    _need_turn(connection, rater, row)
    issue(connection, row, at)
    if row["begun"] is None:
        connection.execute("UPDATE slots SET begun = ? WHERE id = ?", (at, slot))
    note(connection, rater, "begun", at, slot=slot)


def vote(
    connection: Connection,
    rater: int,
    key: str,
    slot: str,
    value: float,
    plays: Sequence[Play],
    settings: LabelingSettings,
    at: float,
) -> dict[str, Any]:
    """Keeps a vote.

    Args:
        rater: number.
        key: that the browser made for this vote: the same key again gives the same answer.
        slot: id.
        value: a level, or in a pair the preference for the first.
        plays: of the slot's clips, in order; the last ones are those that the vote is about.

    Returns:
        The kept vote.

    Raises:
        Refused: the slot is another rater's, has a vote already, is not the rater's turn, or its clip was not seen to
            the end, or was disturbed and has to be seen again.
    """
    known = _known(connection, rater, key, slot)
    if known is not None:
        return known
    row = _own_slot(connection, rater, slot)
    earlier = connection.execute("SELECT * FROM votes WHERE slot = ? ORDER BY number DESC LIMIT 1", (slot,)).fetchone()
    if earlier is not None:
        raise Refused(409, "slot_voted", {"vote": _said(earlier)})
    if row["closed"] is not None:
        raise Refused(409, "slot_closed")
    _check_value(value, settings)
    _need_turn(connection, rater, row)
    clips = _clips(connection, row)
    rounds = _rounds(plays, len(clips))
    if not rounds or not all(
        was_whole(play, clip["duration"], clip["frames"]) for play, clip in zip(rounds[-1], clips, strict=True)
    ):
        raise Refused(409, "not_seen")
    if row["issued"] is None or at - row["issued"] < _SOONEST * sum(clip["duration"] for clip in clips):
        raise Refused(409, "too_soon")
    marks = [_marks(each, clips, settings) for each in rounds]
    if sum(not mark for mark in marks) > settings.replays + 1:
        raise Refused(409, "too_many_replays")
    if marks[-1] and sum(bool(mark) for mark in marks) < 2:
        raise Refused(409, "play_again", {"disturbed": marks[-1]})
    for turn, (each, mark) in enumerate(zip(rounds, marks, strict=True)):
        for play in each:
            connection.execute(
                "INSERT INTO plays (slot, side, turn, at, disturbed, facts) VALUES (?, ?, ?, ?, ?, ?)",
                (slot, play.side, turn, at, mark, json.dumps(play.model_dump())),
            )
    return _keep(connection, rater, key, slot, value, at, 0, marks[-1])


def correct(
    connection: Connection, rater: int, key: str, slot: str, value: float, settings: LabelingSettings, at: float
) -> dict[str, Any]:
    """Keeps another vote on the last slot; arguments as of `vote`.

    Raises:
        Refused: the slot has no vote, or the next video has begun.
    """
    known = _known(connection, rater, key, slot)
    if known is not None:
        return known
    row = _own_slot(connection, rater, slot)
    _check_value(value, settings)
    last = connection.execute("SELECT * FROM votes WHERE slot = ? ORDER BY number DESC LIMIT 1", (slot,)).fetchone()
    if last is None:
        raise Refused(409, "nothing_to_correct")
    newest = connection.execute(
        "SELECT id FROM slots WHERE rater = ? AND closed IS NOT NULL ORDER BY closed DESC, rowid DESC LIMIT 1", (rater,)
    ).fetchone()
    following = current_slot(connection, rater)
    if newest["id"] != row["id"] or (following is not None and following["begun"] is not None):
        raise Refused(409, "too_late")
    return _keep(connection, rater, key, slot, value, at, 1, str(last["disturbed"]))


def unplayable(connection: Connection, rater: int, slot: str, error: str, at: float) -> None:
    """A clip that the rater's browser cannot play: an outcome, and the session goes on."""
    row = _own_slot(connection, rater, slot)
    if row["closed"] is not None:
        return
    _need_turn(connection, rater, row)
    connection.execute("UPDATE slots SET closed = ?, outcome = ? WHERE id = ?", (at, UNPLAYABLE, slot))
    note(connection, rater, UNPLAYABLE, at, {"error": error}, slot)


def _keep(
    connection: Connection, rater: int, key: str, slot: str, value: float, at: float, correction: int, disturbed: str
) -> dict[str, Any]:
    connection.execute(
        "INSERT INTO votes (key, slot, value, at, correction, disturbed) VALUES (?, ?, ?, ?, ?, ?)",
        (_own_key(rater, key), slot, value, at, correction, disturbed),
    )
    connection.execute("UPDATE slots SET closed = coalesce(closed, ?), outcome = ? WHERE id = ?", (at, VOTED, slot))
    return {"key": key, "slot": slot, "value": value}


def _known(connection: Connection, rater: int, key: str, slot: str) -> dict[str, Any] | None:
    row = connection.execute("SELECT * FROM votes WHERE key = ?", (_own_key(rater, key),)).fetchone()
    if row is None:
        return None
    if row["slot"] != slot:
        raise Refused(409, "key_used", {"vote": _said(row)})
    return _said(row)


def _own_key(rater: int, key: str) -> str:
    # The key of another rater says nothing here.
    return f"{rater}:{key}"


def _said(row: Any) -> dict[str, Any]:
    return {"key": str(row["key"]).partition(":")[2], "slot": row["slot"], "value": row["value"]}


def _own_slot(connection: Connection, rater: int, slot: str) -> Any:
    row = connection.execute("SELECT * FROM slots WHERE id = ? AND rater = ?", (slot, rater)).fetchone()
    if row is None:
        raise Refused(404, "slot_unknown")
    return row


def _need_turn(connection: Connection, rater: int, row: Any) -> None:
    if current_slot(connection, rater)["id"] != row["id"]:
        raise Refused(409, "not_your_turn")


def _check_value(value: float, settings: LabelingSettings) -> None:
    if value not in (PREFERENCES if settings.method == "pairs" else LEVELS):
        raise Refused(422, "no_such_choice")


def _clips(connection: Connection, slot: Any) -> list[Any]:
    numbers = [slot["first"], *([] if slot["second"] is None else [slot["second"]])]
    return [connection.execute("SELECT * FROM stimuli WHERE number = ?", (number,)).fetchone() for number in numbers]


def _rounds(plays: Sequence[Play], sides: int) -> list[list[Play]]:
    """Plays of all sides of a slot in turn, one list each time that all were played; empty where they are no such."""
    rounds = [list(plays[start : start + sides]) for start in range(0, len(plays), sides)]
    return rounds if all([play.side for play in each] == list(range(sides)) for each in rounds) else []


def _marks(plays: Sequence[Play], clips: Sequence[Any], settings: LabelingSettings) -> str:
    found = (disturbances(play, clip["duration"], settings) for play, clip in zip(plays, clips, strict=True))
    return " ".join(dict.fromkeys(mark for each in found for mark in each))

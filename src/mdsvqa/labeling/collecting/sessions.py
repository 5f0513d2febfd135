"""Sessions: what each of a rater's sittings shows, drawn when it begins."""

import random
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mdsvqa.labeling.collecting.catalogue import stimuli_of
from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.collecting.orders import ANCHOR, TRAINING, TRAP, VIDEO, Rules, Shown, session_order
from mdsvqa.study.labeling import LabelingSettings

# A session that is no longer gone on with gives its videos back after so long.
ABANDONED = 86_400.0

# The numbers of videos, the most wanted first; may raise nothing and must be quick.
Wanted = Callable[[Connection, random.Random], Sequence[int]]
# Pairs of numbers, the most wanted first.
WantedPairs = Callable[[Connection, random.Random], Sequence[tuple[int, int]]]


def begin_training(connection: Connection, rater: int, clips: int, at: float, seed: int) -> None:
    """Training before the first session, or before going on after a long pause: over the whole range of quality."""
    rows = stimuli_of(connection, "training")
    order = sorted(rows, key=lambda row: (row["expected"] is None, row["expected"] or 0.0))
    picked = _spread(order, clips)
    random.Random(f"{seed}/training/{at}").shuffle(picked)
    slots = [
        Shown(TRAINING, row["number"], row["duration"], frozenset())
        if row["reference"] is None
        else Shown(TRAINING, row["reference"], row["duration"], frozenset(), row["number"])
        for row in picked
    ]
    _put(connection, rater, 0, slots, at)


def _spread(rows: Sequence[Any], count: int) -> list[Any]:
    """Rows at even distances, the first and the last among them."""
    if len(rows) <= count:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / max(count - 1, 1))] for place in range(count)]


def begin_session(
    connection: Connection,
    rater: int,
    turn: int,
    settings: LabelingSettings,
    wanted: Wanted,
    wanted_pairs: WantedPairs,
    at: float,
) -> int:
    """Draws and keeps the slots of a rater's next session.

    Args:
        rater: number.
        turn: of the session, from 1.
        settings: of the study.
        wanted, wanted_pairs: what the study wants to know most.

    Returns:
        How many slots; 0 where the rater has seen everything.
    """
    seed = connection.execute("SELECT seed FROM raters WHERE number = ?", (rater,)).fetchone()["seed"]
    draws = random.Random(f"{seed}/{turn}")
    seen = _seen(connection, rater)
    if settings.method == "pairs":
        entries = _pair_entries(connection, wanted_pairs(connection, draws), seen, draws)
    else:
        entries = _entries(connection, wanted(connection, draws), settings, seen)
    rules = Rules(
        settings.session_minutes * 60, settings.repeats, settings.repeat_gap, settings.trap_every, settings.anchor_every
    )
    traps = _traps(connection, settings, seen)
    # What is known of an anchor is its MOS, which says nothing of a difference.
    anchors = _extras(connection, ANCHOR, seen) if settings.method in ("acr", "acr-hr") else []
    order = session_order(entries, traps, anchors, rules, draws)
    if order:
        _put(connection, rater, turn, order, at)
    return len(order)


def _seen(connection: Connection, rater: int) -> set[int | tuple[str, int]]:
    rows = connection.execute("SELECT first, second, pair FROM slots WHERE rater = ?", (rater,)).fetchall()
    seen: set[int | tuple[str, int]] = set()
    for row in rows:
        seen.add(("pair", row["pair"]) if row["pair"] is not None else row["second"] or row["first"])
    return seen


def _entries(
    connection: Connection, numbers: Sequence[int], settings: LabelingSettings, seen: Collection[Any]
) -> list[list[Shown]]:
    """Videos that the rater has not seen; with the hidden reference, where the rater has not seen that either."""
    rows = {int(row["number"]): row for role in ("video", "reference") for row in stimuli_of(connection, role)}
    hidden, entries = set(seen), []
    for number in numbers:
        row = rows[number]
        if number in hidden:
            continue
        hidden.add(number)
        reference = row["reference"]
        contents = frozenset({row["content"]})
        if settings.method == "dcr" and reference is not None:
            seconds = row["duration"] + rows[reference]["duration"]
            entries.append([Shown(VIDEO, reference, seconds, contents, number)])
            continue
        entry = [Shown(VIDEO, number, row["duration"], contents)]
        if settings.method == "acr-hr" and reference is not None and reference not in hidden:
            hidden.add(reference)
            entry.append(Shown(VIDEO, reference, rows[reference]["duration"], contents))
        entries.append(entry)
    return entries


def _pair_entries(
    connection: Connection, wanted: Sequence[tuple[int, int]], seen: Collection[Any], draws: random.Random
) -> list[list[Shown]]:
    """Pairs that the rater has not judged, A and B by chance."""
    rows = {int(row["number"]): row for row in stimuli_of(connection, "video")}
    entries = []
    for first, second in wanted:
        pair = pair_number(connection, first, second)
        if ("pair", pair) in seen:
            continue
        a, b = (first, second) if draws.random() < 0.5 else (second, first)
        contents = frozenset({rows[a]["content"], rows[b]["content"]})
        entries.append([Shown(VIDEO, a, rows[a]["duration"] + rows[b]["duration"], contents, b, pair)])
    return entries


def pair_number(connection: Connection, first: int, second: int) -> int:
    """The number of a pair, whichever of the two comes first."""
    row = connection.execute(
        "SELECT number FROM pairs WHERE (first = ? AND second = ?) OR (first = ? AND second = ?)",
        (first, second, second, first),
    ).fetchone()
    if row is not None:
        return int(row["number"])
    low, high = sorted((first, second))
    name = f"{low}-{high}"
    connection.execute("INSERT INTO pairs (name, first, second) VALUES (?, ?, ?)", (name, low, high))
    return pair_number(connection, first, second)


def fewest_judged_pairs(connection: Connection, draws: random.Random, at: float) -> list[tuple[int, int]]:
    """The pairs that the study names by how many judgements they have or will have; ties by chance."""
    rows = connection.execute(
        "SELECT pair, count(*) AS n FROM slots JOIN sessions ON sessions.number = session WHERE pair IS NOT NULL AND "
        "(closed IS NOT NULL OR created > ?) AND coalesce(outcome, '') != 'unplayable' GROUP BY pair",
        (at - ABANDONED,),
    )
    counts = {int(row["pair"]): int(row["n"]) for row in rows}
    shown = {int(row["number"]) for row in stimuli_of(connection, "video")}
    named = connection.execute("SELECT number, first, second FROM pairs").fetchall()
    listed = {(row["first"], row["second"]): counts.get(row["number"], 0) for row in named}
    pairs = [pair for pair in listed if set(pair) <= shown]
    return sorted(pairs, key=lambda pair: (listed[pair], draws.random()))


def _traps(connection: Connection, settings: LabelingSettings, seen: Collection[Any]) -> list[Shown]:
    """Traps that the rater has not seen: alone, or behind the clip that they are compared with."""
    if settings.method in ("acr", "acr-hr"):
        return _extras(connection, TRAP, seen)
    before = {int(row["number"]): row for role in ("video", "reference") for row in stimuli_of(connection, role)}
    return [
        Shown(TRAP, row["reference"], seconds, frozenset({row["content"]}), row["number"])
        for row in stimuli_of(connection, TRAP)
        if row["number"] not in seen and row["reference"] in before
        for seconds in [row["duration"] + before[row["reference"]]["duration"]]
    ]


def _extras(connection: Connection, kind: str, seen: Collection[Any]) -> list[Shown]:
    rows = stimuli_of(connection, kind)
    return [
        Shown(kind, row["number"], row["duration"], frozenset({row["content"]}))
        for row in rows
        if row["number"] not in seen
    ]


def _put(connection: Connection, rater: int, turn: int, slots: Sequence[Shown], at: float) -> None:
    session = connection.execute(
        "INSERT INTO sessions (rater, turn, created) VALUES (?, ?, ?)", (rater, turn, at)
    ).lastrowid
    for place, slot in enumerate(slots):
        connection.execute(
            "INSERT INTO slots (id, session, rater, place, kind, first, second, pair) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (secrets.token_hex(8), session, rater, place, slot.kind, slot.first, slot.second, slot.pair),
        )

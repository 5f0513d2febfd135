"""The stimuli of a study in its database: put there once, found by number."""

from collections.abc import Iterable, Sequence
from typing import Any

from mdsvqa.labeling.collecting.database import Connection, keep_fact
from mdsvqa.labeling.stimuli import Prepared, Stimulus

NAMED_PAIRS = "named_pairs"


def put_stimuli(connection: Connection, prepared: Prepared) -> None:
    """Brings the database to what was prepared: new files come in, those that are gone are not shown any more."""
    connection.execute("UPDATE stimuli SET retired = 1")
    for each in prepared.stimuli:
        connection.execute(
            "INSERT INTO stimuli (id, role, content, expected, file, bytes, width, height, frames, duration) VALUES "
            "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (role, id) DO UPDATE SET content = excluded.content, "
            "expected = excluded.expected, file = excluded.file, bytes = excluded.bytes, width = excluded.width, "
            "height = excluded.height, frames = excluded.frames, duration = excluded.duration, retired = 0",
            (each.id, each.role, each.content, each.expected, str(each.file), each.bytes, each.width, each.height,
             each.frames, each.duration),
        )  # fmt: skip
    numbers = numbers_of(connection, "video", "reference")
    _put_references(connection, prepared.stimuli, numbers)
    # Pairs that a study chooses itself get their rows when they are shown.
    keep_fact(connection, NAMED_PAIRS, "1" if prepared.pairs else "")
    for name, first, second in prepared.pairs:
        if first in numbers and second in numbers:
            connection.execute(
                "INSERT INTO pairs (name, first, second) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
                (name, numbers[first], numbers[second]),
            )


def _put_references(connection: Connection, stimuli: Iterable[Stimulus], numbers: dict[str, int]) -> None:
    for each in stimuli:
        if each.role in ("video", "training", "trap") and each.reference in numbers:
            connection.execute(
                "UPDATE stimuli SET reference = ? WHERE role = ? AND id = ?",
                (numbers[each.reference], each.role, each.id),
            )


def numbers_of(connection: Connection, *roles: str) -> dict[str, int]:
    """Number of each stimulus of some roles by its id; where two roles share an id, the one named last."""
    found: dict[str, int] = {}
    for role in roles:
        rows = connection.execute("SELECT id, number FROM stimuli WHERE role = ? AND NOT retired", (role,))
        found |= {row["id"]: int(row["number"]) for row in rows}
    return found


def stimuli_of(connection: Connection, role: str) -> Sequence[Any]:
    """The rows of one role that can be shown, in the order in which they came."""
    return connection.execute(
        "SELECT * FROM stimuli WHERE role = ? AND NOT retired ORDER BY number", (role,)
    ).fetchall()

"""Raters as the study knows them: a number, a link that opens once, a browser it is bound to, and a cookie."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.collecting.refusals import Refused

DAY = 86_400.0
# 128 bits each.
SECRET_BYTES = 16


@dataclass(frozen=True)
class Opened:
    """What a browser gets for a link.

    Attributes:
        cookie: the secret that it sends from now on.
        rater: number.
        expires: seconds since 1970.
    """

    cookie: str
    rater: int
    expires: float


def name_of(rater: int) -> str:
    """
    >>> name_of(7)
    'r007'
    """
    return f"r{rater:03d}"


def hashed(secret: str) -> bytes:
    """A secret of 128 random bits as the study keeps it."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    """128 random bits, as they stand in an address."""
    return secrets.token_urlsafe(SECRET_BYTES)


def invite(connection: Connection, raters: int, days: float, seed: int, at: float) -> list[tuple[int, str]]:
    """Makes raters and their links.

    Args:
        raters: how many more.
        days: until a link that was not opened, and the cookie of one that was, expire.
        seed: of the study; each rater has one of their own.

    Returns:
        The number of each and the secret of the link, which is nowhere else.
    """
    made = []
    for _ in range(raters):
        # A number is never given twice, also where a rater was forgotten.
        row = connection.execute("SELECT value FROM facts WHERE name = 'raters'").fetchone()
        number = 1 if row is None else int(row["value"]) + 1
        connection.execute(
            "INSERT INTO facts VALUES ('raters', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(number),),
        )
        connection.execute("INSERT INTO raters VALUES (?, ?, ?)", (number, at, seed * 1_000_003 + number))
        made.append((number, _new_link(connection, number, days, at)))
    return made


def _new_link(connection: Connection, rater: int, days: float, at: float) -> str:
    secret = new_secret()
    connection.execute("INSERT INTO links VALUES (?, ?, ?, ?, NULL)", (hashed(secret), rater, at, at + days * DAY))
    return secret


def open_link(connection: Connection, link: str, browser: str, at: float) -> Opened:
    """Exchanges a link for a cookie; the first browser that does so keeps it.

    Args:
        link: its secret.
        browser: a secret that the browser made for itself.

    Raises:
        Refused: the link is unknown or expired, or another browser has it.
    """
    row = connection.execute("SELECT rater, expires, browser FROM links WHERE hash = ?", (hashed(link),)).fetchone()
    if row is None:
        raise Refused(404, "link_unknown")
    if row["expires"] < at:
        raise Refused(410, "link_expired")
    if row["browser"] is not None and row["browser"] != hashed(browser):
        raise Refused(403, "link_elsewhere")
    rater = int(row["rater"])
    if row["browser"] is None:
        connection.execute("UPDATE links SET browser = ? WHERE hash = ?", (hashed(browser), hashed(link)))
        note(connection, rater, "opened", at)
    cookie = new_secret()
    # The browser's older cookie goes: there is one way in at a time.
    connection.execute("UPDATE cookies SET revoked = ? WHERE rater = ? AND revoked IS NULL", (at, rater))
    connection.execute(
        "INSERT INTO cookies VALUES (?, ?, ?, ?, ?, NULL)",
        (hashed(cookie), rater, new_secret(), at, row["expires"]),
    )
    return Opened(cookie, rater, row["expires"])


def rater_with(connection: Connection, cookie: str | None, at: float) -> tuple[int, str]:
    """The rater whose browser sends a cookie, and the token that their changes carry.

    Raises:
        Refused: there is none, or it no longer holds.
    """
    row = connection.execute(
        "SELECT rater, token FROM cookies WHERE hash = ? AND rater IS NOT NULL AND revoked IS NULL AND expires > ?",
        (hashed(cookie or ""), at),
    ).fetchone()
    if row is None:
        raise Refused(401, "not_opened")
    return int(row["rater"]), str(row["token"])


def release(connection: Connection, rater: int, at: float) -> None:
    """Lets a rater open the link in another browser; the one that had it is out."""
    need_rater(connection, rater)
    connection.execute("UPDATE links SET browser = NULL WHERE rater = ?", (rater,))
    connection.execute("UPDATE cookies SET revoked = ? WHERE rater = ? AND revoked IS NULL", (at, rater))
    note(connection, rater, "released", at)


def exclude(connection: Connection, rater: int, excluded: bool, reason: str, at: float) -> None:
    """Says that a rater's votes do not count, or do again."""
    need_rater(connection, rater)
    connection.execute(
        "INSERT INTO exclusions (rater, at, excluded, reason) VALUES (?, ?, ?, ?)", (rater, at, int(excluded), reason)
    )


def excluded_raters(connection: Connection) -> dict[int, str]:
    """Raters whose votes do not count by the organiser's word, and why."""
    rows = connection.execute("SELECT rater, excluded, reason FROM exclusions ORDER BY number").fetchall()
    last = {row["rater"]: (row["excluded"], row["reason"]) for row in rows}
    return {rater: reason for rater, (excluded, reason) in last.items() if excluded}


def forget(connection: Connection, rater: int) -> dict[str, int]:
    """Deletes a rater and everything of them.

    Returns:
        How many rows went, by table.

    Raises:
        Refused: there is no such rater.
    """
    need_rater(connection, rater)
    slots = "slot IN (SELECT id FROM slots WHERE rater = ?)"
    where = {
        "votes": slots,
        "plays": slots,
        "slots": "rater = ?",
        "sessions": "rater = ?",
        "events": "rater = ?",
        "exclusions": "rater = ?",
        "cookies": "rater = ?",
        "links": "rater = ?",
        "raters": "number = ?",
    }
    return {
        table: connection.execute(f"DELETE FROM {table} WHERE {condition}", (rater,)).rowcount
        for table, condition in where.items()
    }


def need_rater(connection: Connection, rater: int) -> None:
    """Raises `Refused` where there is no such rater."""
    if connection.execute("SELECT 1 FROM raters WHERE number = ?", (rater,)).fetchone() is None:
        raise Refused(404, "rater_unknown")


def note(
    connection: Connection,
    rater: int | None,
    kind: str,
    at: float,
    detail: Mapping[str, Any] | None = None,
    slot: str | None = None,
) -> None:
    """Adds an event."""
    text = json.dumps(detail or {}, ensure_ascii=False, sort_keys=True)
    connection.execute(
        "INSERT INTO events (rater, at, kind, slot, detail) VALUES (?, ?, ?, ?, ?)", (rater, at, kind, slot, text)
    )


def last_event(connection: Connection, rater: int, *kinds: str) -> Any:
    """The last event of some kinds; None where there is none."""
    marks = ", ".join("?" for _ in kinds)
    return connection.execute(
        f"SELECT * FROM events WHERE rater = ? AND kind IN ({marks}) ORDER BY number DESC LIMIT 1", (rater, *kinds)
    ).fetchone()

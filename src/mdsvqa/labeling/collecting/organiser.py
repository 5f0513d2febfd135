"""The organiser of a study: a password, and browsers that gave it."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mdsvqa.labeling.collecting.course import ENDED
from mdsvqa.labeling.collecting.database import Connection, fact, keep_fact
from mdsvqa.labeling.collecting.raters import hashed, new_secret, note
from mdsvqa.labeling.collecting.refusals import Refused

PASSWORD = "password"
# An evening of looking on.
SESSION_SECONDS = 12 * 3600.0
# argon2id with the library's defaults, those of RFC 9106 for little memory.
_HASHER = PasswordHasher()


def set_password(connection: Connection, password: str, at: float) -> None:
    """Sets the organiser's password; browsers that gave the old one are out."""
    keep_fact(connection, PASSWORD, _HASHER.hash(password))
    revoke_all(connection, at)


def has_password(connection: Connection) -> bool:
    """Whether the study has one yet."""
    return bool(fact(connection, PASSWORD))


def is_password(kept: str, given: str) -> bool:
    """Whether a password is the one that was set; takes a tenth of a second by intention.

    Args:
        kept: what the study keeps of it.
        given: by somebody.
    """
    try:
        return _HASHER.verify(kept, given)
    except (VerificationError, InvalidHashError):
        return False


def open_session(connection: Connection, at: float, seconds: float = SESSION_SECONDS) -> tuple[str, str]:
    """A new session of the organiser: its cookie and its token for changes."""
    cookie, token = new_secret(), new_secret()
    connection.execute("INSERT INTO cookies VALUES (?, NULL, ?, ?, ?, NULL)", (hashed(cookie), token, at, at + seconds))
    return cookie, token


def token_of(connection: Connection, cookie: str | None, at: float) -> str:
    """The token of the organiser's session that a cookie stands for.

    Raises:
        Refused: there is none.
    """
    row = connection.execute(
        "SELECT token FROM cookies WHERE hash = ? AND rater IS NULL AND revoked IS NULL AND expires > ?",
        (hashed(cookie or ""), at),
    ).fetchone()
    if row is None:
        raise Refused(401, "no_organiser")
    return str(row["token"])


def revoke(connection: Connection, cookie: str | None, at: float) -> None:
    """Ends one session."""
    connection.execute("UPDATE cookies SET revoked = ? WHERE hash = ? AND rater IS NULL", (at, hashed(cookie or "")))


def revoke_all(connection: Connection, at: float) -> None:
    """Ends every session of the organiser."""
    connection.execute("UPDATE cookies SET revoked = ? WHERE rater IS NULL AND revoked IS NULL", (at,))


def end(connection: Connection, ended: bool, reason: str, at: float) -> None:
    """Ends the study, or opens it again. Raters in a session finish it."""
    keep_fact(connection, ENDED, reason if ended else "")
    note(connection, None, "ended" if ended else "reopened", at, {"reason": reason})

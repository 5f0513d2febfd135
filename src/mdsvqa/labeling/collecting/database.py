"""The SQLite file of a rating study: one writer thread, readers beside it, and a lock against a second process.

Every change is a function of the writer's connection. The writer takes all that wait into one transaction, commits, and
only then answers: an answer that left means a row that stays, whatever happens to the process or the power.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from mdsvqa.runtime.errors import InputError

T = TypeVar("T")
Connection = sqlite3.Connection
Change = Callable[[Connection], T]
FILE, LOCK = "votes.sqlite", "votes.lock"
MOST_AT_ONCE = 512
# Nothing in these tables is changed by a rule but the columns that say when something ended: what is said of a vote or
# a rater later is a row of its own.
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stimuli (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, reference INTEGER,
  expected REAL, file TEXT NOT NULL, bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  frames INTEGER NOT NULL, duration REAL NOT NULL, retired INTEGER NOT NULL DEFAULT 0, UNIQUE (role, id));
CREATE TABLE IF NOT EXISTS pairs (
  number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, first INTEGER NOT NULL, second INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS raters (number INTEGER PRIMARY KEY, created REAL NOT NULL, seed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS links (
  hash BLOB PRIMARY KEY, rater INTEGER NOT NULL, created REAL NOT NULL, expires REAL NOT NULL, browser BLOB);
CREATE TABLE IF NOT EXISTS cookies (
  hash BLOB PRIMARY KEY, rater INTEGER, token TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL,
  revoked REAL);
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY, rater INTEGER, at REAL NOT NULL, kind TEXT NOT NULL, slot TEXT, detail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_rater ON events (rater, kind);
CREATE TABLE IF NOT EXISTS sessions (
  number INTEGER PRIMARY KEY, rater INTEGER NOT NULL, turn INTEGER NOT NULL, created REAL NOT NULL, ended REAL);
CREATE INDEX IF NOT EXISTS sessions_of_rater ON sessions (rater);
CREATE TABLE IF NOT EXISTS slots (
  id TEXT PRIMARY KEY, session INTEGER NOT NULL, rater INTEGER NOT NULL, place INTEGER NOT NULL, kind TEXT NOT NULL,
  first INTEGER NOT NULL, second INTEGER, pair INTEGER, issued REAL, begun REAL, closed REAL, outcome TEXT);
CREATE INDEX IF NOT EXISTS slots_of_rater ON slots (rater, closed);
CREATE INDEX IF NOT EXISTS slots_of_session ON slots (session, place);
CREATE TABLE IF NOT EXISTS plays (
  number INTEGER PRIMARY KEY, slot TEXT NOT NULL, side INTEGER NOT NULL, turn INTEGER NOT NULL, at REAL NOT NULL,
  disturbed TEXT NOT NULL, facts TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS plays_of_slot ON plays (slot);
CREATE TABLE IF NOT EXISTS votes (
  number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, slot TEXT NOT NULL, value REAL NOT NULL, at REAL NOT NULL,
  correction INTEGER NOT NULL, disturbed TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS one_vote_a_slot ON votes (slot) WHERE correction = 0;
CREATE INDEX IF NOT EXISTS votes_of_slot ON votes (slot);
CREATE TABLE IF NOT EXISTS exclusions (
  number INTEGER PRIMARY KEY, rater INTEGER NOT NULL, at REAL NOT NULL, excluded INTEGER NOT NULL,
  reason TEXT NOT NULL);
"""


def connected(path: Path, *, reading: bool = False) -> Connection:
    """A connection of its own to the file of a study; rows answer to the names of columns.

    Args:
        path: of the file.
        reading: it never writes.
    """
    if reading:
        found = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=30)
    else:
        found = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        found.execute("PRAGMA journal_mode = WAL")
        found.execute("PRAGMA synchronous = FULL")
    found.row_factory = sqlite3.Row
    return found


class Waiting(Generic[T]):
    """A change that waits for its transaction, and the answer to it."""

    def __init__(self, change: Change[T]) -> None:
        self.change = change
        self.answer: Future[T] = Future()
        self.found: tuple[bool, Any] = (False, None)

    def carry_out(self, connection: Connection) -> None:
        """Makes the change; one that fails leaves nothing, and the others of its transaction alone."""
        connection.execute("SAVEPOINT change")
        try:
            self.found = (True, self.change(connection))
        except Exception as error:
            connection.execute("ROLLBACK TO change")
            self.found = (False, error)
        connection.execute("RELEASE change")

    def reply(self, failure: Exception | None = None) -> None:
        """Answers; `failure` is of the whole transaction."""
        if not self.answer.set_running_or_notify_cancel():
            return
        done, value = self.found
        if failure is None and done:
            self.answer.set_result(value)
        else:
            self.answer.set_exception(failure or value)


class Store:
    """The votes of a study while it runs.

    Attributes:
        path: of the file.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a study's file, or makes it, and keeps every other process from doing so.

        Args:
            folder: of the rating study.

        Raises:
            InputError: another process has it open.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{self.path}: is open in another process; expected one server a study. End that one first, or read "
                "the study beside it: mdsvqa label status, or label export."
            ) from None
        self._connection = connected(self.path)
        self._connection.executescript(SCHEMA)
        self._queue: SimpleQueue[Waiting[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()

    def submit(self, change: Change[T]) -> "Future[T]":
        """Queues a change; the future has its result once it is on the disk, or what it raised."""
        waiting = Waiting(change)
        self._queue.put(waiting)
        return waiting.answer

    def write(self, change: Change[T]) -> T:
        """Makes a change and waits until it is on the disk."""
        return self.submit(change).result()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the study, whatever is written meanwhile."""
        with reading(self.path) as found:
            yield found

    def close(self) -> None:
        """Finishes what waits, and lets others open the study."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()
        self._lock.release()

    def _write(self) -> None:
        while True:
            first = self._queue.get()
            batch = [] if first is None else [first]
            ending = first is None
            while not ending and not self._queue.empty() and len(batch) < MOST_AT_ONCE:
                following = self._queue.get()
                ending = following is None
                batch += [] if following is None else [following]
            if batch:
                self._transact(batch)
            if ending:
                return

    def _transact(self, batch: list[Waiting[Any]]) -> None:
        failure = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for each in batch:
                each.carry_out(self._connection)
            self._commit()
        except sqlite3.Error as error:
            failure = error
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        for each in batch:
            each.reply(failure)

    def _commit(self) -> None:
        self._connection.execute("COMMIT")


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A read-only connection to the file of a study that may be running, within one transaction.

    Raises:
        InputError: there is no such file, or it is none of ours.
    """
    if not path.is_file():
        raise InputError(f"{path}: is not there; expected the votes of a study. Open it first: mdsvqa label serve.")
    try:
        found = connected(path, reading=True)
        found.execute("BEGIN")
        found.execute("SELECT count(*) FROM facts")
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as the votes of a study ({error}).") from None
    try:
        yield found
    finally:
        found.close()


def now() -> float:
    """Seconds since 1970, UTC."""
    return time.time()


def fact(connection: Connection, name: str, default: str = "") -> str:
    """What is kept of the study as a whole under a name."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row["value"])


def keep_fact(connection: Connection, name: str, value: str) -> None:
    """Keeps something of the study as a whole."""
    connection.execute(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
    )

"""What an answered vote is worth: it is on the disk before its answer leaves, once, whatever ends the process."""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mdsvqa.labeling.collecting.database import FILE, Connection, Store, fact, keep_fact, reading
from mdsvqa.runtime.errors import InputError


def test_the_writer_waits_for_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    # 2 is FULL: every commit is flushed. A kill does not tell it from NORMAL, a power cut does.
    assert store.write(lambda c: c.execute("PRAGMA synchronous").fetchone()[0]) == 2
    assert store.write(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"
    store.close()


def test_no_answer_leaves_before_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, held, reached = Store(tmp_path), threading.Event(), threading.Event()
    commit = store._commit

    def late() -> None:
        reached.set()
        held.wait()
        commit()

    monkeypatch.setattr(store, "_commit", late)
    answer = store.submit(lambda c: keep_fact(c, "vote", "5"))
    reached.wait()
    assert not answer.done()
    with reading(store.path) as connection:
        assert fact(connection, "vote") == ""
    held.set()
    answer.result()
    with reading(store.path) as connection:
        assert fact(connection, "vote") == "5"
    store.close()


def test_what_waits_goes_into_one_transaction_and_one_failure_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, held, commits = Store(tmp_path), threading.Event(), []
    commit = store._commit
    monkeypatch.setattr(store, "_commit", lambda: (held.wait(), commits.append(1), commit()))
    first = store.submit(lambda c: keep_fact(c, "first", "1"))

    def fails(connection: Connection) -> None:
        keep_fact(connection, "half", "1")
        raise ValueError("no")

    later = [store.submit(lambda c, n=n: keep_fact(c, f"fact {n}", "1")) for n in range(20)]
    bad = store.submit(fails)
    held.set()
    first.result()
    for each in later:
        each.result()
    with pytest.raises(ValueError, match="no"):
        bad.result()
    with reading(store.path) as connection:
        names = {row["name"] for row in connection.execute("SELECT name FROM facts")}
    assert names == {"first", *(f"fact {n}" for n in range(20))}
    assert len(commits) <= 3
    store.close()


def test_a_commit_that_fails_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    commit = store._commit

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "_commit", full)
    with pytest.raises(sqlite3.OperationalError):
        store.write(lambda c: keep_fact(c, "lost", "1"))
    monkeypatch.setattr(store, "_commit", commit)
    store.write(lambda c: keep_fact(c, "kept", "1"))
    with reading(store.path) as connection:
        assert [row["name"] for row in connection.execute("SELECT name FROM facts")] == ["kept"]
    store.close()


def test_one_process_a_study_and_readers_beside_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    opening = f"from mdsvqa.labeling.collecting.database import Store\nStore(Path({str(tmp_path)!r}))"
    code = f"from pathlib import Path\n{opening}"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is open in another process" in other.stderr
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.write(lambda c: keep_fact(c, str(n), "1")), range(50)))
    with reading(tmp_path / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM facts").fetchone()[0] == 50
        # A reader sees one state, whatever is written meanwhile.
        store.write(lambda c: keep_fact(c, "later", "1"))
        assert connection.execute("SELECT count(*) FROM facts").fetchone()[0] == 50
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM facts")
    store.close()
    Store(tmp_path).close()


def test_files_that_are_no_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mdsvqa label serve"), reading(tmp_path / FILE):
        pass
    (tmp_path / FILE).write_bytes(b"no database, " * 500)
    with pytest.raises(InputError, match="cannot be read"), reading(tmp_path / FILE):
        pass

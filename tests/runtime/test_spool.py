"""Room for copies: never more than the limit over all processes, and what a killed process left goes."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mdsvqa.runtime.environment import SPOOL, SPOOL_RUN
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.spool import TooLargeError, bytes_of, limit_spool, remove_leftovers, room_for, spool_folder

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in (SPOOL, SPOOL_RUN):
        # Set first, so that what a test leaves goes with it.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield tmp_path
    assert [path.name for path in spool_folder().glob("*") if path.is_dir()] == []


def bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # What was there may have gone meanwhile.
            with suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total


def fill(sizes: list[int]) -> None:
    for size in sizes:
        with room_for(size, "a.mp4") as (file, most):
            assert most == size
            file.write_bytes(b"x" * size)
            time.sleep(0.01)


def test_processes_together_never_take_more_than_the_limit() -> None:
    limit_spool("10 kB")
    workers = [SPAWN.Process(target=fill, args=([3000 + 500 * n] * 12,)) for n in range(4)]
    for worker in workers:
        worker.start()
    seen = []
    while any(worker.is_alive() for worker in workers):
        seen.append(bytes_in(spool_folder()))
        time.sleep(0.002)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert 3000 <= max(seen) <= 10_000


def test_a_file_larger_than_the_limit_has_no_room_and_the_next_one_has() -> None:
    limit_spool("1000")
    with pytest.raises(TooLargeError, match=r"1,001 bytes are more than the 1,000 .*--spool"), room_for(1001, "a.mp4"):
        pass
    with room_for(1000, "a.mp4"):
        pass


def test_a_file_of_unknown_size_may_take_all_the_room() -> None:
    limit_spool("1000")
    with room_for(None, "a.mp4") as (_, most):
        assert most == 1000


def test_by_default_half_of_what_is_free_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 5000}))
    with room_for(2500, "a.mp4"):
        pass
    with pytest.raises(TooLargeError, match="2,500"), room_for(2501, "a.mp4"):
        pass


def test_a_copy_goes_where_the_block_raises() -> None:
    room = room_for(3, "a.mp4")
    file, _ = room.__enter__()
    file.write_bytes(b"abc")
    raised = ValueError("why")
    assert not room.__exit__(ValueError, raised, None)
    assert not file.exists()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a b.mp4", "a b.mp4"),
        ("é/../x\n.YUV", "é_.._x_.YUV"),
        ("." * 3, "video"),
        ("n" * 300 + ".mov", "n" * 60 + ".mov"),
    ],
)
def test_names_are_kept_as_far_as_a_file_can_have_them(name: str, kept: str) -> None:
    with room_for(1, name) as (file, _):
        file.write_bytes(b"a")
        assert file.name == kept


def hold(ready: str) -> None:
    with room_for(600, "held.mp4") as (file, _):
        file.write_bytes(b"x" * 600)
        Path(ready).write_text(str(file))
        time.sleep(600)


def killed_with_a_copy(tmp_path: Path) -> Path:
    ready = tmp_path / "ready"
    worker = SPAWN.Process(target=hold, args=(str(ready),))
    worker.start()
    while not (ready.exists() and ready.read_text()):
        time.sleep(0.01)
    left = Path(ready.read_text())
    assert left.stat().st_size == 600
    remove_leftovers()
    assert left.exists(), "a living process lost its copy"
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    return left


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path: Path) -> None:
    limit_spool("1000")
    left = killed_with_a_copy(tmp_path)
    assert left.exists()
    remove_leftovers()
    assert not left.exists()


def test_what_a_killed_process_left_takes_no_room(tmp_path: Path) -> None:
    limit_spool("1000")
    left = killed_with_a_copy(tmp_path)
    with room_for(900, "a.mp4"):
        assert not left.exists()


def test_runs_with_limits_of_their_own_do_not_wait_for_each_other() -> None:
    limit_spool("1000")
    with room_for(1000, "a.mp4"):
        limit_spool("500")
        with room_for(500, "b.mp4"):
            pass


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("20GB", 20 * 10**9), (" 1.5 gib ", 3 * 2**29), ("10 k", 10_000), ("2T", 2 * 10**12), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "GB", "20 GX", "1,5GB", "20GB!", "ib"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(InputError, match="--spool: found"):
        bytes_of(text)

"""Room on this machine's disk for copies of objects: never more than a limit, and nothing left behind.

Each copy has a folder of its own, whose name says how many bytes it may take, and a lock that its process holds. Who
wants room adds up the names; a folder whose lock is free belongs to a process that died, and goes. So processes need
to know nothing of each other, and whatever kills one, its copies are found and removed.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mdsvqa.runtime.atomic import cannot_write
from mdsvqa.runtime.environment import SPOOL, SPOOL_RUN
from mdsvqa.runtime.errors import InputError

# Of what is free on the disk, where nobody says how much.
FREE_SHARE = 0.5
# Seconds between two looks for room.
_PAUSE = 0.05
# Characters of a name that are kept: file systems take 255 bytes.
_MOST_NAME = 60
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", re.IGNORECASE)
_LOCK = ".lock"


class TooLargeError(Exception):
    """A file that has no room even where nothing else is; the message says how large both are."""


def bytes_of(text: str) -> int:
    """The bytes that a size means.

    Raises:
        InputError: it is no size.

    >>> bytes_of("20 GB"), bytes_of("1.5GiB"), bytes_of("4096")
    (20000000000, 1610612736, 4096)
    """
    found = _SIZE.fullmatch(text)
    size = 0 if found is None or found[2].lower() not in _UNITS else int(float(found[1]) * _UNITS[found[2].lower()])
    if size < 1:
        raise InputError(f"--spool: found {text!r}; expected how much of the disk copies may take, such as 20GB.")
    return size


def limit_spool(text: str | None) -> None:
    """Limits what copies take, from here on and in the processes that this one starts; None changes nothing.

    Raises:
        InputError: it is no size.
    """
    if text is not None:
        os.environ[SPOOL] = str(bytes_of(text))
        # Room is shared by the processes of a run, not by runs that may have been told other limits.
        os.environ[SPOOL_RUN] = f"{os.getpid()}-{time.time_ns()}"


def spool_folder() -> Path:
    """Where copies lie: below the folder for temporary files (TMPDIR), apart for each user of the machine."""
    return Path(tempfile.gettempdir()) / f"mdsvqa-spool-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


@contextmanager
def room_for(size: int | None, name: str) -> Iterator[tuple[Path, int]]:
    """Waits until there is room for a file, and keeps it for as long as the block runs; the file goes with it.

    Args:
        size: in bytes; None where nobody knows, which takes all the room that there is.
        name: that the file should have, as far as a file can.

    Yields:
        The path, where nothing is yet, and how many bytes may be written there.

    Raises:
        TooLargeError: it is larger than the limit.
        WriteError: the disk cannot be written to.
    """
    folder = spool_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy, lock, granted = _wait(folder, size)
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        yield copy / _plain(name), granted
    finally:
        for file in copy.iterdir():
            if file.name != _LOCK:
                file.unlink()
        lock.release()
        shutil.rmtree(copy, ignore_errors=True)


def remove_leftovers() -> None:
    """Removes what processes that were killed have left."""
    folder = spool_folder()
    if folder.is_dir():
        with suppress(OSError), FileLock(folder / _LOCK):
            _taken(folder, "")


def _wait(folder: Path, size: int | None) -> tuple[Path, FileLock, int]:
    run = os.environ.get(SPOOL_RUN, "shared")
    while True:
        with FileLock(folder / _LOCK, poll_interval=_PAUSE / 10):
            taken = _taken(folder, run)
            most = _limit(folder, taken)
            wanted = most if size is None else size
            if wanted > most:
                raise TooLargeError(f"its {wanted:,} bytes are more than the {most:,} that copies may take (--spool)")
            if taken + wanted <= most:
                copy = Path(tempfile.mkdtemp(prefix=f"{run}.{wanted}.", dir=folder))
                lock = FileLock(copy / _LOCK)
                lock.acquire(timeout=0)
                return copy, lock, wanted
        time.sleep(_PAUSE)


def _limit(folder: Path, taken: int) -> int:
    said = os.environ.get(SPOOL)
    return int(FREE_SHARE * (shutil.disk_usage(folder).free + taken)) if said is None else bytes_of(said)


def _taken(folder: Path, run: str) -> int:
    """Bytes that living processes of a run have room for; what dead ones of any run have left goes."""
    total = 0
    for copy in folder.iterdir():
        if not copy.is_dir():
            continue
        lock = FileLock(copy / _LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            owner, _, rest = copy.name.rpartition(".")[0].rpartition(".")
            total += int(rest) if owner == run else 0
            continue
        lock.release()
        shutil.rmtree(copy, ignore_errors=True)
    return total


def _plain(name: str) -> str:
    """A name that any file system takes, with its ending."""
    kept = re.sub(r"[^\w. ()-]", "_", name)
    stem, ending = os.path.splitext(kept)  # noqa: PTH122
    return f"{stem[:_MOST_NAME].lstrip('.') or 'video'}{ending[:_MOST_NAME]}"

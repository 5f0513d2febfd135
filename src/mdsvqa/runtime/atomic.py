"""Files that are whole or not there."""

import errno
import os
from pathlib import Path

from mdsvqa.runtime.errors import InputError

_WAYS_OUT = {
    errno.ENOSPC: "The disk is full. Make room, and run the same command again; what was done is safe.",
    errno.EDQUOT: "Your quota is used up. Make room, and run the same command again; what was done is safe.",
    errno.EROFS: "The disk is read-only. Name another place.",
    errno.EACCES: "You may not write there. Name another place, or have the rights changed.",
    errno.EPERM: "You may not write there. Name another place, or have the rights changed.",
    errno.ENOENT: "There is no such folder. Make it first, or name another place.",
    errno.EISDIR: "It is a folder. Name a file.",
    errno.ENOTDIR: "A part of the path is a file, not a folder. Name another place.",
}


class WriteError(InputError):
    """A file or folder that cannot be written; the message says why, and the way out."""


def cannot_write(path: Path, error: OSError) -> WriteError:
    """What to say of a place that cannot be written to."""
    way = _WAYS_OUT.get(error.errno or 0, f"{error.strerror}. Name another place, or make room.")
    return WriteError(f"{path}: cannot be written. {way}")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a kill at any moment leaves the old one or the new one.

    Raises:
        WriteError: it cannot be written: no such folder, not allowed, the disk is full.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None


def flush_folder(folder: Path) -> None:
    """Makes the names in a folder lasting."""
    # Without this the rename itself may be lost in a power cut. Windows cannot open a folder.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""The files that tables name."""

from pathlib import Path

from mdsvqa.videos.folder import named_file
from mdsvqa.videos.manifest_formats import ManifestError


def path_of(written: str, base: Path, where: str) -> Path:
    """The file that a cell of a table names.

    Args:
        written: the cell.
        base: that relative paths count from.
        where: the cell is, for the message.

    Raises:
        ManifestError: it has the scheme of a store or a server.
    """
    refuse_scheme(written, where)
    return named_file(base / written)


def refuse_scheme(written: str, where: str) -> None:
    """Raises a ManifestError for a place that is no path on this machine.

    Args:
        written: the place.
        where: it is written, for the message.
    """
    scheme, colon, _ = written.partition("://")
    # One letter is a drive of Windows.
    if colon and len(scheme) > 1 and scheme[0].isalpha() and scheme.replace("+", "").replace("-", "").isalnum():
        raise ManifestError(
            f"{where}: found a path with the scheme {scheme!r} ({written}); expected a file on this machine. Copy the "
            "videos to a disk, or mount their store as a folder, and write the paths there."
        )

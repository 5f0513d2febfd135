"""What the cells of a manifest name: files of this machine, and the pictures of a raw video."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Place, Remote, place_of
from mdsvqa.runtime.stores import StoreError, missing_package, need_store
from mdsvqa.videos.folder import named_file
from mdsvqa.videos.video import RawFormat, Video

RAW_COLUMNS = ("width", "height", "pix_fmt", "fps")


class ManifestError(InputError):
    """A manifest that cannot be used as it is; the message says where, what and how to mend it."""


def path_of(written: str, base: Place, where: Callable[[], str]) -> Place:
    """The file or the object that a cell of a table names.

    Args:
        written: the cell.
        base: that relative paths count from.
        where: says where the cell is, for the message.

    Raises:
        ManifestError: it has the scheme of a store that cannot be read here.
    """
    if isinstance(base, Path) and ":/" not in written:
        return named_file(base / written)
    place = base / written if isinstance(base, Remote) else place_of(written)
    if isinstance(place, Path):
        return named_file(base / place if isinstance(base, Path) else place)
    if missing_package(place.scheme) is not None:
        try:
            need_store(place, where())
        except StoreError as error:
            raise ManifestError(str(error)) from None
    return place


def raw_format(cells: Sequence[str], where: str) -> RawFormat | None:
    """The format of a raw video; None where its row does not say all of it, which is said when it is to be decoded.

    Args:
        cells: of `RAW_COLUMNS`, empty where nothing stands.
        where: they are, for the message.

    Raises:
        ManifestError: a cell is no size or no rate.
    """
    if not all(cells):
        return None
    try:
        width, height, fps = (Fraction(cells[column]) for column in (0, 1, 3))
        if fps <= 0 or min(width, height) < 1 or {width.denominator, height.denominator} != {1}:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise ManifestError(
            f"{where}: found a raw video of {cells[0]} x {cells[1]} at {cells[3]} pictures a second; expected width "
            "and height in whole pixels, and fps such as 30, 29.97 or 30000/1001."
        ) from None
    return RawFormat(int(width), int(height), cells[2], fps)


def raw_cells(video: Video) -> list[str]:
    """The cells of `RAW_COLUMNS`, empty for what is no raw video."""
    return [""] * len(RAW_COLUMNS) if video.raw is None else [str(getattr(video.raw, name)) for name in RAW_COLUMNS]

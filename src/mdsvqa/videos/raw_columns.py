"""The columns of a manifest that say what the pictures of a raw video are."""

from fractions import Fraction

from mdsvqa.videos.manifest_formats import RAW_COLUMNS, ManifestError, Row
from mdsvqa.videos.video import RawFormat, Video


def raw_format(row: Row, id: str) -> RawFormat | None:
    """The format of a raw video; None where its row does not say all of it, which is said when it is to be decoded.

    Raises:
        ManifestError: a cell is no size or no rate.
    """
    cells = [row.text(column).strip() for column in RAW_COLUMNS]
    if not all(cells):
        return None
    try:
        width, height, fps = (Fraction(cells[column]) for column in (0, 1, 3))
        if fps <= 0 or min(width, height) < 1 or {width.denominator, height.denominator} != {1}:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise ManifestError(
            f"{row.where}, id {id!r}: found a raw video of {cells[0]} x {cells[1]} at {cells[3]} pictures a second; "
            "expected width and height in whole pixels, and fps such as 30, 29.97 or 30000/1001."
        ) from None
    return RawFormat(int(width), int(height), cells[2], fps)


def raw_cells(video: Video) -> list[str]:
    """The cells of `RAW_COLUMNS`, empty for what is no raw video."""
    return [""] * len(RAW_COLUMNS) if video.raw is None else [str(getattr(video.raw, name)) for name in RAW_COLUMNS]

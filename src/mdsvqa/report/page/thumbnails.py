"""Small JPEG pictures that live inside the page."""

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PREFIX = "data:image/jpeg;base64,"
# Smaller files at no visible loss at 160 px; above 75 the page grows faster than it gains.
QUALITY = 70


def thumbnail(frames: NDArray[np.uint8], width: int = 160) -> str:
    """The middle frame of a clip as a JPEG data URI.

    Args:
        frames: uint8 RGB, shape (T, 3, H, W), T >= 1.
        width: of the longest side in pixels, so that an upright video takes no more room than a wide one;
            a smaller frame keeps its size.

    Returns:
        `data:image/jpeg;base64,...`, the same bytes for the same frame.
    """
    middle = np.ascontiguousarray(frames[len(frames) // 2].transpose(1, 2, 0))
    picture = Image.fromarray(middle)
    picture.thumbnail((width, width), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return PREFIX + base64.b64encode(buffer.getvalue()).decode("ascii")


def thumbnail_size(uri: str | None) -> tuple[int, int] | None:
    """Width and height in pixels of a thumbnail, None for anything but a readable JPEG data URI.

    The page puts only what passes here into an `href`, so that no thumbnail can make it load something.
    """
    if uri is None or not uri.startswith(PREFIX):
        return None
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(uri[len(PREFIX) :], validate=True)), formats=["JPEG"])
    except (binascii.Error, ValueError, OSError):
        return None
    return picture.size

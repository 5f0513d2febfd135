"""Animated WebP, which FFmpeg writes and does not read: the times of its frames from the file, pictures by Pillow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from mdsvqa.runtime.arrays import Floats
from mdsvqa.videos.probing import Undecodable

# Of a chunk: four letters, and four bytes that say how long it is.
_HEAD = 8
# Of the flags in the first byte of a VP8X chunk.
_ANIMATED = 0x02
# What browsers show a frame for that says 0 ms.
_NO_LENGTH = 100
_DAMAGED = (OSError, ValueError, EOFError, SyntaxError, MemoryError, Image.DecompressionBombError)


@dataclass(frozen=True)
class WebpFilm:
    """An animated WebP file.

    Attributes:
        path: of the file.
        lengths: of each frame in seconds, shape (N,).
    """

    path: Path
    lengths: Floats

    @classmethod
    def open(cls, path: Path) -> "WebpFilm | None":
        """The animation in a file; None where it is a still picture, or something else.

        Raises:
            Undecodable: it is cut off.
        """
        with path.open("rb") as file:
            lengths = _lengths(path, file)
        return cls(path, np.array(lengths, np.float64) / 1000) if lengths else None

    @property
    def times(self) -> Floats:
        """Start of each frame in seconds, shape (N,)."""
        return np.asarray(np.cumsum(self.lengths) - self.lengths)

    @property
    def duration(self) -> float:
        """In seconds."""
        return float(self.lengths.sum())

    def frames(self, picks: Sequence[int]) -> Iterator[VideoFrame]:
        """Some of the frames, by their ascending numbers."""
        try:
            with Image.open(self.path, formats=["WEBP"]) as animation:
                for pick in picks:
                    animation.seek(pick)
                    clear = animation.has_transparency_data
                    shown = animation.convert("RGBA" if clear else "RGB")
                    yield VideoFrame.from_ndarray(np.asarray(shown), "rgba" if clear else "rgb24")
        except _DAMAGED as error:
            raise Undecodable(self.path, f"damaged: {error}") from error


def _lengths(path: Path, file: BinaryIO) -> list[int]:
    """How long each frame is shown, in ms; empty where nothing is animated."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WEBP":
        return []
    end = _HEAD + int.from_bytes(head[4:8], "little")
    first = file.read(_HEAD + 1)
    if first[:4] != b"VP8X" or not first[-1] & _ANIMATED:
        return []
    if path.stat().st_size < end:
        raise Undecodable(path, f"truncated: {path.stat().st_size} of {end} bytes")
    found, place = [], 12
    while place + _HEAD <= end:
        file.seek(place)
        chunk = file.read(_HEAD + 15)
        if chunk[:4] == b"ANMF":
            found.append(int.from_bytes(chunk[_HEAD + 12 : _HEAD + 15], "little") or _NO_LENGTH)
        length = int.from_bytes(chunk[4:_HEAD], "little")
        place += _HEAD + length + length % 2
    return found

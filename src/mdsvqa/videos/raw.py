"""Raw video: pictures one after the other and nothing else, so that somebody has to say how large they are."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from mdsvqa.runtime.arrays import Floats
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable, check_file
from mdsvqa.videos.video import RawFormat

# Sizes as people write them into names: foreman_352x288_30fps.yuv.
_SIZE = re.compile(r"(?<!\d)(\d{2,5})x(\d{2,5})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class RawFilm:
    """A raw video whose format is known.

    Attributes:
        path: of the file.
        format: of its pictures.
        frame_bytes: of one picture.
        count: of the pictures.
    """

    path: Path
    format: RawFormat
    frame_bytes: int
    count: int

    @classmethod
    def open(cls, path: Path, stated: RawFormat | None) -> "RawFilm":
        """Checks a file against its format.

        Raises:
            Undecodable: nobody says the format, or the file does not consist of pictures of it.
        """
        check_file(path)
        if stated is None:
            raise Undecodable(path, no_format(path))
        try:
            frame_bytes = _frame_bytes(stated)
        except (*DECODING_ERRORS, OverflowError) as error:
            raise Undecodable(path, f"raw video: no pictures can be of {stated} ({error})") from error
        size = path.stat().st_size
        if size % frame_bytes or not size:
            raise Undecodable(
                path,
                f"raw video: its {size} bytes are {size / frame_bytes:.2f} pictures of {stated} ({frame_bytes} bytes "
                "each), and should be a whole number of them; correct width, height or pix_fmt in the manifest",
            )
        return cls(path, stated, frame_bytes, size // frame_bytes)

    @property
    def times(self) -> Floats:
        """Start of each picture in seconds, shape (N,)."""
        return np.arange(self.count) / float(self.format.fps)

    @property
    def duration(self) -> float:
        """In seconds."""
        return float(self.count / self.format.fps)

    def frames(self, picks: Sequence[int]) -> Iterator[VideoFrame]:
        """Some of the pictures, by their numbers."""
        decoder = _rawvideo(self.format, "r")
        with self.path.open("rb") as file:
            for pick in picks:
                file.seek(pick * self.frame_bytes)
                yield from decoder.decode(Packet(file.read(self.frame_bytes)))


def no_format(path: Path) -> str:
    """Why a raw video without a format cannot be read, with the FFmpeg line that wraps it."""
    named = _SIZE.search(path.stem)
    size = f"{named[1]}x{named[2]}" if named else "WIDTHxHEIGHT"
    name = path.name.encode("utf-8", "backslashreplace").decode()
    wrapped = f"{Path(name).stem}.nut"
    return (
        "raw video, and nothing says how large its pictures are; give its row of a manifest the columns width, height, "
        "pix_fmt and fps, or wrap it by what you know of it, such as: "
        f"ffmpeg -f rawvideo -video_size {size} -pixel_format yuv420p -framerate 30 -i {shlex.quote(name)} -c copy "
        f"{shlex.quote(wrapped)}"
    )


def _frame_bytes(stated: RawFormat) -> int:
    encoder = _rawvideo(stated, "w")
    encoder.time_base = Fraction(1, 25)
    return sum(packet.size for packet in encoder.encode(VideoFrame(stated.width, stated.height, stated.pix_fmt)))


def _rawvideo(stated: RawFormat, mode: Literal["r", "w"]) -> VideoCodecContext:
    codec = CodecContext.create("rawvideo", mode)
    codec.width, codec.height, codec.pix_fmt = stated.width, stated.height, stated.pix_fmt
    return codec

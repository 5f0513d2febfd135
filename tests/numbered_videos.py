"""Videos whose pictures carry their numbers, so that a test sees which frame came back."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mdsvqa.videos.clip import Clip

BITS = 9


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """A picture of BITS columns, white where the bit of the number is set."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    columns = np.repeat(bits, -(-width // BITS))[:width] * 255
    return np.repeat(np.tile(columns, (height, 1))[..., None], 3, axis=2).astype(np.uint8)


def numbers(clip: Clip) -> list[int]:
    width = clip.frames.shape[3]
    column = -(-width // BITS)
    centres = [min(width - 1, round((bit + 0.5) * column)) for bit in range(BITS)]
    return [sum(int(f[:, :, x].mean() > 127) << bit for bit, x in enumerate(centres)) for f in clip.frames]


def write_video(
    path: Path,
    pts: Sequence[int] = tuple(range(60)),
    *,
    pictures: Sequence[np.ndarray] | None = None,
    codec: str = "libx264",
    size: tuple[int, int] = (72, 48),
    tick: Fraction = Fraction(1, 30),
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    rotation: int = 0,
    colours: tuple[int, int] | None = None,
    sound: bool = False,
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=round(1 / tick) if tick > Fraction(1, 100) else 30, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base, stream.codec_context.gop_size = tick, gop
        if colours is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colours
        if rotation:
            stream.set_display_rotation(rotation)
        audio = out.add_stream("aac", rate=8000) if sound else None
        for number, time in enumerate(pts):
            picture = numbered(number, *size) if pictures is None else pictures[number]
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if colours is not None:
                frame = frame.reformat(format=pix_fmt, dst_colorspace=colours[0], dst_color_range=colours[1])
            frame.pts, frame.time_base = time, tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
            silence.rate = 8000
            out.mux(audio.encode(silence))
            out.mux(audio.encode())
    return path


def corners(size: tuple[int, int]) -> np.ndarray:
    """Grey levels 250, 170, 90, 10 in the corners top left, top right, bottom right, bottom left."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = 250, 170
    picture[height // 2 :, width // 2 :], picture[height // 2 :, : width // 2] = 90, 10
    return picture


def clockwise_corners(clip: Clip) -> list[float]:
    h, w = clip.frames.shape[2] // 4, clip.frames.shape[3] // 4
    f = clip.frames[0].mean(axis=0)
    return [f[h, w], f[h, -w], f[-h, -w], f[-h, w]]

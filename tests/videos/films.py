"""Small videos of any kind, made by code."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame


def flat(level: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A grey picture."""
    return np.full((size[1], size[0], 3), level, np.uint8)


def film(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "ffv1",
    pix_fmt: str = "yuv444p",
    sar: Fraction | None = None,
    format: str = "rgb24",
    **options: str,
) -> Path:
    """A video of these pictures, 10 a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10, options=options)
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if sar is not None:
            stream.codec_context.sample_aspect_ratio = sar
        for number, picture in enumerate(pictures):
            frame = VideoFrame.from_ndarray(picture, format)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def deep_frame(luma: np.ndarray, transfer: int, primaries: int = 9, full: bool = False) -> VideoFrame:
    """A grey 10-bit frame of these code values, shape (H, W), BT.2020 non-constant luminance."""
    height, width = luma.shape
    frame = VideoFrame(width, height, "yuv420p10le")
    for plane, values in zip(frame.planes, (luma, *(np.full((height // 2, width // 2), 512),) * 2), strict=True):
        lines = np.zeros((plane.height, plane.line_size // 2), "<u2")
        lines[:, : plane.width] = values
        plane.update(lines.tobytes())
    frame.color_trc, frame.color_primaries, frame.colorspace = transfer, primaries, 9
    frame.color_range = 2 if full else 1
    return frame


def hdr_film(path: Path, luma: np.ndarray, transfer: int, frames: int = 3) -> Path:
    """A lossless HDR video of one grey picture."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.height, stream.width = luma.shape
        stream.pix_fmt = "yuv420p10le"
        codec = stream.codec_context
        codec.color_trc, codec.color_primaries, codec.colorspace, codec.color_range = transfer, 9, 9, 1
        for number in range(frames):
            frame = deep_frame(luma, transfer)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path

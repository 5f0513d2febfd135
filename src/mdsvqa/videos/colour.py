"""From a decoded frame to the red, green and blue of a picture: scaled, over black, tone-mapped where that is asked."""

from collections.abc import Sequence

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from mdsvqa.videos.about import HDR, PRIMARIES, TRANSFERS
from mdsvqa.videos.tone_mapping import tone_mapped
from mdsvqa.videos.view import PLAIN, View

Channel = NDArray[np.uint8]

# Chroma at full resolution, and the same bytes on every machine. To reduce; areas make blocks where they enlarge.
_FULL = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_FULL_RANGE = 2
_REDUCING, _ENLARGING = Interpolation.AREA | _FULL, Interpolation.BICUBIC | _FULL
# swscale takes its fast converter of YUV where nothing more exact is asked for, as decord and PyAV do not.
_FAST = Interpolation.BICUBIC | Interpolation.BITEXACT


def picture_channels(
    reformatter: VideoReformatter,
    frame: VideoFrame,
    width: int,
    height: int,
    view: View = PLAIN,
    *,
    opaque: bool = False,
) -> Sequence[Channel]:
    """Red, green and blue of a frame, each of shape (height, width).

    By the matrix and range that the frame states (BT.601 when it is silent, as in FFmpeg). What is transparent is seen
    over black.

    Args:
        reformatter: kept from frame to frame.
        frame: any.
        width, height: of the picture, in pixels.
        view: what is done with HDR and chroma.
        opaque: what looks like transparency is none.
    """
    kind = HDR.get(TRANSFERS.get(int(frame.color_trc), ""))
    if kind is not None and view.hdr == "tonemap":
        return _tone_mapped(reformatter, frame, width, height, kind)
    clear = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
    if clear and not opaque:
        return _over_black(reformatter, frame, width, height)
    plainly = view.chroma == "reference"
    if plainly or frame.format.is_rgb or frame.format.has_palette:
        # FFmpeg would scale RGB by way of YUV, makes planar RGB of fewer than 8 bits too dark, and its fast converter
        # does not fill the last columns of planar RGB.
        way = _FAST if plainly else _REDUCING
        rgb = reformatter.reformat(frame, format="rgb24", interpolation=way, threads=1).to_ndarray()
        return _split(_scaled(np.asarray(rgb, np.uint8), width, height))
    # Planar, which FFmpeg writes faster than interleaved RGB, and at the reduced size at once, which spares enlarging
    # chroma to the full size only to reduce it again.
    way = _ENLARGING if width > frame.width or height > frame.height else _REDUCING
    planar = reformatter.reformat(frame, width, height, "gbrp", interpolation=way, threads=1)
    green, blue, red = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, :width]
        for plane in planar.planes
    )
    return red, green, blue


def _split(rgb: NDArray[np.uint8]) -> Sequence[Channel]:
    return [np.asarray(rgb[..., channel], np.uint8) for channel in range(3)]


def _scaled(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if (width, height) == (picture.shape[1], picture.shape[0]):
        return picture
    way = cv2.INTER_CUBIC if width > picture.shape[1] or height > picture.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def _over_black(reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int) -> Sequence[Channel]:
    """Laid over black before it is scaled, so that the colour behind what is transparent bleeds nowhere."""
    rgba = reformatter.reformat(frame, format="rgba", interpolation=_REDUCING, threads=1).to_ndarray()
    alpha = rgba[..., 3:].astype(np.uint16)
    return _split(_scaled(((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8), width, height))


def _tone_mapped(
    reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int, kind: str
) -> Sequence[Channel]:
    way = _ENLARGING if width > frame.width or height > frame.height else _REDUCING
    # By the frame's own matrix to R'G'B' of as many levels as it has, not yet to light.
    deep = reformatter.reformat(frame, width, height, "gbrpf32le", interpolation=way, threads=1)
    green, blue, red = (
        np.frombuffer(memoryview(plane), np.float32).reshape(-1, plane.line_size // 4)[:height, :width]
        for plane in deep.planes
    )
    wide = PRIMARIES.get(int(frame.color_primaries)) != "bt709"
    return list(tone_mapped(np.stack([red, green, blue]) * np.float32(1 / _brightest(frame)), kind, wide))


def _brightest(frame: VideoFrame) -> float:
    """What FFmpeg makes of the brightest code value, where 1 would be right: it widens bits by shifting them."""
    bits = frame.format.components[0].bits
    full = int(frame.color_range) == _FULL_RANGE and not frame.format.is_rgb
    return ((2**bits - 1 << 16 - bits) if full else 255 << 8) / 65535

"""Cropping frames before they are converted: a picture of 8K as RGB alone takes 100 MB."""

from fractions import Fraction
from typing import NamedTuple

from av.filter import Graph
from av.video.frame import VideoFrame

# Conversion interpolates chroma from what lies around; the pixels are those of the whole picture if this much of it
# stays around the part that is wanted, and if the part starts where samples of chroma do.
_MARGIN = 16
_PLANAR = ("yuv4", "yuvj4", "yuva4", "nv12", "p010", "gray")
# By which sizes are to be divisible, or chroma lies between pixels in the whole picture and in the part differently.
_WHOLE = 4


class Part(NamedTuple):
    """A part of a picture in pixels."""

    left: int
    top: int
    width: int
    height: int


class Cropper:
    """Cuts parts out of the frames of a video without copying them."""

    def __init__(self) -> None:
        self._made_for: tuple[object, ...] = ()
        self._graph = Graph()

    def crop(self, frame: VideoFrame, part: Part) -> tuple[VideoFrame, Part]:
        """A smaller frame that holds a part of a frame with what conversion needs around it, or the frame itself.

        Returns:
            The frame, and where the part lies in it.
        """
        left, top = (max(0, side - _MARGIN) // _MARGIN * _MARGIN for side in part[:2])
        width = min(frame.width, part.left + part.width + 2 * _MARGIN) - left
        height = min(frame.height, part.top + part.height + 2 * _MARGIN) - top
        planar = frame.format.name.startswith(_PLANAR)
        if (
            not planar
            or frame.width % _WHOLE
            or frame.height % _WHOLE
            or 2 * width * height > frame.width * frame.height
        ):
            return frame, part
        made_for = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, left, top)
        if made_for != self._made_for:
            self._graph = Graph()
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
            )
            crop = self._graph.add("crop", f"{width}:{height}:{left}:{top}:exact=1")
            sink = self._graph.add("buffersink")
            source.link_to(crop)
            crop.link_to(sink)
            self._graph.configure()
            self._made_for = made_for
        self._graph.push(frame)
        cropped = self._graph.pull()
        assert isinstance(cropped, VideoFrame)
        return cropped, Part(part.left - left, part.top - top, part.width, part.height)

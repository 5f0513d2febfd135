"""Frames of interlaced video as whole pictures, by FFmpeg's bwdif."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.error import EOFError as FFmpegEndError
from av.filter import Graph
from av.video.frame import VideoFrame


def deinterlaced(frames: Iterable[VideoFrame], tick: Fraction) -> Iterator[VideoFrame]:
    """The same number of frames at the same times; those that are not marked as interlaced stay as they are.

    Args:
        frames: of one video, all of them: a field is guessed from the frames before and behind it.
        tick: the unit of their times in seconds.
    """
    filter_ = before = None
    for frame in frames:
        if filter_ is not None and not filter_.takes(frame):
            yield from filter_.rest()
            filter_ = before = None
        # The filter knows few formats: nothing goes through it before the first frame that needs it.
        if filter_ is None and frame.interlaced_frame:
            filter_ = _Filter(frame, tick)
            if before is not None and filter_.takes(before):
                filter_.lead_in(before)
        if filter_ is None:
            yield frame
            before = frame
        else:
            yield from filter_.push(frame)
    if filter_ is not None:
        yield from filter_.rest()


class _Filter:
    """bwdif for frames of one size and format."""

    def __init__(self, first: VideoFrame, tick: Fraction) -> None:
        self._kind, self._tick = _kind(first), tick
        self._graph = Graph()
        self._source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=tick
        )
        bwdif, self._sink = self._graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._graph.add("buffersink")
        self._source.link_to(bwdif)
        bwdif.link_to(self._sink)
        self._graph.configure()
        self._known = 0

    def takes(self, frame: VideoFrame) -> bool:
        return _kind(frame) == self._kind

    def lead_in(self, frame: VideoFrame) -> None:
        """Shows the filter a frame that comes before its first and is not to come out again."""
        self._known = 1
        list(self.push(frame))

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        self._source.push(frame)
        while True:
            try:
                found = self._sink.pull()
            except (BlockingIOError, FFmpegEndError):
                return
            assert isinstance(found, VideoFrame)
            if self._known:
                self._known -= 1
                continue
            # The filter counts in ticks of half the length.
            if found.pts is not None and found.time_base:
                found.pts = round(found.pts * found.time_base / self._tick)
                found.time_base = self._tick
            yield found

    def rest(self) -> Iterator[VideoFrame]:
        return self.push(None)


def _kind(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name

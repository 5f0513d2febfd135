"""The packets of a video, read without decoding: when each frame is shown, and where decoding can start."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable, stated_duration

# Formats whose header states the duration. Others (transport streams, raw streams) let FFmpeg guess it from the
# bytes that are there, which says nothing about bytes that are not.
_STATES_DURATION = ("mov", "matroska", "avi", "flv", "asf")
# A file is whole when this share of the duration it states is there; muxers round, and audio may end later.
WHOLE = 0.95
_USUAL_RATE = Fraction(25)
# Some muxers write thousands of frames a second; a rate of variable frames is off by less than this factor.
_NONSENSE = 4


@dataclass(frozen=True)
class Packets:
    """The packets of a video stream in decoding order, from the first keyframe on.

    Attributes:
        pts: presentation times in ticks, shape (N,); None when the file has none that can be trusted.
        keyframe: where decoding can start, shape (N,).
        times: start of each frame in display order, in seconds from the first, shape (N,), ascending.
        duration: from the start of the first to the end of the last frame, in seconds.
        tick: the unit of pts in seconds.
        rate: mean frames a second that the header states, in Hz; None where it states none, or nonsense.
    """

    pts: Ints | None
    keyframe: Flags
    times: Floats
    duration: float
    tick: Fraction
    rate: float | None = None


class _Stamp(NamedTuple):
    """What is kept of a packet, so that reading a file does not hold it in memory; times in ticks."""

    pts: int | None
    dts: int | None
    length: int
    is_keyframe: bool


def read_packets(path: Path, container: InputContainer, stream: VideoStream) -> Packets:
    """Reads every packet of a video stream and checks that the file is whole.

    Args:
        path: of the file, for messages.
        container, stream: freshly opened; the container is at its end afterwards.

    Raises:
        Undecodable: there are no packets, or less than 95% of the duration that the header states.
    """
    tick = stream.time_base or 1 / _USUAL_RATE
    stamps, end = _demux(container, stream)
    if not stamps:
        raise Undecodable(path, "truncated: the header is there, but no frame")
    frame = 1 / (stream.average_rate or stream.guessed_rate or _USUAL_RATE)
    packets = _index(_from_first_keyframe(stamps), tick, frame, trusted=container.format.name != "avi")
    packets = replace(packets, rate=_stated_rate(stream, len(packets.times) / packets.duration))
    stated = stated_duration(container, stream)
    if stated is not None and container.format.name.startswith(_STATES_DURATION):
        # A container may count its duration from zero and include streams that outlast the video.
        found = packets.duration if stream.duration else max(packets.duration, end)
        if found < WHOLE * stated:
            raise Undecodable(path, f"truncated: {found:.2f} s of the stated {stated:.2f} s are there")
    return packets


def _stated_rate(stream: VideoStream, counted: float) -> float | None:
    """The mean rate of a header, unless it is another one by far than that of the frames that are there."""
    stated = float(_mean_rate(stream) or 0)
    return stated if counted / _NONSENSE < stated < counted * _NONSENSE else None


def _mean_rate(stream: VideoStream) -> Fraction | None:
    return stream.average_rate


def _demux(container: InputContainer, stream: VideoStream) -> tuple[list[_Stamp], float]:
    """Stamps of a stream's packets, and where the last packet of any stream ends in seconds."""
    stamps = []
    end = 0.0
    # Other streams matter only to compare with a duration that covers them too.
    streams = [stream] if stream.duration else list(container.streams)
    try:
        for packet in container.demux(streams):
            length = packet.duration or 0
            if packet.dts is not None and packet.time_base:
                end = max(end, float((packet.dts + length) * packet.time_base))
            # Packets of no size stand for repeated frames; those to discard lie outside the edit list.
            if packet.stream_index == stream.index and packet.size and not packet.is_discard:
                stamps.append(_Stamp(packet.pts, packet.dts, length, packet.is_keyframe))
    except DECODING_ERRORS:
        pass  # what can be read is judged against the stated duration
    return stamps, end


def _from_first_keyframe(stamps: list[_Stamp]) -> list[_Stamp]:
    first = next((number for number, stamp in enumerate(stamps) if stamp.is_keyframe), 0)
    start = stamps[first].pts
    # Frames shown before the first keyframe refer to frames from before the recording.
    return [s for s in stamps[first:] if start is None or s.pts is None or s.pts >= start]


def _index(stamps: list[_Stamp], tick: Fraction, frame: Fraction, trusted: bool) -> Packets:
    keyframe = np.array([stamp.is_keyframe for stamp in stamps])
    shown = [stamp.pts for stamp in stamps if stamp.pts is not None]
    decoded = [stamp.dts for stamp in stamps if stamp.dts is not None]
    # Times that jump back come from recordings joined without care; their order of display is not known.
    if trusted and len(set(shown)) == len(stamps) and decoded == sorted(decoded):
        pts = np.array(shown, dtype=np.int64)
        times = (np.sort(pts) - pts.min()) * float(tick)
        last = stamps[int(pts.argmax())].length * float(tick)
        return Packets(pts, keyframe, times, _end(times, last, float(frame)), tick)
    # AVI has no presentation times, FFmpeg makes them up; its decoding times are slots of constant length.
    if not trusted and len(set(decoded)) == len(stamps):
        times = (np.sort(np.array(decoded, dtype=np.int64)) - min(decoded)) * float(tick)
    else:
        times = np.arange(len(stamps), dtype=np.float64) * np.float64(frame)
    return Packets(None, keyframe, times, _end(times, 0.0, float(frame)), tick)


def _end(times: Floats, last: float, frame: float) -> float:
    """End of the last frame: by its own length, else the mean distance of frames, else the stated rate."""
    if last > 0:
        return float(times[-1] + last)
    return float(times[-1] + (times[-1] / (len(times) - 1) if times[-1] > 0 else frame))

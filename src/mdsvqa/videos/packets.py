"""The packets of a video, read without decoding: when each frame is shown, and where decoding can start."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable, stated_duration
from mdsvqa.videos.time_line import MOST_HELD, is_in_order, usable_rate
from mdsvqa.videos.wholeness import header_seconds, is_cut_off, is_fragmented

# Formats whose header states the duration. Others (transport streams, raw streams) let FFmpeg guess it from the
# bytes that are there, which says nothing about bytes that are not.
_STATES_DURATION = ("mov", "matroska", "avi", "flv", "asf")
# A file is whole when this share of the duration it states is there; muxers round, and audio may end later.
WHOLE = 0.95
_USUAL_RATE = 25.0
# MPEG program streams state the times of few frames, and FFmpeg's for the others go astray: where they contradict each
# other, frames follow one another by their lengths.
_FILLED_IN = "mpeg"
# Some muxers write thousands of frames a second; a rate of variable frames is off by less than this factor.
_NONSENSE = 4


@dataclass(frozen=True)
class Packets:
    """The packets of a video stream in decoding order, from the first keyframe on.

    Attributes:
        pts: presentation times in ticks, shape (N,); None when the file has none, or some are damaged.
        keyframe: where decoding can start, shape (N,).
        shown: whether the frame is shown, shape (N,); a decoder needs others too, as those before an edit begins.
        times: start of each shown frame in display order, in seconds from the first, ascending.
        duration: from the start of the first to the end of the last frame, in seconds.
        tick: the unit of pts in seconds.
        frame: length of a frame in seconds, where nothing else tells.
        stream: index of the stream in its file.
        ordered: whether times are right where as many frames come out; not where time stamps are out of order.
        damaged: frames that are not shown because another one has their time stamp.
        rate: mean frames a second that the header states, in Hz; None where it states none, or nonsense.
    """

    pts: Ints | None
    keyframe: Flags
    shown: Flags
    times: Floats
    duration: float
    tick: Fraction
    frame: float
    stream: int
    ordered: bool = True
    damaged: int = 0
    rate: float | None = None


class _Stamp(NamedTuple):
    """What is kept of a packet, so that reading a file does not hold it in memory; times in ticks."""

    pts: int | None
    dts: int | None
    length: int
    is_keyframe: bool
    is_shown: bool


@dataclass(frozen=True)
class _Reach:
    """Where packets begin and end, in seconds by the clock of their file; nowhere if there are none."""

    start: float = np.inf
    end: float = -np.inf

    @property
    def length(self) -> float:
        return self.end - self.start


def read_packets(path: Path, container: InputContainer, stream: VideoStream) -> Packets:
    """Reads every packet of a video stream and checks that the file is whole.

    Args:
        path: of the file, for messages.
        container, stream: freshly opened; the container is at its end afterwards.

    Raises:
        Undecodable: there are no packets, or less than 95% of what a file that was cut off says of its length.
    """
    stamps, reach = _demux(container, stream)
    if stamps:
        _check_whole(path, container, stream, reach)
    stamps = _from_first_keyframe(stamps)
    shown = np.array([stamp.is_shown for stamp in stamps], bool)
    if not shown.any():
        nothing = "its edit list leaves out every frame" if stamps else "truncated: the header is there, but no frame"
        raise Undecodable(path, nothing)
    slots_only = _knows_slots_only(container, stream)
    tick = stream.time_base or Fraction(1, 90_000)
    frame = _frame_length(stamps, stream, tick)
    edited = shown
    pts, shown = (None, shown) if slots_only else _presentation_times(stamps, shown, stream)
    filled_in = container.format.name == _FILLED_IN and (pts is None or bool((edited & ~shown).any()))
    if filled_in:
        pts, shown = None, edited
    visible = [stamp for stamp, is_shown in zip(stamps, shown, strict=True) if is_shown]
    slots = {stamp.dts for stamp in visible} - {None}
    last = 0.0
    if pts is not None:
        starts = np.sort(pts[shown])
        if container.format.name == "asf" and len(slots) == len(visible):
            # It holds decoding times, from which FFmpeg makes up the others a frame late.
            starts = np.array(sorted(slot for slot in slots if slot is not None), np.int64)
        times = (starts - starts[0]) * float(tick)
        last = visible[int(pts[shown].argmax())].length * float(tick)
    elif slots_only and len(slots) == len(visible):
        # Frames are shown one after the other in the slots of their packets.
        decoded = np.array(sorted(slot for slot in slots if slot is not None), np.int64)
        times = (decoded - decoded[0]) * float(tick)
    elif filled_in:
        lengths = np.array([stamp.length * float(tick) or frame for stamp in visible])
        times, last = np.cumsum(lengths) - lengths, float(lengths[-1])
    else:
        times = np.arange(len(visible), dtype=np.float64) * frame
    return Packets(
        pts=pts,
        keyframe=_starts(stamps, pts),
        shown=shown,
        times=times,
        duration=(duration := end_of(times, last, frame)),
        tick=tick,
        frame=frame,
        stream=stream.index,
        ordered=pts is not None or slots_only or filled_in or all(stamp.pts is None for stamp in visible),
        damaged=int(edited.sum() - shown.sum()),
        rate=_stated_rate(stream, len(times) / duration),
    )


def end_of(times: Floats, last: float, frame: float) -> float:
    """End of the last frame: by its own length, else the mean distance of frames, else the stated rate.

    Args:
        times: start of each frame in seconds, ascending.
        last: length of the last one, 0 where it is not known.
        frame: length of a frame by the stated rate.
    """
    if last > 0:
        return float(times[-1] + last)
    return float(times[-1] + (times[-1] / (len(times) - 1) if times[-1] > 0 else frame))


def _knows_slots_only(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a container has no presentation times, or takes decoding times for them; FFmpeg makes them up."""
    return container.format.name == "avi" or (container.format.name == "asf" and stream.codec_context.has_b_frames)


def _stated_rate(stream: VideoStream, counted: float) -> float | None:
    """The mean rate of a header, unless it is another one by far than that of the frames that are there."""
    stated = float(stream.average_rate or 0)
    return stated if counted / _NONSENSE < stated < counted * _NONSENSE else None


def _frame_length(stamps: list[_Stamp], stream: VideoStream, tick: Fraction) -> float:
    """Length of a frame in seconds, where time stamps do not tell."""
    if all(stamp.pts is None and stamp.length > 0 for stamp in stamps):
        # A raw stream: FFmpeg states 25 frames a second for want of a header, its packets know what the codec says.
        return float(np.median([stamp.length for stamp in stamps]) * float(tick))
    stated = (stream.average_rate, stream.guessed_rate, stream.codec_context.framerate)
    return 1 / (usable_rate(*(float(rate) if rate else None for rate in stated)) or _USUAL_RATE)


def _demux(container: InputContainer, stream: VideoStream) -> tuple[list[_Stamp], _Reach]:
    """Stamps of a stream's packets, and how far those reach that the stated duration is about."""
    stamps: list[_Stamp] = []
    reach: dict[int, tuple[int, int]] = {}
    # What is seen and heard: captions may be meant for longer than there is anything to see.
    heard = [other for other in container.streams if other.type in ("video", "audio")]
    streams = [stream] if _has_own_length(container) else heard
    try:
        for packet in container.demux(streams):
            length = packet.duration or 0
            if packet.dts is not None:
                start, end = reach.get(packet.stream_index, (packet.dts, packet.dts))
                reach[packet.stream_index] = min(start, packet.dts), max(end, packet.dts + length)
            # Packets of no size stand for repeated frames; those to discard lie outside the edit list.
            if packet.stream_index == stream.index and packet.size:
                stamps.append(_Stamp(packet.pts, packet.dts, length, packet.is_keyframe, not packet.is_discard))
    except DECODING_ERRORS:
        pass  # what can be read is judged against the stated duration
    ends = [
        _Reach(float(start * tick), float(end * tick))
        for index, (start, end) in reach.items()
        if (tick := container.streams[index].time_base)
    ]
    nowhere = _Reach()
    return stamps, _Reach(
        min((one.start for one in ends), default=nowhere.start), max((one.end for one in ends), default=nowhere.end)
    )


def _has_own_length(container: InputContainer) -> bool:
    """Whether the length of each stream is stated, and not only that of the longest."""
    return container.format.name.startswith(("mov", "avi"))


def _check_whole(path: Path, container: InputContainer, stream: VideoStream, reach: _Reach) -> None:
    """Compares what was read with what the file says of its length, where that means something."""
    name, index = container.format.name, stream.index_entries
    if not name.startswith(_STATES_DURATION) or reach.length < 0:
        return
    stated = found = 0.0
    if name.startswith("mov") and len(index) and not is_fragmented(path):
        # The index lists every frame, whatever lengths stand elsewhere.
        found = reach.length
        stated = float((index[-1].timestamp - index[0].timestamp) * (stream.time_base or 0))
    elif is_cut_off(path, name):
        stated = max(stated_duration(container, stream) or 0.0, header_seconds(path, name))
        # Headers count from the start of the clock, unless that is longer ago than they say.
        found, stated = reach.length, stated - max(0.0, reach.start if reach.start < stated else 0.0)
    if found < WHOLE * stated:
        raise Undecodable(path, f"truncated: {found:.2f} s of the stated {stated:.2f} s are there")


def _from_first_keyframe(stamps: list[_Stamp]) -> list[_Stamp]:
    first = next((number for number, stamp in enumerate(stamps) if stamp.is_keyframe), 0)
    stamps = stamps[first:]
    start = stamps[0].pts if stamps else None
    # Frames shown before the first keyframe refer to frames from before the recording. More of them than a codec
    # reorders mean that the keyframe's time is damaged.
    kept = [s for s in stamps if start is None or s.pts is None or s.pts >= start]
    return kept if len(stamps) - len(kept) <= MOST_HELD else stamps


def _presentation_times(stamps: list[_Stamp], shown: Flags, stream: VideoStream) -> tuple[Ints | None, Flags]:
    """Presentation times, None where they need a look at the frames; and which frames have one of their own."""
    times = [stamp.pts for stamp in stamps if stamp.pts is not None]
    decoded = [stamp.dts for stamp in stamps if stamp.dts is not None]
    # Times that jump back come from recordings joined without care; their order of display is not known.
    if len(times) < len(stamps) or decoded != sorted(decoded):
        return None, shown
    pts = np.array(times, np.int64)
    visible = np.flatnonzero(shown)
    own = visible[np.sort(np.unique(pts[visible], return_index=True)[1])]
    tick = float(stream.time_base or 0)
    reorders = stream.codec_context.has_b_frames
    if len(own) < WHOLE * len(visible) or not is_in_order(pts[own], tick, reorders):
        return None, shown
    return pts, np.isin(np.arange(len(pts)), own)


def _starts(stamps: list[_Stamp], pts: Ints | None) -> Flags:
    """Where decoding can start: at keyframes that are found by their time."""
    keyframe = np.array([stamp.is_keyframe for stamp in stamps], bool)
    if pts is not None:
        _, places, times = np.unique(pts, return_inverse=True, return_counts=True)
        keyframe &= times[places] == 1
    return keyframe

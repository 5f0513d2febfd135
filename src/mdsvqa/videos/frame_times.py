"""Which frames of a video a model sees, and how large. Pure functions on timestamps and sizes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.videos.view import PLAIN, View

# Containers such as WebM and FLV round timestamps to 1 ms: the frame of 66.67 ms says 67.
_TIMESTAMP_ROUNDING = 1e-3
# What a seek costs besides the packets it spares, in packets.
_SEEK_COST = 8
# Side of the blocks that most codecs transform, in pixels.
GRID = 8
_LIMITS_OF_SIZE = ("longest_side", "shortest_side", "most_pixels")


@dataclass(frozen=True)
class Sampling:
    """Frames to take from a video; exactly one of frames and rate, at most one limit of size.

    Attributes:
        frames: how many, at the centres of as many equal parts of the duration.
        rate: per second of video, at 0, 1/rate, 2/rate, ... seconds.
        spread: of a rate: take as many frames as it gives, an even number, at equal distances by their numbers from the
            first to the last one; see `spread_frames`.
        at_least, at_most: frames that a rate may give; where it would give fewer or more, that many are taken, as by
            `frames` or spread.
        longest_side, shortest_side: in pixels; larger pictures are reduced to it, smaller ones stay.
        most_pixels: width times height; larger pictures are reduced until they do not exceed it.
        window: in pixels; of larger pictures the square of this side at the centre is kept, see `centre`.
        sar: square gives pictures square pixels, stored leaves them as they are in the file: for artefacts, which
            scaling hides.
        view: what is done with HDR and interlaced pictures.
    """

    frames: int | None = None
    rate: float | None = None
    spread: bool = False
    at_least: int | None = None
    at_most: int | None = None
    longest_side: int | None = None
    shortest_side: int | None = None
    most_pixels: int | None = None
    window: int | None = None
    sar: Literal["square", "stored"] = "square"
    view: View = PLAIN

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.rate is None):
            raise ValueError(
                f"found a sampling of {self.frames} frames and {self.rate} frames a second; expected one of both."
            )
        for name in ("spread", "at_least", "at_most"):
            if getattr(self, name) and self.rate is None:
                raise ValueError(f"found {name} {getattr(self, name)} beside frames; expected it beside a rate only.")
        limits = [name for name in _LIMITS_OF_SIZE if getattr(self, name) is not None]
        if len(limits) > 1:
            raise ValueError(f"found a {' and a '.join(limits)}; expected one of them at most.")
        for name in ("frames", "rate", "at_least", "at_most", "window", *_LIMITS_OF_SIZE):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"found {name} {value}; expected a number above 0.")


def pick_frames(times: Floats, duration: float, sampling: Sampling, mean_rate: float | None = None) -> NDArray[np.intp]:
    """Indices of the frames on screen at the wanted times: the last frame that starts at or before each.

    A frame that starts up to 1 ms late counts as on time. A frame on screen at several wanted times is taken once,
    so a video with fewer frames than wanted gives fewer.

    Args:
        times: start of each frame in seconds from the first, shape (N,), ascending, N >= 1.
        duration: from the start of the first to the end of the last frame, in seconds.
        sampling: what is wanted.
        mean_rate: that the file states, in Hz, for `Sampling.spread`; None for frames over duration.

    Returns:
        Ascending unique indices into times, at least one.

    >>> times = np.array([0.0, 0.1, 0.2, 0.9])
    >>> pick_frames(times, 1.0, Sampling(frames=4)).tolist()
    [1, 2]
    >>> pick_frames(times, 1.0, Sampling(rate=2)).tolist()
    [0, 2]
    >>> pick_frames(np.arange(100) / 10, 10.0, Sampling(rate=2, at_most=4)).tolist()
    [12, 37, 62, 87]
    >>> pick_frames(np.arange(10) / 10, 1.0, Sampling(rate=2, at_least=4)).tolist()
    [1, 3, 6, 8]
    """
    if sampling.frames is not None:
        return _at_centres(times, duration, sampling.frames)
    assert sampling.rate is not None
    if sampling.spread:
        return spread_frames(len(times), mean_rate or len(times) / duration, sampling)
    # By frame, not by wanted time: a damaged timestamp can make a video of hours out of seconds.
    starts = times - _TIMESTAMP_ROUNDING
    ends = np.append(starts[1:], duration - _TIMESTAMP_ROUNDING)
    first_wanted = np.maximum(0, np.ceil(starts * sampling.rate))
    picks = np.flatnonzero(first_wanted < ends * sampling.rate)
    if sampling.at_most is not None and len(picks) > sampling.at_most:
        return _at_centres(times, duration, sampling.at_most)
    if sampling.at_least is not None and len(picks) < sampling.at_least:
        return _at_centres(times, duration, sampling.at_least)
    return picks if len(picks) else np.array([0])


def spread_frames(count: int, mean_rate: float, sampling: Sampling) -> NDArray[np.intp]:
    """Indices of frames at equal distances by number, the first and the last among them.

    Args:
        count: of the frames of a video.
        mean_rate: of them, in Hz.
        sampling: its rate and limits say how many of them; the result is even, but for a video of one frame.

    Source: the inference of Zou et al. (2026): `smart_nframes` of its package of utilities, and what follows it.

    >>> spread_frames(30, 30.0, Sampling(rate=2, spread=True, at_least=4)).tolist()
    [0, 10, 19, 29]
    >>> spread_frames(40, 5.0, Sampling(rate=2, spread=True)).tolist()
    [0, 3, 5, 8, 10, 13, 16, 18, 21, 23, 26, 29, 31, 34, 36, 39]
    """
    assert sampling.rate is not None
    # In the order of the reference: another one may end just below an even number.
    wanted = max(count / mean_rate * sampling.rate, sampling.at_least or 0)
    even = int(min(wanted, sampling.at_most or count, count)) // 2 * 2
    return np.linspace(0, count - 1, max(even, min(count, 2))).round().astype(np.intp)


def _at_centres(times: Floats, duration: float, parts: int) -> NDArray[np.intp]:
    """Indices of the frames on screen at the centres of equal parts of the duration, each once."""
    wanted = (np.arange(parts) + 0.5) * (duration / parts)
    on_screen = np.searchsorted(times, wanted + _TIMESTAMP_ROUNDING, side="right") - 1
    return np.unique(np.clip(on_screen, 0, len(times) - 1))


def reduced_size(width: int, height: int, sampling: Sampling) -> tuple[int, int]:
    """Width and height of a picture after sampling, in the same proportion, never larger.

    >>> reduced_size(1920, 1080, Sampling(frames=1, longest_side=512))
    (512, 288)
    >>> reduced_size(320, 240, Sampling(frames=1, shortest_side=512))
    (320, 240)
    >>> reduced_size(1920, 1080, Sampling(rate=2, most_pixels=602_112))  # 600,754
    (1034, 581)
    """
    if sampling.most_pixels is not None:
        if width * height <= sampling.most_pixels:
            return width, height
        scale = math.sqrt(sampling.most_pixels / (width * height))
        # Rounded down, and no line thinner than a pixel: then nothing can exceed the limit.
        height = min(max(1, int(height * scale)), sampling.most_pixels)
        return min(max(1, int(width * scale)), sampling.most_pixels // height), height
    scale = 1.0
    if sampling.longest_side is not None:
        scale = min(1.0, sampling.longest_side / max(width, height))
    if sampling.shortest_side is not None:
        scale = min(1.0, sampling.shortest_side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def centre(side: int, window: int | None) -> slice:
    """The part of a picture's side that a window at its centre keeps.

    It begins at a multiple of `GRID`, so that the blocks of a codec lie in the window as they do in the picture.

    >>> centre(1080, 960), centre(720, 960)
    (slice(56, 1016, None), slice(0, 720, None))
    """
    if window is None or side <= window:
        return slice(0, side)
    first = (side - window) // 2 // GRID * GRID
    return slice(first, first + window)


def frames_asked(duration: float, sampling: Sampling) -> int:
    """How many frames a sampling asks for out of a video that has them.

    >>> frames_asked(10.0, Sampling(rate=2, at_most=16))
    16
    """
    if sampling.frames is not None:
        return sampling.frames
    assert sampling.rate is not None
    asked = max(1, math.ceil(duration * sampling.rate), sampling.at_least or 0)
    return min(asked, sampling.at_most or asked)


def decode_runs(pts: Ints, keyframe: Flags, shown: Flags, wanted: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Cuts the packets of a video into the runs that must be decoded, where seeking in between spares packets.

    Args:
        pts: presentation time of each packet in ticks, in decoding order, shape (N,).
        keyframe: whether decoding can start at the packet, shape (N,).
        shown: whether its frame is shown, shape (N,); times of those are unique.
        wanted: presentation times to reach, ascending, each of a packet that is shown.

    Returns:
        For each run the packet to start at, 0 or a keyframe, and the wanted times to reach in it.

    >>> pts, keyframe = np.arange(100), np.arange(100) % 10 == 0
    >>> decode_runs(pts, keyframe, np.ones(100, bool), [3, 12, 55])
    [(0, [3, 12]), (50, [55])]
    """
    keyframes = np.flatnonzero(keyframe)
    packet_of = dict(zip(pts[shown].tolist(), np.flatnonzero(shown).tolist(), strict=True))
    runs: list[tuple[int, list[int]]] = [(0, [])]
    reached = 0
    for time in wanted:
        packet = packet_of[time]
        # A keyframe that is shown later than the wanted frame is of no use: frames before it need older ones.
        usable = keyframes[(keyframes <= packet) & (pts[keyframes] <= time)]
        start = int(usable[-1]) if len(usable) else 0
        if start - reached > _SEEK_COST:
            runs.append((start, []))
        runs[-1][1].append(time)
        reached = packet
    return [run for run in runs if run[1]]

"""From the time stamps of a video's frames, good and bad ones, to when each is shown. Pure functions on numbers."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats, Ints

# Frames in a row whose stamps are taken for damaged; more are taken for a part that was joined on.
_FEW = 3
# A step of the stamps is no pause of the picture if it is longer than this in seconds, than all usual steps together,
# and than many of them.
_LONG, _MANY = 60.0, 10
# Frames that a codec can hold back: those of the longest run of B-frames, or of the largest buffer (ITU-T H.264, A.3).
MOST_HELD = 16
# More frames a second than cameras write; what stands in a header above that is the unit of its time stamps.
_MOST_RATE = 480.0


@dataclass(frozen=True)
class TimeLine:
    """When the frames of a video are shown.

    Attributes:
        times: start of each frame in display order, in seconds from the first, shape (N,), ascending; NaN of a frame
            whose stamp is damaged.
        duration: from the start of the first to the end of the last frame, in seconds.
        jumps: of the time stamps, whose gaps are closed.
        counted: whether the stamps are of no use, and frames are taken to be equally long.
    """

    times: Floats
    duration: float
    jumps: int = 0
    counted: bool = False

    @property
    def good(self) -> Flags:
        """Whether each frame has a place in time, shape (N,)."""
        return ~np.isnan(self.times)

    @property
    def damaged(self) -> int:
        """Frames without a place in time."""
        return int(np.isnan(self.times).sum())


def time_line(stamps: Sequence[int | None], tick: float, frame: float) -> TimeLine:
    """The time line of frames in the order in which they are shown.

    A stamp that is missing, repeated, out of order or far off costs its frame. Where the stamps jump and go on from
    there, as in recordings that were joined, the parts follow each other. Frames are counted where there is no order
    in most of the stamps.

    Args:
        stamps: of each frame in ticks, None where it has none, at least one frame.
        tick: in seconds.
        frame: length of a frame in seconds, where the stamps are too few to tell.

    >>> time_line([0, 1, 1, 3, 2, 5, 9000, 7], 1.0, 1.0).good.tolist()
    [True, True, False, True, False, True, False, True]
    >>> time_line([0, 1, 2, 3, 4, 0, 1, 2, 3, 4], 1.0, 1.0).times.tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    """
    numbers = np.array([number for number, stamp in enumerate(stamps) if stamp is not None], np.intp)
    known = np.array([stamp for stamp in stamps if stamp is not None], np.int64)
    times = np.full(len(stamps), np.nan)
    if 2 * len(known) >= len(stamps):
        times[numbers], step, jumped = _placed(known * np.float64(tick), frame)
        good = times[~np.isnan(times)]
        if 2 * len(good) > len(stamps):
            return TimeLine(times - good[0], float(good[-1] - good[0] + step), jumped)
    steps = np.diff(np.unique(known)) * np.float64(tick)
    if 2 * len(steps) >= len(stamps):
        mean = float(steps[steps <= _MANY * np.median(steps)].mean())
        frame = mean if usable_rate(1 / mean) else frame
    return TimeLine(np.arange(len(stamps)) * np.float64(frame), len(stamps) * frame, counted=True)


def jumps(steps: Floats) -> Flags:
    """Which steps between frames, in seconds, are too long for a pause of the picture.

    >>> jumps(np.array([1.0, 1.0, 3600.0, 1.0])).tolist()
    [False, False, True, False]
    >>> jumps(np.array([120.0, 120.0, 120.0])).tolist()
    [False, False, False]
    """
    return steps > _longest_pause(steps)


def _longest_pause(steps: Floats) -> float:
    forward = steps[steps > 0]
    if not len(forward):
        return _LONG
    return max(_LONG, float(forward[forward <= _LONG].sum()), _MANY * float(np.median(forward)))


def is_in_order(pts: Ints, tick: float, reorders: bool) -> bool:
    """Whether presentation times can be those of frames in this order of decoding, and leave no gap for a jump.

    Args:
        pts: of the packets in decoding order, unique, shape (N,).
        tick: in seconds.
        reorders: whether frames may be shown in another order than they are decoded in.
    """
    if not reorders:
        return bool((np.diff(pts) > 0).all()) and not jumps(np.diff(pts) * tick).any()
    order = np.argsort(pts)
    moved = np.empty(len(pts), np.int64)
    moved[order] = np.arange(len(pts))
    moved -= np.arange(len(pts))
    return bool(np.abs(moved).max() <= MOST_HELD) and not jumps(np.diff(pts[order]) * tick).any()


def usable_rate(*stated: float | None) -> float | None:
    """The first of some frame rates that can be one.

    >>> usable_rate(None, 1000.0, 29.97)
    29.97
    """
    return next((rate for rate in stated if rate and 0 < rate <= _MOST_RATE), None)


def _placed(times: Floats, frame: float) -> tuple[Floats, float, int]:
    """Times in ascending order, NaN where one is damaged; the usual step; and how often they jump."""
    steps = np.diff(times)
    pause = _longest_pause(steps)
    usual = steps[(steps > 0) & (steps <= pause)]
    step = float(np.median(usual)) if len(usual) else frame
    # Ends of the runs within which every stamp is later than the one before, and none jumps.
    ends = [*(np.flatnonzero((steps <= 0) | (steps > pause)) + 1).tolist(), len(times)]
    placed = times.astype(np.float64)
    kept = list(range(ends[0]))
    shift, jumped = 0.0, 0
    for start, end in itertools.pairwise(ends):
        placed[start:end] += shift
        first, last = placed[start], placed[kept[-1]]
        short = end - start <= _FEW
        early = int(np.searchsorted(placed[start:end], last, side="right"))
        late = sum(placed[number] >= first for number in kept[-_FEW - 1 :])
        lone = short and (end == len(times) or 0 < times[end] + shift - last <= pause)
        if 0 < first - last <= pause:
            taken = start
        elif first > last and lone:
            taken = end
        elif first <= last and late <= _FEW and late < early:
            placed[kept[-late:]] = np.nan
            del kept[-late:]
            taken = start
        elif first <= last and early <= _FEW:
            taken = start + early
        else:
            moved = last + step - first
            placed[start:end] += moved
            shift, jumped, taken = shift + moved, jumped + 1, start
        placed[start:taken] = np.nan
        kept += range(taken, end)
    return placed, step, jumped

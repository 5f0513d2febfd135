"""One play of a clip as the browser tells of it, and whether a vote may follow it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mdsvqa.study.labeling import LabelingSettings

Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**8)]
Pixels = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
# A browser may not report the last two pictures, and rounds the time of the last one that it does.
_LAST_FRAMES = 3
_ALMOST_WHOLE = 0.9


class Play(BaseModel):
    """What was measured while a clip played.

    Attributes:
        side: 0 for the clip, or the first of two; 1 for the second.
        reached: time of the last picture on screen, in seconds from the start of the clip.
        total, dropped: pictures, as the browser counts them.
        stalled: seconds in which it waited for data, at the longest.
        stalls: how often.
        hidden: seconds in which the page was not visible.
        watching: seconds from the first picture to the end.
        delay: seconds from the wish to play to the first picture.
        shown_width, shown_height: of the picture on the screen, in device pixels.
        window_width, window_height: of the window, in device pixels.
        ratio: device pixels for a CSS pixel.
        fullscreen: whether the browser showed nothing else.
        streamed: not played from memory.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    side: Annotated[int, Field(ge=0, le=1)] = 0
    reached: Seconds
    total: Count
    dropped: Count
    stalled: Seconds = 0.0
    stalls: Count = 0
    hidden: Seconds = 0.0
    watching: Seconds
    delay: Seconds = 0.0
    shown_width: Pixels
    shown_height: Pixels
    window_width: Pixels = 0.0
    window_height: Pixels = 0.0
    ratio: Annotated[float, Field(gt=0, le=20, allow_inf_nan=False)] = 1.0
    fullscreen: bool = False
    streamed: bool = False


def was_whole(play: Play, duration: float, frames: int) -> bool:
    """Whether the pictures of a clip advanced to its end.

    Args:
        duration, frames: of the clip.

    >>> shown = {"dropped": 0, "watching": 8.1, "shown_width": 640, "shown_height": 360}
    >>> was_whole(Play(reached=7.96, total=200, **shown), 8.0, 200)
    True
    >>> was_whole(Play(reached=4.0, total=100, **shown), 8.0, 200)
    False
    """
    frame = duration / max(frames, 1)
    return play.reached >= duration - max(_LAST_FRAMES * frame, 0.15) and play.total >= _ALMOST_WHOLE * frames


def disturbances(play: Play, duration: float, settings: LabelingSettings) -> list[str]:
    """Why the vote of a play does not count: any of stalled, dropped, hidden, slow."""
    found = {
        "stalled": play.stalled > settings.most_stall,
        "dropped": play.dropped > settings.most_dropped * max(play.total, 1),
        "hidden": play.hidden > 0,
        "slow": play.watching > settings.most_watching * duration + 0.1,
    }
    return [name for name, is_so in found.items() if is_so]

"""What workers of a cluster are given in tests: numbers in place of videos, and deaths in stated places."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mdsvqa.models.base import Score
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits
from mdsvqa.models.vlm.table_scoring import reading
from mdsvqa.runtime.windows import Work


def load(marks: Path, *, dies_on: int | None = None, dies_once_on: int | None = None, together: int = 0) -> Any:
    """A model that doubles numbers.

    Args:
        marks: folder; each window leaves a file in it that says who did it.
        dies_on: a number that kills whoever is at it.
        dies_once_on: a number that kills the first who is at it.
        together: processes that have loaded it before the first begins.
    """
    (marks / f"loaded by {os.getpid()}").touch()

    def finish(items: Sequence[int], prepared: Sequence[int], progress: Callable[[int], None]) -> list[int]:
        (marks / f"{items[0]}-{len(items)}-{os.getpid()}-{time.time_ns()}").touch()
        _wait_for(marks, together)
        for item in items:
            killed = marks / f"killed by {item}"
            if item == dies_on or (item == dies_once_on and not killed.exists()):
                killed.touch()
                os._exit(9)
        return [2 * number - item for item, number in zip(items, prepared, strict=True)]

    return Work(doubled, negative, finish, {"model": "doubling"}, "it only doubles")


def _wait_for(marks: Path, processes: int) -> None:
    ends = time.monotonic() + 60
    while len(list(marks.glob("loaded by *"))) < processes and time.monotonic() < ends:
        time.sleep(0.01)


class Three:
    """Scores every clip 3, and dies of one."""

    def __init__(self, deadly: str) -> None:
        self.sight = VisualLimits(frames=1, rate=None, most_pixels=56 * 56, fewest_pixels=56 * 56)
        self.deadly = deadly

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        """One `Score` a clip."""
        if self.deadly in {clip.id for clip in clips}:
            os._exit(9)
        return [Score(clip.id, 3.0) for clip in clips]


def three(deadly: str) -> Any:
    """A quality model that dies of one video."""
    return reading(Three(deadly), {"step": "scores", "model": "three"})


def doubled(item: int) -> int:
    """Of 1000 and beyond it kills its process, and without it, says so."""
    if item >= 1000:
        os._exit(8)
    return item + 0


def negative(item: int) -> int:
    """In place of a number that killed the process that prepared it."""
    return 0


def lost(item: int) -> int:
    """In place of what a worker makes of a number that kills it."""
    return -1


def refuses(error: Exception) -> Any:
    """No model."""
    raise error


def dies() -> Any:
    """No model either."""
    os._exit(7)


def of_its_own(marks: Path) -> Any:
    """A model that is another one in each process."""
    return replace(load(marks, together=2), maker={"weights": str(os.getpid())})

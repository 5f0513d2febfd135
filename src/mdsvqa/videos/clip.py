"""A video as every model sees it: sampled frames in memory, with the time of each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdsvqa.runtime.arrays import Floats
from mdsvqa.videos.about import NOTHING, About


@dataclass(frozen=True)
class Clip:
    """Frames sampled from one video.

    Attributes:
        id: of the video, unique in its manifest.
        frames: uint8 RGB, shape (T, 3, H, W), T >= 1.
        timestamps: seconds from the start of the video, shape (T,), ascending.
        fps: mean frame rate of the file in Hz, None when the file does not say.
        duration: of the file in seconds, None when the file does not say.
        about: the file, and what its pictures are.
        note: what was unusual about the file and what was done about it, None where nothing was.
    """

    id: str
    frames: NDArray[np.uint8]
    timestamps: Floats
    fps: float | None = None
    duration: float | None = None
    about: About = NOTHING
    note: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What is known of the file, as a row of a result has it."""
        return {**self.about.columns, "note": self.note}

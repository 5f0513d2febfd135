"""BRISQUE (Mittal et al., 2012), a quality model of pictures, over the frames of a video.

Needs `pip install brisque==0.2.0` (Apache-2.0); its model is bundled. Runs on the CPU.

    PYTHONPATH=examples mdsvqa run examples/brisque_metric.yaml
"""

from collections.abc import Sequence
from typing import Any

import brisque
import numpy as np

from mdsvqa.models.base import Score
from mdsvqa.videos.clip import Clip


class _Brisque(brisque.BRISQUE):
    def scale_features(self, features: Any) -> Any:
        """Variances come as arrays of one number, which numpy from 2.4 on does not take for one."""
        return super().scale_features([np.asarray(feature).item() for feature in features])


class BrisqueMetric:
    """Mean of BRISQUE over the frames: 0 (best) to 100 becomes 5 to 1."""

    def __init__(self) -> None:
        self._metric = _Brisque(url=False)

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """One score a clip."""
        found = [np.mean([self._metric.score(frame.transpose(1, 2, 0)) for frame in clip.frames]) for clip in clips]
        return [Score(clip.id, float(np.clip(5 - value / 25, 1, 5))) for clip, value in zip(clips, found, strict=True)]

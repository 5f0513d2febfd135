"""A no-reference metric of pyiqa (IQA-PyTorch) by its name, over the frames of a video.

Needs `pip install pyiqa==0.1.16` (PolyForm Noncommercial; the metrics' own licences differ). Weights are fetched when a
metric is made for the first time. PYIQA_METRIC in the environment is one of `pyiqa.list_models("NR")`:

    PYIQA_METRIC=musiq PYTHONPATH=examples mdsvqa run examples/pyiqa_metric.yaml
"""

import os
import re
from collections.abc import Sequence

import numpy as np
import pyiqa
import torch

from mdsvqa.models.base import Score
from mdsvqa.videos.clip import Clip

# In ranges such as "0, 100"; "0, ~" is open.
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class PyiqaMetric:
    """Mean of a metric over the frames, its range stretched to 1-5; upside down where lower is better."""

    def __init__(self) -> None:
        name = os.environ.get("PYIQA_METRIC", "musiq")
        self._metric = pyiqa.create_metric(name)
        ends = [float(found) for found in _NUMBER.findall(str(self._metric.score_range))]
        if self._metric.metric_mode != "NR" or len(ends) != 2:
            raise ValueError(f"{name}: expected a no-reference metric with two ends of its range; choose another")
        self._low, self._high = ends

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """One score a clip."""
        return [Score(clip.id, self._stretched(self._mean(clip))) for clip in clips]

    def _mean(self, clip: Clip) -> float:
        # A frame at a time: they may be large.
        frames = (torch.from_numpy(frame)[None].float() / 255 for frame in clip.frames)
        return float(np.mean([float(self._metric(frame).mean()) for frame in frames]))

    def _stretched(self, value: float) -> float:
        share = float(np.clip((value - self._low) / (self._high - self._low), 0, 1))
        return 1 + 4 * (1 - share if self._metric.lower_better else share)

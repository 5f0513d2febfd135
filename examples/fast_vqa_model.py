"""FAST-VQA (Wu et al., ECCV 2022): quality from fragments of the frames.

Needs a clone of github.com/VQAssessment/FAST-VQA-and-FasterVQA (MIT) with `pip install -r requirements.txt` and
`pip install -e .`; its code says np.int, so numpy below 1.24, in an environment of its own with mdsvqa beside it.
Weights: FAST_VQA_B_1_4.pth of its release v2.0.0, saved as pretrained_weights/FAST_VQA_B_1*4.pth. Sampling,
normalisation and rescaling are those of its vqa.py. The study asks for more frames than a video has: all of them.

    FAST_VQA=path/to/clone PYTHONPATH=examples mdsvqa run examples/fast_vqa_model.yaml
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from fastvqa.datasets import SampleFrames, get_spatial_fragments
from fastvqa.models import DiViDeAddEvaluator

from mdsvqa.models.base import Score
from mdsvqa.videos.clip import Clip

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
# Mean and deviation of its raw scores.
CENTRE, SPREAD = -0.110198185, 0.04178565


class FastVqaModel:
    """Its score, 0 to 1, as 1 to 5."""

    def __init__(self) -> None:
        folder = Path(os.environ["FAST_VQA"])
        options = yaml.safe_load((folder / "options" / "fast" / "fast-b.yml").read_text())
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._view = options["data"]["val-kv1k"]["args"]["sample_types"]["fragments"]
        self._model = DiViDeAddEvaluator(**options["model"]["args"]).to(self._device)
        weights = torch.load(folder / options["test_load_path"], map_location=self._device)
        self._model.load_state_dict(weights["state_dict"])

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """One score a clip."""
        return [Score(clip.id, 1 + 4 * self._rescaled(torch.from_numpy(clip.frames))) for clip in clips]

    def _rescaled(self, frames: torch.Tensor) -> float:
        view = self._view
        taken = SampleFrames(clip_len=view["clip_len"], num_clips=view["num_clips"])(len(frames))
        seen = get_spatial_fragments(frames[taken].permute(1, 0, 2, 3).float(), **view)
        seen = (seen - MEAN.view(3, 1, 1, 1)) / STD.view(3, 1, 1, 1)
        pieces = seen.unflatten(1, (view["num_clips"], -1)).transpose(0, 1).to(self._device)
        raw = float(self._model({"fragments": pieces}).mean())
        return 1 / (1 + math.exp(-(raw - CENTRE) / SPREAD))

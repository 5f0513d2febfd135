"""DOVER (Wu et al., ICCV 2023): technical and aesthetic quality, fused.

Needs a clone of github.com/QualityAssessment/DOVER (S-Lab License 1.0: non-commercial) with `pip install -e .`, which
asks for torch 1.13: an environment of its own, with mdsvqa beside it. Weights: DOVER.pth of its release v0.1.0 in
pretrained_weights/. Views, normalisation and fusion are those of its evaluate_one_video.py. The study asks for more
frames than a video has: that is all of them, which its sampler counts.

    DOVER=path/to/DOVER PYTHONPATH=examples mdsvqa run examples/dover_model.yaml
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from dover.datasets import UnifiedFrameSampler
from dover.datasets.dover_datasets import get_single_view
from dover.models import DOVER

from mdsvqa.models.base import Score
from mdsvqa.videos.clip import Clip

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


class DoverModel:
    """Its fused score, 0 to 1, as 1 to 5."""

    def __init__(self) -> None:
        folder = Path(os.environ["DOVER"])
        options = yaml.safe_load((folder / "dover.yml").read_text())
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._views = options["data"]["val-l1080p"]["args"]["sample_types"]
        self._model = DOVER(**options["model"]["args"]).to(self._device)
        self._model.load_state_dict(torch.load(folder / options["test_load_path"], map_location=self._device))

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """One score a clip."""
        return [Score(clip.id, 1 + 4 * self._fused(torch.from_numpy(clip.frames))) for clip in clips]

    def _fused(self, frames: torch.Tensor) -> float:
        views = {}
        for name, view in self._views.items():
            length, parts, clips = view["clip_len"], view.get("t_frag"), view["num_clips"]
            pieces = (length // parts, parts) if parts else (length, clips)
            taken = UnifiedFrameSampler(*pieces, view["frame_interval"], clips if parts else 1)(len(frames))
            seen = get_single_view(frames[taken].permute(1, 0, 2, 3).float(), name, **view)
            seen = (seen - MEAN.view(3, 1, 1, 1)) / STD.view(3, 1, 1, 1)
            views[name] = seen.unflatten(1, (clips, -1)).transpose(0, 1).to(self._device)
        technical, aesthetic = (float(found.mean()) for found in self._model(views))
        fused = (technical - 0.1107) / 0.07355 * 0.6104 + (aesthetic + 0.08285) / 0.03774 * 0.3896
        return 1 / (1 + math.exp(-fused))

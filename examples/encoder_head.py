"""A model of one's own that fine-tunes itself: a small PyTorch head on the features of a frozen encoder.

The encoder is mdsvqa's own: put yours into `features`. Each round calls `finetune` with all labels so far.

    PYTHONPATH=examples mdsvqa run examples/encoder_head.yaml
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mdsvqa.models.base import Score
from mdsvqa.models.encoders.handcrafted import encode_frames
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, decode_all
from mdsvqa.videos.video import Video

FRAMES, EPOCHS = 4, 150


def features(clip: Clip) -> Tensor:
    """Mean and deviation over the frames."""
    found = torch.from_numpy(encode_frames(clip.frames))
    return torch.cat([found.mean(0), found.std(0, correction=0)])


class EncoderHead:
    """Scores between 1 and 5; an untrained head until `finetune`."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self._head = nn.Sequential(nn.LazyLinear(64), nn.Tanh(), nn.Linear(64, 1))

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """One score a clip."""
        with torch.no_grad():
            found = 1 + 4 * torch.sigmoid(self._head(torch.stack([features(clip) for clip in clips]))[:, 0])
        return [Score(clip.id, value) for clip, value in zip(clips, found.tolist(), strict=True)]

    def finetune(self, videos: Sequence[Video], folder: Path) -> "EncoderHead":
        """A new head: the logistic loss on pairs within a data set, since MOS of two are not comparable."""
        pairs = [(v, c) for v, c in decode_all(videos, Sampling(frames=FRAMES), 1) if isinstance(c, Clip)]
        seen = torch.stack([features(clip) for _, clip in pairs])
        mos = torch.tensor([video.mos for video, _ in pairs])
        sets = np.array([video.dataset for video, _ in pairs])
        better = (mos[:, None] > mos) & torch.from_numpy(sets[:, None] == sets)
        tuned = EncoderHead()
        tuned._head(seen)
        optimiser = torch.optim.Adam(tuned._head.parameters(), 3e-3, weight_decay=1e-4)
        for _ in range(EPOCHS):
            quality = tuned._head(seen)[:, 0]
            loss = nn.functional.softplus(quality - quality[:, None])[better].mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        torch.save(tuned._head.state_dict(), folder / "head.pt")
        return tuned

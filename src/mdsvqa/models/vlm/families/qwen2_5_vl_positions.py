"""Rotary positions of Qwen2.5-VL as its checkpoints were trained with: text goes on behind all that came before it.

A video's tokens stand at three positions: when, which row, which column. In transformers from the first Qwen2.5-VL
(4.49) to 5.19, and in vLLM, the text behind it begins one behind the largest of them. Since 5.20 it begins behind the
larger side of the picture, so that a long video reaches into the text and beyond: of 60 s of 1080p at 2 frames a second
the text is 83 positions too early, and logits differ by whole units. Nobody has reported it upstream so far as we know;
the positions printed in huggingface/transformers#45381 show it (a video at times up to 60, its text from 31 on).
"""

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from torch import Tensor

# What transformers calls the kinds of tokens.
_IMAGE, _VIDEO = 1, 2


def keep_trained_positions(inner: Any) -> None:
    """Makes a model place text behind videos as in its training, wherever it computes positions.

    Args:
        inner: transformers' Qwen2_5_VLModel, changed in place.
    """
    inner.get_rope_index = MethodType(_rope_index, inner)


def _rope_index(
    self: Any,
    input_ids: Tensor,
    mm_token_type_ids: Tensor,
    image_grid_thw: Tensor | None = None,
    video_grid_thw: Tensor | None = None,
    second_per_grid_ts: Tensor | None = None,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Positions of a batch, shape (3, B, L), and how far the next is above the number of tokens, shape (B, 1)."""
    vision = self.config.vision_config
    merge = vision.spatial_merge_size
    grids = {_IMAGE: _grids(image_grid_thw, merge), _VIDEO: _grids(video_grid_thw, merge)}
    seconds = iter(torch.ones(0) if second_per_grid_ts is None else second_per_grid_ts.float().cpu())
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    positions = torch.zeros(3, *input_ids.shape, dtype=torch.long)
    ahead = []
    for row, (kinds, mask) in enumerate(zip(mm_token_type_ids.cpu(), real.cpu().bool(), strict=True)):
        # Qwen2-VL counts steps of the grid.
        found = row_positions(kinds[mask], grids, seconds, getattr(vision, "tokens_per_second", 1))
        positions[:, row, mask] = found
        ahead.append(int(found.max()) + 1 - found.shape[1])
    return positions.to(input_ids.device), torch.tensor(ahead, device=input_ids.device).unsqueeze(1)


def row_positions(
    kinds: Tensor, grids: dict[int, Iterator[tuple[int, int, int]]], seconds: Iterator[Tensor], tokens_per_second: int
) -> Tensor:
    """Positions of one row of tokens.

    Args:
        kinds: of each token: 0 text, 1 image, 2 video; shape (L,), without padding.
        grids: of images and videos, in their order: steps of time, rows and columns of tokens.
        seconds: that a step of time lasts, float32, one a video; 1 where there are no more.
        tokens_per_second: of the checkpoint.

    Returns:
        Time, row and column of each token, shape (3, L).

    Source: get_rope_index of transformers 4.49.

    >>> kinds = torch.tensor([0] + [2] * 8 + [0, 0])
    >>> row_positions(kinds, {2: iter([(4, 1, 2)])}, iter(torch.tensor([1.0])), 2)[:, 1:].tolist()
    [[1, 1, 3, 3, 5, 5, 7, 7, 8, 9], [1, 1, 1, 1, 1, 1, 1, 1, 8, 9], [1, 2, 1, 2, 1, 2, 1, 2, 8, 9]]
    """
    parts: list[Tensor] = []
    following = 0
    runs = (found.tolist() for found in torch.unique_consecutive(kinds, return_counts=True))
    for kind, count in zip(*runs, strict=True):
        if kind not in (_IMAGE, _VIDEO):
            part = torch.arange(count).expand(3, -1)
        else:
            steps, rows, columns = next(grids[kind])
            # In single precision, and cut off, as in training: whoever rounds is a position off.
            step = next(seconds, torch.tensor(1.0)) if kind == _VIDEO else torch.tensor(0.0)
            when = (torch.arange(steps) * step * tokens_per_second).long()
            axes = (when, torch.arange(rows), torch.arange(columns))
            part = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
        parts.append(part + following)
        following = int(parts[-1].max()) + 1
    return torch.cat(parts, 1)


def _grids(found: Tensor | None, merge: int) -> Iterator[tuple[int, int, int]]:
    for steps, rows, columns in [] if found is None else found.tolist():
        yield steps, rows // merge, columns // merge

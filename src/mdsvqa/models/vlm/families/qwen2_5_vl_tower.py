"""The vision tower with fewer and larger operations; the numbers are the same up to rounding.

transformers' Qwen2.5-VL calls the attention once for each window of each frame where flash attention is not installed:
tens of thousands of calls for a batch of long videos. Windows of one size are one call here. Its patches are embedded
by a convolution whose kernel is as large as a patch; that is a matrix product, which is faster.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention


def speed_up(vision_tower: Any) -> None:
    """Makes a vision tower embed patches by one product, and attend to all windows of one size at once.

    Args:
        vision_tower: transformers' Qwen2_5_VisionTransformerPretrainedModel, or that of another Qwen-VL, changed in
            place. With flash attention its attention stays as it is.
    """
    vision_tower.patch_embed.forward = MethodType(_embed, vision_tower.patch_embed)
    if vision_tower.config._attn_implementation != "sdpa":
        return
    for block in vision_tower.blocks:
        block.attn.forward = MethodType(_attend, block.attn)


def _embed(self: Any, hidden_states: Tensor) -> Tensor:
    weight = self.proj.weight
    return linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


def _attend(
    self: Any, hidden_states: Tensor, cu_seqlens: Tensor, position_embeddings: tuple[Tensor, Tensor], **_: Any
) -> Tensor:
    length = hidden_states.shape[0]
    qkv = self.qkv(hidden_states).view(length, 3, self.num_heads, -1)
    cos, sin = (table.unsqueeze(-2).float() for table in position_embeddings)
    query, key = (_rotated(part.float(), cos, sin).to(qkv.dtype) for part in (qkv[:, 0], qkv[:, 1]))
    attended = attend_windows(query, key, qkv[:, 2], cu_seqlens, self.scaling)
    return self.proj(attended.reshape(length, -1))


def _rotated(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = vectors.chunk(2, dim=-1)
    return vectors * cos + torch.cat((-second, first), dim=-1) * sin


def attend_windows(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, scaling: float) -> Tensor:
    """Attention within each of many windows.

    Args:
        query, key, value: shape (N, heads, width).
        bounds: where windows begin and end, shape (windows + 1,), from 0 to N.
        scaling: of the products.

    Returns:
        Shape (N, heads, width).
    """
    sizes = bounds.diff()
    kinds = torch.unique(sizes).tolist()
    if len(kinds) == 1:
        return _attend_equal(query, key, value, kinds[0], scaling)
    result = torch.empty_like(value)
    for kind in kinds:
        starts = bounds[:-1][sizes == kind].to(query.device)
        rows = (starts[:, None] + torch.arange(kind, device=query.device)).flatten()
        part = _attend_equal(query[rows], key[rows], value[rows], kind, scaling)
        result = result.index_copy(0, rows, part)
    return result


def _attend_equal(query: Tensor, key: Tensor, value: Tensor, size: int, scaling: float) -> Tensor:
    q, k, v = (part.unflatten(0, (-1, size)).transpose(1, 2) for part in (query, key, value))
    return scaled_dot_product_attention(q, k, v, scale=scaling).transpose(1, 2).flatten(0, 1)

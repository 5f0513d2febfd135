"""The vision tower with fewer and larger operations; the numbers are the same up to rounding.

transformers' Qwen2.5-VL calls the attention once for each window of each frame where flash attention is not installed:
tens of thousands of calls for a batch of long videos. On a GPU all windows are one call here, of PyTorch's own flash
attention; on a CPU those of one size are. Its patches are embedded by a convolution whose kernel is as large as a
patch; that is a matrix product, which is faster. Its inner width, 3420, is no multiple of 8, and the fast kernels of
matrix products want one: on a GPU it is filled up by zeros, which change nothing.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from mdsvqa.models.vlm.families.fused import gated, rotated, use_fused_norms

varlen_attn: Any
try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    varlen_attn = None

# Numbers of a row of a matrix that the fast kernels of its products want a multiple of.
_ALIGNED = 128


def speed_up(vision_tower: Any) -> None:
    """Makes a vision tower embed patches by one product, and attend to all windows of one size at once.

    Args:
        vision_tower: transformers' Qwen2_5_VisionTransformerPretrainedModel, or that of another Qwen-VL, changed in
            place. With flash attention its attention stays as it is.
    """
    vision_tower.patch_embed.forward = MethodType(_embed, vision_tower.patch_embed)
    use_fused_norms(vision_tower)
    for block in vision_tower.blocks:
        if hasattr(block.mlp, "gate_proj"):
            block.mlp.forward = MethodType(_feed_forward, block.mlp)
    if vision_tower.config._attn_implementation != "sdpa":
        return
    for block in vision_tower.blocks:
        block.attn.forward = MethodType(_attend, block.attn)


def _embed(self: Any, hidden_states: Tensor) -> Tensor:
    weight = self.proj.weight
    return linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


def _feed_forward(self: Any, hidden_states: Tensor) -> Tensor:
    parts = (self.gate_proj, self.up_proj, self.down_proj)
    lacking = -self.gate_proj.out_features % _ALIGNED if hidden_states.is_cuda else 0
    if not lacking or (torch.is_grad_enabled() and self.gate_proj.weight.requires_grad):
        inner = gated(self.gate_proj(hidden_states), self.up_proj(hidden_states), self.act_fn)
        found: Tensor = self.down_proj(inner)
        return found
    # Made anew where the weights are not those any more.
    version = [(part.weight.data_ptr(), part.weight._version) for part in parts]
    if getattr(self, "_filled_up", (None,))[0] != version:
        rows = [pad(part.weight, (0, 0, 0, lacking)) for part in parts[:2]]
        biases = [None if part.bias is None else pad(part.bias, (0, lacking)) for part in parts[:2]]
        self._filled_up = (version, rows, biases, pad(self.down_proj.weight, (0, lacking)))
    _, (gate, up), (gate_bias, up_bias), down = self._filled_up
    inner = gated(linear(hidden_states, gate, gate_bias), linear(hidden_states, up, up_bias), self.act_fn)
    return linear(inner, down, self.down_proj.bias)


def _attend(
    self: Any,
    hidden_states: Tensor,
    cu_seqlens: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    **_: Any,
) -> Tensor:
    length = hidden_states.shape[0]
    qkv = self.qkv(hidden_states).view(length, 3, self.num_heads, -1)
    cos, sin = position_embeddings
    query, key = rotated(qkv[:, 0], qkv[:, 1], cos, sin)
    if varlen_attn is not None and qkv.is_cuda and qkv.dtype != torch.float32:
        bounds = cu_seqlens.to(qkv.device, torch.int32)
        longest = int(cu_seqlens.diff().max())
        attended = varlen_attn(query, key, qkv[:, 2], bounds, bounds, longest, longest)
    else:
        attended = attend_windows(query, key, qkv[:, 2], cu_seqlens, self.scaling)
    return self.proj(attended.reshape(length, -1))


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

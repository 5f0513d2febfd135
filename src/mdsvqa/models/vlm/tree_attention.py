"""Attention of a question with the tree of its answers behind it: causal in front, by a mask of its own behind.

One mask for all would be as large as the question's length squared, and would keep the kernels for causal attention
from their work.
"""

from typing import Any

import torch
from torch import Tensor

from mdsvqa.models.transformers_vision import (
    ALL_ATTENTION_FUNCTIONS,
    ALL_MASK_ATTENTION_FUNCTIONS,
    sdpa_attention_forward,
    sdpa_mask,
)

# As transformers calls it from here on.
TREE_ATTENTION = "causal_then_masked"


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' "sdpa", which here also takes a mask of the last tokens only, those before being causal.

    Args:
        module: an attention of transformers.
        query, key, value: shape (B, heads, L, width).
        attention_mask: shape (B, 1, N, L) for the last N tokens, or as "sdpa" takes it.
        options: as there.

    Returns:
        Shape (B, L, heads, width).
    """
    length = query.shape[2]
    if attention_mask is not None and attention_mask.shape[2] != length:
        causal = length - attention_mask.shape[2]
        parts = [
            sdpa_attention_forward(
                module, query[:, :, :causal], key[:, :, :causal], value[:, :, :causal], None, **options
            )[0],
            sdpa_attention_forward(module, query[:, :, causal:], key, value, attention_mask, **options)[0],
        ]
        return torch.cat(parts, 1), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def use_tree_attention(language_model: Any) -> None:
    """Makes a language model attend by `attend` where it attends by "sdpa"."""
    if language_model.config._attn_implementation == "sdpa":
        language_model.config._attn_implementation = TREE_ATTENTION


ALL_ATTENTION_FUNCTIONS.register(TREE_ATTENTION, attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(TREE_ATTENTION, sdpa_mask)

"""Element-wise work as one kernel each, where a GPU would read and write the same numbers many times.

In single precision inside, rounded once. On a CPU, in training and where nothing compiles it is done step by step.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

# Numbers from which on a kernel of its own is worth it, and from which on it need not be another one for each size.
LARGE = 1 << 20


def use_fused_norms(model: Any) -> None:
    """Makes every root-mean-square norm of a model on a GPU one kernel.

    Args:
        model: changed in place.
    """
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = MethodType(_norm, module)


def _norm(self: Any, hidden_states: Tensor) -> Tensor:
    if hidden_states.is_cuda and hidden_states.dtype == self.weight.dtype:
        return rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)
    found: Tensor = type(self).forward(self, hidden_states)
    return found


def gated(gate: Tensor, up: Tensor, activation: Any) -> Tensor:
    """activation(gate) * up, both of one shape."""
    large = gate.is_cuda and gate.numel() >= LARGE and gate.is_contiguous() and up.is_contiguous()
    if large and type(activation).__name__ in ("SiLU", "SiLUActivation") and not gate.requires_grad:
        return _fused(_gated)(gate.view(-1), up.view(-1)).view_as(gate)
    found: Tensor = activation(gate) * up
    return found


def rotated(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary positions of queries and keys.

    Args:
        query, key: shape (N, heads, width).
        cos, sin: shape (N, width).
    """
    if query.is_cuda and query.numel() >= LARGE and not query.requires_grad:
        found: tuple[Tensor, Tensor] = _fused(_rotated)(query, key, cos, sin)
        return found
    return _rotated(query, key, cos, sin)


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    return silu(gate.float()).mul(up.float()).to(gate.dtype)


def _rotated(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = cos.unsqueeze(-2).float(), sin.unsqueeze(-2).float()
    return _turned(query, cos, sin), _turned(key, cos, sin)


def _turned(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    wide = vectors.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(vectors.dtype)


_compiled: dict[Callable[..., Any], Callable[..., Any]] = {}


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as one kernel; where no compiler is installed, the function itself."""
    if function not in _compiled:
        compiled = torch.compile(function)

        def first_time(*arguments: Tensor) -> Any:
            try:
                found = compiled(*arguments)
                _compiled[function] = compiled
            except Exception:
                _compiled[function] = function
                found = function(*arguments)
            return found

        return first_time
    return _compiled[function]

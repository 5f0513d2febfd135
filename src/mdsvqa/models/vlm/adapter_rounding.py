"""Whether an adapter may be merged into a model: where that rounds no more than the model itself does.

An adapter beside a model costs two further products and three kernels for each layer that it adapts. Merged, it costs
nothing, and its weights are rounded once more. Logits of a made-up clip say what that changes: those in the model's
precision, with the adapter beside it and with it merged, are held against those of the same weights in a wider one.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Places of the question whose logits are compared.
_PLACES = 32


@dataclass(frozen=True)
class Rounding:
    """How far logits are from those in a wider precision, root mean square.

    Attributes:
        beside, merged: with the adapter beside the model, and merged into it.
    """

    beside: float
    merged: float

    @property
    def may_merge(self) -> bool:
        """Whether merging adds less than the model's own precision takes away.

        >>> Rounding(0.05, 0.06).may_merge, Rounding(0.05, 0.11).may_merge
        (True, False)
        """
        return self.merged < 2 * self.beside


def adapted_layers(model: Any) -> list[Any] | None:
    """Layers of a PEFT model that can be merged as plain products; None where one of them cannot, or there is none."""
    from peft.tuners.lora import Linear, LoraLayer  # noqa: PLC0415

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    plain = all(type(layer) is Linear and not any(layer.use_dora.values()) for layer in layers)
    return layers if layers and plain else None


def merged_weight(layer: Any) -> Tensor:
    """The weight of an adapted layer and what its adapters add, rounded once."""
    weight = layer.get_base_layer().weight
    added = weight.to(wider(weight.dtype))
    for name in layer.active_adapters:
        a, b = (part[name].weight.to(added.dtype) for part in (layer.lora_A, layer.lora_B))
        added = added + layer.scaling[name] * (b @ a)
    return added.to(weight.dtype)


def wider(dtype: torch.dtype) -> torch.dtype:
    """A precision whose rounding is nothing beside that of another."""
    return torch.float64 if dtype == torch.float32 else torch.float32


@torch.inference_mode()
def rounding_of(model: Any, batch: Mapping[str, Tensor]) -> Rounding | None:
    """What merging would change.

    Args:
        model: of PEFT, in evaluation mode; as it was afterwards.
        batch: arguments of its forward pass.

    Returns:
        None where it is no plain LoRA on linear layers.
    """
    layers = adapted_layers(model)
    if layers is None:
        return None

    def logits() -> Tensor:
        found: Tensor = model(**batch, use_cache=False, logits_to_keep=_PLACES).logits
        return found.double()

    with _in_wider_precision(model):
        exact = logits()
    beside = logits()
    with _as_if_merged(layers):
        merged = logits()
    return Rounding(*(float((found - exact).square().mean().sqrt()) for found in (beside, merged)))


@torch.no_grad()
def merge_into(model: Any) -> Any:
    """The base model with its adapters merged, each weight rounded once."""
    for layer in adapted_layers(model) or []:
        layer.get_base_layer().weight.copy_(merged_weight(layer))
    return model.unload()


@contextmanager
def _as_if_merged(layers: list[Any]) -> Iterator[None]:
    """Layers that compute by merged weights, made when they are needed: two sets of them may not fit."""
    for layer in layers:
        layer.forward = partial(_by_merged_weight, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _by_merged_weight(layer: Any, x: Tensor) -> Tensor:
    return linear(x, merged_weight(layer), layer.get_base_layer().bias)


@contextmanager
def _in_wider_precision(model: nn.Module) -> Iterator[None]:
    """A model whose modules compute in a wider precision, from their own weights; one module is wider at a time."""
    with ExitStack() as hooks:
        for module in model.modules():
            own = [weight for weight in module.parameters(recurse=False) if weight.is_floating_point()]
            if own:
                widened = _Widened(own)
                hooks.callback(module.register_forward_pre_hook(widened.before, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(widened.after, always_call=True).remove)
        yield


class _Widened:
    """Hooks of a module around its forward pass."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        self._weights, self._kept = weights, [weight.data for weight in weights]
        self._dtype = wider(weights[0].dtype)

    def before(self, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        for weight in self._weights:
            weight.data = weight.data.to(self._dtype)
        return tuple(map(self._wide, arguments)), {name: self._wide(value) for name, value in named.items()}

    def after(self, *_: Any) -> None:
        for weight, kept in zip(self._weights, self._kept, strict=True):
            weight.data = kept

    def _wide(self, value: Any) -> Any:
        return value.to(self._dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

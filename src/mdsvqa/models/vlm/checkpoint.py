"""A vision-language checkpoint: found, checked, loaded, with its adapters on it."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from mdsvqa.models.base import ModelError
from mdsvqa.models.checkpoints import (
    check_whole,
    find_checkpoint,
    pick_attention,
    pick_device,
    pick_dtype,
    short_reason,
    weights_fingerprint,
)
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import AutoProcessor
from mdsvqa.models.vlm.adapters import apply_adapter
from mdsvqa.models.vlm.families.catalogue import family_of


@dataclass(frozen=True)
class Checkpoint:
    """A model on this machine.

    Attributes:
        model: in evaluation mode, on its device, with its adapter if there is one.
        processor: of the base checkpoint.
        maker: names the files that it was loaded from.
    """

    model: Any
    processor: Any
    maker: dict[str, Any]


def load_checkpoint(settings: VlmSettings, model: str, adapter: str | None = None) -> Checkpoint:
    """Loads a checkpoint as well as this machine can run it.

    Args:
        settings: precision, attention, quantisation.
        model, adapter: folders or Hub names.

    Raises:
        ModelError: it cannot be found or is of another kind, or what the settings ask for is not installed.
    """
    folder = find_checkpoint(model, remote_code=settings.trust_remote_code)
    family = family_of(folder, model)
    device = pick_device(settings.device)
    arguments: dict[str, Any] = {
        "dtype": pick_dtype(settings.dtype, device),
        "attn_implementation": pick_attention(settings.attention, device),
        "trust_remote_code": settings.trust_remote_code,
        "use_safetensors": True,
        "local_files_only": True,
        # Straight there: the processes of a machine would each hold the whole model in its main memory first.
        "device_map": {"": device},
    }
    if settings.load_in_4bit:
        arguments |= _quantised(device)
    try:
        loaded, found = family.load(folder, **arguments)
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model {model!r}: {folder} cannot be loaded: {short_reason(error)}") from error
    check_whole(found, f"model {model!r}", folder)
    maker: dict[str, Any] = {"model": model, "weights": weights_fingerprint(folder)}
    below = settings.base_adapters
    for place, value in enumerate((*below, adapter)):
        if value is not None:
            merge = place < len(below) or bool(settings.merge)
            name = "adapter" if place == len(below) else f"base_adapter{f'_{place + 1}' if place else ''}"
            loaded, applied = with_adapter(loaded, value, merge=merge)
            maker |= {name: value, **{f"{name}_{key}": found for key, found in applied.items()}}
    return Checkpoint(loaded.eval(), processor, maker)


def with_adapter(model: Any, adapter: str, *, merge: bool) -> tuple[Any, dict[str, Any]]:
    """A model with a PEFT adapter on it, and what names the adapter in the record of what made a result.

    Args:
        model: of transformers, changed in place.
        adapter: a folder or a Hub name.
        merge: into the weights.

    Returns:
        The model, and the adapter's `weights` and number of `tensors`.

    Raises:
        ModelError: it is no PEFT adapter in safetensors, or does not fit this model whole; see `apply_adapter`.
    """
    folder = find_checkpoint(adapter, what="adapter")
    applied = apply_adapter(model, folder, adapter, merge=merge)
    return applied.model, {"weights": weights_fingerprint(folder), "tensors": applied.tensors}


def _quantised(device: torch.device) -> dict[str, Any]:
    if find_spec("bitsandbytes") is None:
        raise ModelError("load_in_4bit: bitsandbytes is not installed; `pip install bitsandbytes` brings it.")
    if device.type != "cuda":
        raise ModelError("load_in_4bit: needs a GPU; there is none here.")
    from transformers import BitsAndBytesConfig  # noqa: PLC0415

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=pick_dtype("auto", device)
    )
    return {"quantization_config": four_bit}

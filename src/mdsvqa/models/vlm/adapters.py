"""PEFT adapters, applied whole or refused: every tensor of the file has its place in the model, or there is an error.

transformers gave modules other names in time (4.52). PEFT leaves out what it finds no module for, with a Python warning
at the most, so that an adapter of the older layout did nothing, in silence. Here the tensors of the file are placed by
hand: names of both layouts are known, what is left over and what is missing is named.
"""

import json
import re
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mdsvqa.models.base import ModelError
from mdsvqa.models.vlm.families.base import Family
from mdsvqa.models.vlm.families.catalogue import family_of_model

# Layouts of names.
CURRENT, OLD = "current", "before transformers 4.52"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# What of PEFT's settings is placed and computed here as it was trained; whatever else is set is refused.
_UNDERSTOOD = {
    *(
        "peft_type",
        "peft_version",
        "task_type",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "auto_mapping",
    ),
    *("r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"),
    # Of how it was trained, or of kinds that are refused by their own switch.
    *("init_lora_weights", "runtime_config", "megatron_core", "qalora_group_size", "ensure_weight_tying"),
}
# Layers whose adapters are computed here.
_ADAPTED = (nn.Linear, nn.Embedding)
# They change the base model's own weights at the start.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
# Of the largest entry of a row: a copy in bfloat16 of a weight in single precision is as far off.
_ROUNDED = 2**-7


@dataclass(frozen=True)
class Applied:
    """An adapter in its place.

    Attributes:
        model: the PEFT model, or the model itself where the adapter was merged.
        tensors: of the file that were applied: all of them, copies of the base model's weights aside.
        layout: of the names in the file, `CURRENT` or `OLD`.
    """

    model: Any
    tensors: int
    layout: str


@dataclass(frozen=True)
class _Placed:
    """An adapter whose every tensor has its place.

    Attributes:
        model: with room for the adapter.
        slots: where the tensors go, by their names in the current layout.
        copies: tensors of the file that are copies of the base model's.
        keys: names in the file by those in the current layout.
        home: a sentence about where it belongs.
    """

    model: Any
    slots: Mapping[str, Tensor]
    copies: Collection[str]
    keys: Mapping[str, str]
    home: str

    @property
    def layout(self) -> str:
        return CURRENT if all(_PREFIX + found == key for found, key in self.keys.items()) else OLD


def apply_adapter(model: Any, folder: Path, name: str, *, merge: bool) -> Applied:
    """Puts an adapter on a model.

    Args:
        model: of transformers; changed in place.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        name: of the adapter, in messages.
        merge: into the weights.

    Raises:
        ModelError: a tensor of the file has no place in the model or another shape, one that the model needs is
            missing or not finite, or the adapter is of a kind that is not computed here as it was trained.
    """
    modules = dict(model.named_modules())
    with opened(folder, name) as file:
        placed = _place(model, modules, file, folder, name)
        for found in sorted(placed.copies):
            if not _same(file.get_slice(placed.keys[found]), _original(found, modules)):
                raise ModelError(
                    f"adapter {name!r}: {placed.keys[found]}, its copy of a weight of its base model, is not what this "
                    f"model has. {placed.home}"
                )
        with torch.no_grad():
            for found, slot in placed.slots.items():
                weight = file.get_tensor(placed.keys[found])
                if not bool(weight.isfinite().all()):
                    raise ModelError(
                        f"adapter {name!r}: {placed.keys[found]} in {WEIGHTS} is not finite. The file is damaged, "
                        "or its training went wrong."
                    )
                slot.copy_(weight)
    applied = placed.model.merge_and_unload() if merge else _as_base(placed.model)
    return Applied(applied, len(placed.slots), placed.layout)


def _as_base(model: Any) -> Any:
    """An applied adapter in the precision of the weights that it is added to, so that no activation is copied."""
    for layer in model.modules():
        if hasattr(layer, "cast_input_dtype_enabled") and layer.weight.dtype.is_floating_point:
            for part in (*layer.lora_A.values(), *layer.lora_B.values()):
                part.to(layer.weight.dtype)
    return model


def fit_adapter(model: Any, folder: Path, name: str) -> Applied:
    """Whether an adapter fits a model that has no weights, on the device "meta"; see `apply_adapter`."""
    with opened(folder, name) as file:
        placed = _place(model, dict(model.named_modules()), file, folder, name)
    return Applied(placed.model, len(placed.slots), placed.layout)


def _place(model: Any, modules: Mapping[str, nn.Module], file: Any, folder: Path, name: str) -> _Placed:
    config, home = _read_config(folder, name)
    family = family_of_model(model)
    keys = {_canonical(family.current_name(_bare(key))): key for key in file.keys()}  # noqa: SIM118 - no mapping
    wanted = _targets(config, modules, family)
    given = {found.rpartition(".lora_")[0] for found in keys if ".lora_" in found}
    exact = _exactly(config, modules, given & wanted, family)
    _untie(model, exact)
    adapted = _adapted(model, exact, name)
    slots = _slots(adapted)
    shapes = {found: tuple(file.get_slice(key).get_shape()) for found, key in keys.items()}
    fitting = {found for found in slots if shapes.get(found) == tuple(slots[found].shape)}
    copies = {found for found in keys if found not in slots and _original(found, modules) is not None}
    left = sorted(keys.keys() - fitting - copies)
    if left or not keys:
        total = len(keys) - len(copies)
        why = _why_not(left[0], keys[left[0]], shapes, slots, modules) if left else f"{WEIGHTS} is empty"
        raise ModelError(f"adapter {name!r}: {len(fitting)} of {total} tensors fit this model; {why}. {home}")
    lacking = sorted(module for module in wanted - given if not module.startswith(family.vision))
    lacking += sorted(slots.keys() - fitting)
    if lacking:
        raise ModelError(
            f"adapter {name!r}: {len(fitting)} tensors fit this model, and {len(lacking)} modules or tensors of which "
            f"{CONFIG} speaks are not in {WEIGHTS}; the first: {lacking[0]}. It is a part of an adapter, or the two "
            "files are not of one."
        )
    return _Placed(adapted, slots, copies, keys, home)


def _read_config(folder: Path, name: str) -> tuple[Any, str]:
    """PEFT's settings of an adapter, if all of them are understood, and a sentence about where it belongs."""
    from peft import LoraConfig  # noqa: PLC0415

    try:
        raw: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {name!r}: {folder / CONFIG} cannot be read ({error}).") from None
    if not isinstance(raw, dict) or raw.get("peft_type") != "LORA":
        kind = raw.get("peft_type") if isinstance(raw, dict) else None
        raise ModelError(f"adapter {name!r}: is of PEFT's kind {kind!r}; expected LORA.")
    usual = LoraConfig()
    odd = [
        key
        for key, value in raw.items()
        if key not in _UNDERSTOOD
        and value not in (None, False, {}, [], "", getattr(usual, key, None))
        # What this PEFT does not know: numbers of a switch that is off.
        and (hasattr(usual, key) or isinstance(value, bool | dict | list))
    ]
    if str(raw.get("init_lora_weights", "")).startswith(_CHANGES_BASE):
        odd.append("init_lora_weights")
    if raw.get("task_type") not in (None, "CAUSAL_LM"):
        odd.append("task_type")
    if odd:
        told = ", ".join(f"{key} {json.dumps(raw[key])[:60]}" for key in odd)
        raise ModelError(
            f"adapter {name!r}: its {CONFIG} has {told}, which is not computed here as it was trained. Merge it into "
            "its base model with what made it, and name the merged checkpoint by --model."
        )
    config = LoraConfig(**{key: value for key, value in raw.items() if hasattr(usual, key)})
    config.base_model_name_or_path, config.inference_mode, config.task_type = None, True, "CAUSAL_LM"
    base = raw.get("base_model_name_or_path")
    says = f"; its {CONFIG} says {base}" if base else ""
    return config, f"Name the model that it was trained on by --model{says}."


def opened(folder: Path, name: str) -> Any:
    """The file of an adapter's weights, to be read and closed."""
    for needed in (CONFIG, WEIGHTS):
        if not (folder / needed).is_file():
            raise ModelError(f"adapter {name!r}: {folder} has no {needed}, so it is no PEFT adapter in safetensors.")
    try:
        return safe_open(folder / WEIGHTS, "pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"adapter {name!r}: {folder / WEIGHTS} cannot be read ({error}).") from None


def _bare(key: str) -> str:
    return key.removeprefix(_PREFIX)


def _canonical(name: str) -> str:
    """A tensor's name in the current layout, as `_slots` says it."""
    return re.sub(r"(lora_magnitude_vector)\.weight$", r"\1", name)


def _slots(adapted: Any) -> dict[str, Tensor]:
    """Where the tensors of an adapter's file go, by their names in the current layout."""
    slots = {}
    for name, parameter in adapted.named_parameters():
        if ".modules_to_save.default." in name:
            slots[_canonical(_bare(name.replace(".modules_to_save.default.", ".")))] = parameter
        elif ".lora_" in name:
            slots[_canonical(_bare(re.sub(r"\.default(?=\.|$)", "", name)))] = parameter
    return slots


def _targets(config: Any, modules: Mapping[str, nn.Module], family: Family) -> set[str]:
    """Modules that a configuration adapts, whichever layout its names are of."""
    from peft.tuners.tuners_utils import check_target_module_exists  # noqa: PLC0415

    takes = {name for name, module in modules.items() if isinstance(module, _ADAPTED)}
    if config.target_modules == "all-linear":
        return {name for name in takes if isinstance(modules[name], nn.Linear) and name != "lm_head"}
    if not config.target_modules:
        return set()
    return {name for name in takes if any(check_target_module_exists(config, s) for s in (name, family.old_name(name)))}


def _exactly(config: Any, modules: Mapping[str, nn.Module], targets: Collection[str], family: Family) -> Any:
    """The configuration that adapts just these modules, each with the rank that it was trained with."""
    from peft.utils.other import get_pattern_key  # noqa: PLC0415

    def by_name(pattern: Mapping[str, int]) -> dict[str, int]:
        # By either name; what a pattern does not hold comes back as it is.
        found = {name: [get_pattern_key(list(pattern), s) for s in (name, family.old_name(name))] for name in targets}
        return {re.escape(n): pattern[key] for n, keys in found.items() for key in reversed(keys) if key in pattern}

    ends = tuple(config.modules_to_save or ())
    exact = copy(config)
    exact.rank_pattern, exact.alpha_pattern = by_name(config.rank_pattern), by_name(config.alpha_pattern)
    exact.target_modules, exact.exclude_modules = set(targets), None
    exact.layers_to_transform = exact.layers_pattern = None
    saved = [name for name in modules if name.endswith(ends) or family.old_name(name).endswith(ends)] if ends else []
    exact.modules_to_save = saved or None
    return exact


def _adapted(model: Any, config: Any, name: str) -> Any:
    """A PEFT model; the model as it is where the configuration adapts nothing of it."""
    from peft import get_peft_model  # noqa: PLC0415

    if not config.target_modules and not config.modules_to_save:
        return model
    try:
        # Made without weights where the model has none, and filled in any case.
        return get_peft_model(model, config, low_cpu_mem_usage=model.lm_head.weight.is_meta)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"adapter {name!r}: PEFT does not take it: {error}") from error


def _original(found: str, modules: Mapping[str, nn.Module]) -> Tensor | None:
    """The base model's weight that a tensor in the file is a copy of; None where it is none.

    PEFT writes an adapted head whole beside its adapter: 1.1 GB for a 7B model, which the model has already.
    """
    module, _, leaf = found.replace(".base_layer.", ".").rpartition(".")
    weight = getattr(modules.get(module), leaf, None)
    return weight if isinstance(weight, Tensor) else None


def _same(copied: Any, weight: Tensor | None) -> bool:
    """Whether a tensor of a file is a weight up to rounding; read in parts."""
    assert weight is not None
    if not weight.is_floating_point():
        # Packed in 4 bits: there is nothing to compare with.
        return True
    if tuple(copied.get_shape()) != tuple(weight.shape):
        return False
    for start in range(0, len(weight), 4096):
        theirs, own = copied[start : start + 4096].float(), weight[start : start + 4096].detach().float().cpu()
        if bool(((theirs - own).abs() > own.abs().amax(-1, keepdim=True) * _ROUNDED).any()):
            return False
    return True


def _untie(model: Any, config: Any) -> None:
    """Gives the head a weight of its own where an adapter changes one of two modules that share theirs.

    Merged into one of them it would change the other.
    """
    touched = {*config.target_modules, *(config.modules_to_save or ())}
    embedding = model.get_input_embeddings()
    if model.lm_head.weight is embedding.weight and any(name.endswith(("lm_head", "embed_tokens")) for name in touched):
        model.lm_head.weight = nn.Parameter(embedding.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = model.config.get_text_config().tie_word_embeddings = False


def _why_not(
    found: str,
    key: str,
    shapes: Mapping[str, tuple[int, ...]],
    slots: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
) -> str:
    module = found.rpartition(".lora_")[0] or found.rpartition(".")[0]
    if found in slots:
        why = f"its shape is {shapes[found]}, and {tuple(slots[found].shape)} is expected"
    elif module in modules and not isinstance(modules[module], _ADAPTED):
        why = f"an adapter of a {type(modules[module]).__name__} is not computed here"
    elif module in modules:
        why = f"{CONFIG} says nothing of it"
    else:
        why = f"there is no module {module}"
    return f"the first that does not: {key} ({why})"

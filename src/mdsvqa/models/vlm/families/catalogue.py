"""Every family of vision-language models. A family is a file in this folder and a line here."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdsvqa.models.base import ModelError

if TYPE_CHECKING:
    from mdsvqa.models.vlm.families.base import Family

# Module in this folder and name for readers; imported when a checkpoint asks for it.
FAMILIES = {
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen2_vl": "Qwen2-VL",
    "qwen3_vl": "Qwen3-VL",
    "internvl": "InternVL",
}
# Classes whose checkpoints are a family's in another form, and the way out.
_OTHER_FORMS = {
    "InternVLChatModel": "That is the authors' own form of InternVL: name the same checkpoint in transformers' form, "
    "whose name ends in -hf. One with parts of its own, such as the motion features of VQAThinker, has none: score by "
    "a class around its authors' code (docs/models.md)."
}


def family_named(module: str) -> "Family":
    """The family of a module in this folder."""
    found: Family = import_module(f"mdsvqa.models.vlm.families.{module}").FAMILY
    return found


def family_of_model(model: Any) -> "Family":
    """The family of a loaded model, with or without a PEFT adapter."""
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    return _family(type(inside).__name__, f"a {type(inside).__name__}")


def family_of(folder: Path, name: str) -> "Family":
    """The family of a checkpoint, by its configuration.

    Args:
        folder: of the checkpoint.
        name: of it, in messages.

    Raises:
        ModelError: it is of none that is read here.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = " It is an adapter: name it by --adapter." if (folder / "adapter_config.json").is_file() else ""
        raise ModelError(f"model {name!r}: {folder} has no readable config.json ({error}).{hint}") from None
    return _family((config.get("architectures") or ["no class"])[0], f"model {name!r}")


def _family(architecture: str, what: str) -> "Family":
    every = [family_named(module) for module in FAMILIES]
    for family in every:
        if architecture in family.architectures:
            return family
    others: Family | None = import_module("mdsvqa.models.vlm.families.other").other(architecture)
    if others is not None:
        return others
    known = ", ".join(each for family in every for each in family.architectures)
    hint = _OTHER_FORMS.get(architecture, "Serve other models by vLLM or SGLang and name the server by --server.")
    raise ModelError(
        f"{what}: is a {architecture}; expected a {known}, or another class that transformers loads for images and "
        f"text. {hint}"
    )

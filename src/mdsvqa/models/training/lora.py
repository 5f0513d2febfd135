"""Low-rank adapters on the language model of a vision-language model: made, frozen around, written, read back."""

from pathlib import Path
from types import MethodType
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.functional import linear

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import LoraSettings
from mdsvqa.models.vlm.families.catalogue import family_of_model
from mdsvqa.runtime.atomic import write_atomically


def add_lora(model: Any, settings: LoraSettings, seed: int) -> Any:
    """A model with a fresh adapter on the linear layers of its language model, all else frozen.

    Args:
        model: of transformers, without an adapter.
        settings: rank and the rest.
        seed: of the adapter's weights at the start, which change nothing yet.

    Returns:
        A PEFT model; the adapter's weights are float32 whatever the model's are, its products are as the model's.

    Source: Hu et al. (2022).
    """
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets or family_of_model(model).lora_targets,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return multiply_as_model(get_peft_model(model, config))


def multiply_as_model(model: Any) -> Any:
    """Makes the products of an adapter in the precision of what comes in, from weights that stay as they are.

    PEFT casts what comes in to the precision of the adapter's weights: in a model in half precision every product
    would be one in single precision, and every activation would be copied.

    Args:
        model: with adapters of PEFT, changed in place.
    """
    for layer in model.modules():
        if hasattr(layer, "cast_input_dtype_enabled"):
            layer.cast_input_dtype_enabled = False
            for part in (*layer.lora_A.values(), *layer.lora_B.values()):
                part.forward = MethodType(_product, part)
    return model


def _product(self: Any, x: Tensor) -> Tensor:
    return linear(x, self.weight.to(x.dtype))


def adapter_weights(model: Any) -> dict[str, Tensor]:
    """The adapter's weights by name, in a fixed order; the tensors themselves, not copies."""
    return {name: weight for name, weight in sorted(model.named_parameters()) if weight.requires_grad}


def set_adapter_weights(model: Any, weights: dict[str, Tensor]) -> None:
    """Puts weights of `adapter_weights` into a model."""
    with torch.no_grad():
        for name, weight in adapter_weights(model).items():
            weight.copy_(weights[name])


def save_adapter(model: Any, folder: Path, base: str) -> None:
    """Writes an adapter in PEFT's files, the weights last.

    Args:
        model: of `add_lora`.
        folder: made if missing.
        base: name of the model that it belongs on.
    """
    from peft import get_peft_model_state_dict  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config["default"]
    config.base_model_name_or_path, config.inference_mode = base, True
    config.save_pretrained(str(folder))
    config.inference_mode = False
    weights = {name: weight.detach().cpu().contiguous() for name, weight in get_peft_model_state_dict(model).items()}
    write_atomically(folder / "adapter_model.safetensors", save(weights, {"format": "pt"}))


def read_adapter(model: Any, folder: Path) -> None:
    """Puts the weights that `save_adapter` wrote into an adapter of the same shape.

    Raises:
        ModelError: it has another shape.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict  # noqa: PLC0415

    path = folder / "adapter_model.safetensors"
    there = load_file(path)
    wanted = {name: weight.shape for name, weight in get_peft_model_state_dict(model).items()}
    if wanted != {name: weight.shape for name, weight in there.items()}:
        raise ModelError(f"{path}: is no adapter of the shape that is trained; rank and targets must be the same.")
    set_peft_model_state_dict(model, there)


def push_adapter(folder: Path, repository: str) -> None:
    """Uploads an adapter, its card and its log to the Hugging Face Hub.

    Raises:
        ModelError: the Hub cannot be reached, or says no.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    hub = HfApi()
    try:
        hub.create_repo(repository, exist_ok=True)
        wanted = ["adapter_config.json", "adapter_model.safetensors", "README.md", "log.csv", "comparison.json"]
        hub.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=wanted)
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{repository}: {constants.ENDPOINT} did not take it ({type(error).__name__}). The adapter is safe in "
            f"{folder}; `hf auth login` says who you are, and the same command tries again."
        ) from None

"""Finding and loading checkpoints: a Hub name or a folder, with or without a PEFT adapter."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from mdsvqa.models.plugin import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import AutoProcessor, Qwen2_5_VLForConditionalGeneration, quiet
from mdsvqa.models.vlm.adapters import apply_adapter

# No pickles. Code of a repository only where somebody asked for it.
FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")
_CLASS = "Qwen2_5_VLForConditionalGeneration"
# Files up to this many bytes are hashed whole, larger ones in pieces.
_WHOLE = 64 << 20
_PIECE = 1 << 20


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


def find_checkpoint(name: str, *, remote_code: bool = False, what: str = "model") -> Path:
    """The folder of a checkpoint, downloaded if it is a Hub name that is not here yet.

    Args:
        name: a folder, or owner/name on the Hugging Face Hub, with @revision if wanted.
        remote_code: also fetch Python files.
        what: the checkpoint is, in messages.

    Raises:
        ModelError: there is no such folder and it cannot be fetched; the message says from where, and what to do.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"{what} {name!r}: there is no such folder, and it is no Hub name (owner/name) either.")
    patterns = [*FILES, "*.py"] if remote_code else list(FILES)
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
    except (RepositoryNotFoundError, GatedRepoError) as error:
        reason = "it is gated" if isinstance(error, GatedRepoError) else "there is none of that name, or it is private"
        raise ModelError(
            f"{what} {name!r}: {constants.ENDPOINT} does not hand it out: {reason}. `hf auth login` says who you are."
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{what} {name!r} could not be fetched from {constants.ENDPOINT} and is not in the cache of this machine "
            f"({short_reason(error)}). Where there is a network, run `hf download {repository} --local-dir FOLDER`, "
            "bring the folder here, and name it in place of the Hub name."
        ) from None


def short_reason(error: BaseException) -> str:
    """Where an error began, in one line."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return f"{type(cause).__name__}: {str(cause).splitlines()[0][:120]}" if str(cause) else type(cause).__name__


def load_checkpoint(settings: VlmSettings, model: str, adapter: str | None = None) -> Checkpoint:
    """Loads a Qwen2.5-VL checkpoint as well as this machine can run it.

    Args:
        settings: precision, attention, quantisation.
        model, adapter: folders or Hub names.

    Raises:
        ModelError: it cannot be found or is of another kind, or what the settings ask for is not installed.
    """
    folder = find_checkpoint(model, remote_code=settings.trust_remote_code)
    check_class(folder, model)
    device = pick_device(settings.device)
    arguments: dict[str, Any] = {
        "dtype": pick_dtype(settings.dtype, device),
        "attn_implementation": pick_attention(settings.attention, device),
        "trust_remote_code": settings.trust_remote_code,
        "use_safetensors": True,
        "local_files_only": True,
    }
    if settings.load_in_4bit:
        arguments |= _quantised(device)
    try:
        with quiet():
            made: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder, **arguments, output_loading_info=True
            )
        loaded, found = made
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model {model!r}: {folder} cannot be loaded: {short_reason(error)}") from error
    check_whole(found, f"model {model!r}", folder)
    if not settings.load_in_4bit:
        loaded = loaded.to(device)
    maker: dict[str, Any] = {"model": model, "weights": weights_fingerprint(folder)}
    for name, value, merge in (("base_adapter", settings.base_adapter, True), ("adapter", adapter, settings.merge)):
        if value is not None:
            loaded, applied = with_adapter(loaded, value, merge=merge)
            maker |= {name: value, **{f"{name}_{key}": found for key, found in applied.items()}}
    return Checkpoint(loaded.eval(), processor, maker)


def check_whole(found: Mapping[str, Any], what: str, folder: Path) -> None:
    """Raises a ModelError where weights that a model needs were not in its files: transformers draws them at random.

    Args:
        found: loading information of `from_pretrained`.
        what: was loaded, in messages.
        folder: of its files.
    """
    lacking = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    if lacking:
        left = sorted(found["unexpected_keys"])
        also = f" They hold {len(left)} others, such as {left[0]}." if left else ""
        raise ModelError(
            f"{what}: {len(lacking)} of its weights are not in the files of {folder}; the first: {lacking[0]}.{also}"
        )


def with_adapter(model: Any, adapter: str, *, merge: bool) -> tuple[Any, dict[str, Any]]:
    """A model with a PEFT adapter on it, and what names the adapter in the record of what made a result.

    Args:
        model: transformers' Qwen2.5-VL, changed in place.
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


def check_class(folder: Path, model: str) -> str:
    """The class of a checkpoint, by its configuration.

    Raises:
        ModelError: it is none that is read here.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = " It is an adapter: name it by --adapter." if (folder / "adapter_config.json").is_file() else ""
        raise ModelError(f"model {model!r}: {folder} has no readable config.json ({error}).{hint}") from None
    found = (config.get("architectures") or ["no class"])[0]
    if found != _CLASS:
        raise ModelError(
            f"model {model!r}: is a {found}; expected a {_CLASS}. Serve other models by vLLM or SGLang and name the "
            "server by --server."
        )
    return str(found)


def pick_device(wanted: str) -> torch.device:
    """A device by name; "auto" is the first GPU, else the CPU."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device {wanted!r}: PyTorch {torch.__version__} sees no GPU here; use auto or cpu.")
    try:
        return torch.device(wanted)
    except RuntimeError as error:
        raise ModelError(f"device {wanted!r}: {short_reason(error)}") from None


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """A precision by name; "auto" is bfloat16 on a GPU that has it, float16 on an older one, float32 on the CPU."""
    if wanted != "auto":
        return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[wanted]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def pick_attention(wanted: str, device: torch.device) -> str:
    """An implementation of attention; "auto" is flash attention where it is installed and there is a GPU, else sdpa."""
    installed = find_spec("flash_attn") is not None
    if wanted == "flash_attention_2" and not (installed and device.type == "cuda"):
        raise ModelError("attention flash_attention_2: needs a GPU and `pip install flash-attn`; use auto or sdpa.")
    if wanted != "auto":
        return wanted
    return "flash_attention_2" if installed and device.type == "cuda" else "sdpa"


def _quantised(device: torch.device) -> dict[str, Any]:
    if find_spec("bitsandbytes") is None:
        raise ModelError("load_in_4bit: bitsandbytes is not installed; `pip install bitsandbytes` brings it.")
    if device.type != "cuda":
        raise ModelError("load_in_4bit: needs a GPU; there is none here.")
    from transformers import BitsAndBytesConfig  # noqa: PLC0415

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=pick_dtype("auto", device)
    )
    return {"quantization_config": four_bit, "device_map": {"": device}}


def weights_fingerprint(folder: Path) -> str:
    """Names the weights in a folder by their content; of files over 64 MiB by their size and pieces of 1 MiB."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(file.read())
                continue
            for place in range(0, size, max(_PIECE, size // 64)):
                file.seek(place)
                digest.update(file.read(_PIECE))
            file.seek(-_PIECE, os.SEEK_END)
            digest.update(file.read())
    return digest.hexdigest()[:12]

"""Finding and loading checkpoints: a Hub name or a folder, with or without a PEFT adapter."""

import hashlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from mdsvqa.models.base import ModelError
from mdsvqa.runtime.devices import torch_device

# No pickles. Code of a repository only where somebody asked for it.
FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")
# Files up to this many bytes are hashed whole, larger ones in pieces.
_WHOLE = 64 << 20
_PIECE = 1 << 20


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


def pick_device(wanted: str) -> torch.device:
    """A device by name; "auto" is this process's GPU, else the CPU."""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device {wanted!r}: PyTorch {torch.__version__} sees no GPU here; use auto or cpu.")
    try:
        device = torch_device(wanted)
    except RuntimeError as error:
        raise ModelError(f"device {wanted!r}: {short_reason(error)}") from None
    # Without a number some libraries take the first one.
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


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

"""`mdsvqa doctor`: what a machine will use for quality models, and what to install for more."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import mdsvqa
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.statistical.opencv import installed_conflict
from mdsvqa.models.vlm.load import packages_to_install
from mdsvqa.runtime.workers import cores

_PACKAGES = ("torch", "transformers", "peft", "torchvision", "accelerate", "av", "flash-attn", "bitsandbytes")
# Beside the weights: activations and the cache of one video of 20 s at the default limits, in shares of the weights.
_ROOM = 1.3


@dataclass(frozen=True)
class Findings:
    """What `mdsvqa doctor` prints.

    Attributes:
        facts: what will be used, by what it is used for.
        packages: versions, "not installed" where there is none.
        fits: whether the model that was asked for fits, and why; empty when none was.
        checkpoint: what is made of it, by what it is about; empty when none was asked for, or it is not here.
        advice: what to install or change for more.
    """

    facts: Mapping[str, str]
    packages: Mapping[str, str]
    fits: str
    checkpoint: Mapping[str, str]
    advice: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(model: str | None = None, adapter: str | None = None, base_adapter: str | None = None) -> Findings:
    """Looks at this machine.

    Args:
        model: checkpoint that is to be run, a folder or a Hub name; nothing is fetched.
        adapter, base_adapter: on it.

    Raises:
        ModelError: the checkpoint is here and cannot be used, or an adapter does not fit whole.
    """
    gpu = torch.cuda.is_available()
    memory = device_memory()
    facts = {
        "mdsvqa": mdsvqa.__version__,
        "device": torch.cuda.get_device_name(0) if gpu else "CPU",
        "GPUs": str(torch.cuda.device_count()),
        "memory": f"{memory / 2**30:.1f} GiB free{' on the GPU' if gpu else ''}",
        "CPU cores": str(cores(0)),
        "precision": ("bfloat16" if torch.cuda.is_bf16_supported() else "float16") if gpu else "float32",
        "attention": "flash_attention_2" if gpu and find_spec("flash_attn") else "sdpa, windows packed",
        "Hub": os.environ.get("HF_ENDPOINT", "https://huggingface.co"),
        "decoding": f"PyAV {_version('av')}",
    }
    needed = packages_to_install()
    advice = [needed[0].upper() + needed[1:]] if needed else []
    conflict = installed_conflict()
    if conflict:
        advice.append(conflict)
    if not gpu:
        advice.append("No GPU: a 7B model is very slow on a CPU. Serve it elsewhere, or use the statistical model.")
    if gpu and not find_spec("flash_attn"):
        advice.append("pip install flash-attn makes long videos faster.")
    if gpu and not find_spec("bitsandbytes"):
        advice.append("pip install bitsandbytes allows --load-in-4bit, for a GPU with less than 20 GiB.")
    packages = {name: _version(name) for name in _PACKAGES}
    found = {} if model is None or needed else _checkpoint(model, adapter, base_adapter, advice)
    return Findings(facts, packages, "" if model is None else fits(model, memory, gpu), found, advice)


def _checkpoint(model: str, adapter: str | None, base_adapter: str | None, advice: list[str]) -> dict[str, str]:
    from mdsvqa.models.vlm.inspection import inspect_checkpoint  # noqa: PLC0415

    folder = _here(model)
    if folder is None or count_parameters(folder) == 0:
        return {}
    adapters = {}
    for what, name in (("base adapter", base_adapter), ("adapter", adapter)):
        if name is not None:
            place = _here(name)
            if place is None:
                advice.append(f"{name}: not on this machine, so it was not looked at. `hf download {name}` fetches it.")
            else:
                adapters[what] = (name, place)
    return inspect_checkpoint(folder, model, VlmSettings(), adapters)


def device_memory() -> int:
    """Free bytes of the first GPU, else those that the system can give."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info(0)[0])
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        try:
            lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        except (OSError, StopIteration):
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def fits(model: str, memory: int, gpu: bool) -> str:
    """Whether a checkpoint fits into a device's memory, in a sentence."""
    folder = _here(model)
    if folder is None:
        return f"{model}: not on this machine, so its size is not known. `hf download {model}` fetches it."
    parameters = count_parameters(folder)
    if parameters == 0:
        return f"{model}: no safetensors files in {folder}."
    size = parameters * (2 if gpu else 4)
    need = size * _ROOM
    verdict = "fits" if need < memory else "does not fit"
    text = (
        f"{model}: {parameters / 1e6:,.1f} million parameters, {size / 2**30:.2f} GiB of weights, about "
        f"{need / 2**30:.2f} GiB with one video; {verdict} into {memory / 2**30:.1f} GiB."
    )
    if need >= memory and gpu and parameters * 0.7 < memory:
        text += " With --load-in-4bit it does."
    return text


def _here(model: str) -> Path | None:
    """The folder of a checkpoint that is on this machine: its own, or that of the Hub's cache."""
    named = Path(model).expanduser()
    if named.is_dir():
        return named
    if find_spec("huggingface_hub") is None or model.count("/") != 1:
        return None
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(model.partition("@")[0], local_files_only=True))
    except (OSError, ValueError):
        return None


def count_parameters(folder: Path) -> int:
    """Parameters in a folder's safetensors files, from their headers."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                total += math.prod(tensor["shape"])
    return total


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

"""`mdsvqa merge`: a base checkpoint and its adapter as one checkpoint, for servers that do not take the adapter.

vLLM refuses adapters of the head, which the published trainer makes. The weights are merged in single precision and
written under the names and in the files of the base checkpoint, everything else is copied from it: whatever read the
base reads the result. What was written is then loaded again, and its logits held against those of base and adapter.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import mdsvqa
from mdsvqa.models.card import CARD, CITATION
from mdsvqa.models.checkpoints import FILES, find_checkpoint
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import made_up_clip
from mdsvqa.models.vlm.families.catalogue import family_of_model
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.run import Run

# Says that a folder was written here, and of what.
RECORD = "merge.json"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Merged:
    """A checkpoint that was written.

    Attributes:
        out: its folder.
        tensors: of the adapter that went into it.
        parameters: that it holds.
        difference: largest of the logits of what was written to those of base and adapter, on a made-up clip, both
            computed in single precision.
        spread: standard deviation of these logits.
    """

    out: Path
    tensors: int
    parameters: int
    difference: float
    spread: float


def merge_checkpoint(model: str, adapter: str, settings: VlmSettings, run: Run) -> Merged:
    """Writes a whole checkpoint.

    Args:
        model, adapter: folders or Hub names.
        settings: `dtype` of the weights ("auto" is bfloat16), `device`, and an adapter that belongs below as
            `base_adapter`.

    Raises:
        ModelError: the adapter does not fit whole; see `adapters.apply_adapter`.
        InputError: the folder is in use.
    """
    out = run.out
    if out.exists() and not (run.overwrite and (out / RECORD).is_file()) and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already. Name another folder, or --overwrite one that `mdsvqa merge` wrote.")
    dtype = {"float32": torch.float32, "float16": torch.float16}.get(settings.dtype, torch.bfloat16)
    single = settings.model_copy(update={"dtype": "float32", "load_in_4bit": False, "merge": False})
    with run.show.working(f"Loading {model} and {adapter}"):
        checkpoint = load_checkpoint(single, model, adapter)
    reader = VlmReader(checkpoint, single)
    with run.show.working("Reading a made-up clip"):
        wanted = _logits(reader)
    unfinished = out.with_name(out.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with run.show.working(f"Writing {out}"):
        merged = checkpoint.model.merge_and_unload()
        parameters = _write(find_checkpoint(model), merged, unfinished, dtype)
    maker = {**checkpoint.maker, "dtype": str(dtype).removeprefix("torch.")}
    # Two of them do not fit.
    del checkpoint, reader, merged
    with run.show.working("Loading what was written"):
        written = load_checkpoint(single.model_copy(update={"base_adapter": None}), str(unfinished))
        found = _logits(VlmReader(written, single))
    result = Merged(out, maker["adapter_tensors"], parameters, float((found - wanted).abs().max()), float(wanted.std()))
    _write_card(unfinished, maker, result)
    if out.exists():
        shutil.rmtree(out)
    unfinished.rename(out)
    return result


@torch.inference_mode()
def _logits(reader: VlmReader) -> Tensor:
    """Of the question about a made-up clip, on the CPU."""
    logits: Tensor = reader.model(**reader.batch([made_up_clip(reader.sight)], [reader.prompt])).logits
    return logits.float().cpu()


def _write(base: Path, merged: Any, out: Path, dtype: torch.dtype) -> int:
    """Writes the weights of a model in the files of its base, and copies what else lies there; parameters written."""
    weights, family = merged.state_dict(), family_of_model(merged)
    place: dict[str, str] = {}
    parameters = 0
    for pattern in FILES:
        for path in base.glob(pattern):
            if path.suffix != ".safetensors" and path.name != _INDEX:
                shutil.copyfile(path, out / path.name)
    keys: dict[Path, list[str]] = {}
    for path in _weight_files(base):
        with safe_open(path, "pt") as file:
            keys[path] = list(file.keys())
    # A head that shared the embedding's weight, and does no more.
    there = {name for names in keys.values() for name in names}
    untied = not merged.config.tie_word_embeddings and "lm_head.weight" not in map(family.current_name, there)
    if untied:
        older = any(family.current_name(name) != name for name in there)
        keys[max(keys)].append(family.old_name("lm_head.weight") if older else "lm_head.weight")
    for path, names in keys.items():
        tensors = {}
        with safe_open(path, "pt") as file:
            for name in names:
                found = weights.get(family.current_name(name))
                tensors[name] = _plain(file.get_tensor(name) if found is None else found, dtype)
        save_file(tensors, out / path.name, {"format": "pt"})
        # It keeps others from reading what it writes.
        shutil.copymode(out / "config.json", out / path.name)
        place |= dict.fromkeys(names, path.name)
        parameters += sum(tensor.numel() for tensor in tensors.values())
    if len(set(place.values())) > 1:
        total = parameters * (torch.finfo(dtype).bits // 8)
        _write_json(out / _INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))})
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    _write_json(out / "config.json", _described(config, str(dtype).removeprefix("torch."), untied=untied))
    return parameters


def _weight_files(base: Path) -> list[Path]:
    """The files of a checkpoint's weights: others may lie beside them."""
    if (base / _INDEX).is_file():
        found = json.loads((base / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        return [base / name for name in sorted(set(found))]
    return [base / "model.safetensors"]


def _described(config: dict[str, Any], dtype: str, *, untied: bool) -> dict[str, Any]:
    """A configuration, whole or of a part, of weights of another precision; the key has had two names."""
    changes: dict[str, Any] = {key: dtype for key in ("torch_dtype", "dtype") if key in config}
    if untied and "tie_word_embeddings" in config:
        changes["tie_word_embeddings"] = False
    parts = {key: _described(value, dtype, untied=untied) for key, value in config.items() if isinstance(value, dict)}
    return {**config, **parts, **changes}


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_card(folder: Path, maker: Mapping[str, Any], result: Merged) -> None:
    _write_json(folder / RECORD, {**maker, "difference": result.difference, "spread": result.spread})
    below = [maker["base_adapter"]] if "base_adapter" in maker else []
    header = {
        "base_model": maker["model"],
        "library_name": "transformers",
        "pipeline_tag": "video-text-to-text",
        "tags": ["video-quality-assessment", "merge", "mdsvqa"],
    }
    adapters = " and ".join(f"`{name}`" for name in [*below, maker["adapter"]])
    text = f"""\
---
{yaml.safe_dump(header, sort_keys=False)}---

# {maker["model"]} with {" and ".join([*below, maker["adapter"]])}

- Base model: `{maker["model"]}`
- Adapter: {adapters}, of which {result.tensors} tensors went in
- Precision: merged in float32, written in {maker["dtype"]}
- Made with: `mdsvqa merge`, mdsvqa {mdsvqa.__version__}

On a made-up clip the logits of these weights differ from those of base and adapter by {result.difference:.2g} at the
most (they have a standard deviation of {result.spread:.2g}).

Licence and limits are those of the two. The method is that of MDS-VQA:

```bibtex
{CITATION}
```
"""
    (folder / CARD).write_text(text, encoding="utf-8")

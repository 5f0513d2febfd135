"""An adapter beside a model against one that is merged into it: products, operations, time.

    python benchmarks/adapters.py              # a tiny model on the CPU, and the counts of the 7B shape
    python benchmarks/adapters.py --size 7b    # random weights of the 7B shape, on a GPU

Rank 64 on all linear layers of the language model, as the released adapters. Counted is one pass of the language model
over 14,400 tokens of video and 100 of text, and one token of a reply behind them, on a device that computes nothing.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mdsvqa.models.settings import LoraSettings, VlmSettings
from mdsvqa.models.training.lora import add_lora
from mdsvqa.models.vlm.adapter_rounding import merge_into
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.clips import made_up_clip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.tiny.model import make_model, make_processor
from vlm_scoring import build_7b, median_times

CONTEXT = 14_500


class Operations(TorchDispatchMode):
    """How many operations were called."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Views launch nothing.
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


def adapted(model: Any) -> Any:
    """A model with an adapter of random weights beside it, in its precision."""
    found = add_lora(model, LoraSettings(), 0).eval().to(next(model.parameters()).dtype)
    for name, weight in found.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    return found


def counted(model: Any, tokens: int) -> tuple[int, int]:
    """Floating-point operations and calls of a pass of the language model over so many tokens."""
    inside = (model.get_base_model() if hasattr(model, "get_base_model") else model).model.language_model
    given = torch.empty(1, tokens, inside.config.hidden_size, device="meta", dtype=next(model.parameters()).dtype)
    with torch.inference_mode(), FlopCounterMode(display=False) as products, Operations() as calls:  # type: ignore[no-untyped-call]
        inside(inputs_embeds=given, use_cache=False)
    return products.get_total_flops(), calls.count


def counts_of_7b() -> dict[str, float]:
    """Both ways on the 7B shape, where nothing is computed."""
    processor = make_processor()
    model = build_7b(processor, None, torch.device("meta"), torch.bfloat16)
    lengths = {"pass": CONTEXT, "token": 1}
    merged = {name: counted(model, tokens) for name, tokens in lengths.items()}
    # Last: it changes the model in place.
    beside_it = adapted(model)
    found = {}
    for name, tokens in lengths.items():
        products, calls = counted(beside_it, tokens)
        found[f"{name}_products"] = round(products / merged[name][0], 4)
        found[f"{name}_operations"] = round(calls / merged[name][1], 3)
    return found


def times(model: Any, processor: Any, count: int, tokens: int, repeats: int) -> dict[str, float]:
    """Seconds with the adapter beside the model over those with it merged, of both readings."""
    settings = VlmSettings(max_new_tokens=tokens)
    readers = {}
    for reading in ("expected", "generate"):
        asked = settings.model_copy(update={"reading": reading})
        readers[reading] = VlmReader(Checkpoint(model, processor, {}), asked)
    clips = [replace(made_up_clip(readers["expected"].sight, frames=8), id=str(k)) for k in range(count)]
    model.generation_config.eos_token_id = None
    beside = median_times({name: partial(reader.read, clips) for name, reader in readers.items()}, repeats)
    base = merge_into(model)
    for reader in readers.values():
        reader.model = base
    merged = median_times({name: partial(reader.read, clips) for name, reader in readers.items()}, repeats)
    return {f"{name}_time": round(beside[name] / merged[name], 3) for name in readers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "7b"], default="tiny")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    processor = make_processor()
    found: dict[str, Any]
    if arguments.size == "7b":
        model = adapted(build_7b(processor, None, torch.device("cuda"), torch.bfloat16))
        found = {"device": torch.cuda.get_device_name(0), **times(model, processor, 8, 100, arguments.repeats)}
    else:
        found = counts_of_7b()
        model = adapted(make_model(processor.tokenizer).eval())
        found |= times(model, processor, 16, 24, arguments.repeats)
    print(json.dumps({"size": arguments.size, **found}))


if __name__ == "__main__":
    main()

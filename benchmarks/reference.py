"""How near mdsvqa comes to the stack of the released checkpoint, on files in its layout.

`tests/reference_stack` holds a tiny base model and adapter as transformers 4.49 and PEFT 0.17 write them, and what they
compute. Prints the largest difference of logits in single precision; for comparison, that of today's transformers and
PEFT by themselves.

    .venv/bin/python benchmarks/reference.py
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import quiet, transformers
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.reader import VlmReader

STACK = Path(__file__).parents[1] / "tests" / "reference_stack"
BASE, ADAPTER = str(STACK / "base"), str(STACK / "adapter")


def difference(model: Any, name: str) -> float:
    """Largest one of the logits of the stored batch, its padding left out."""
    batch: dict[str, Tensor] = load_file(STACK / "batch.safetensors")
    wanted = load_file(STACK / "expected.safetensors")[name]
    with torch.inference_mode():
        found = model(**batch).logits
    return float((found - wanted)[batch["attention_mask"].bool()].abs().max())


def ours(adapter: str | None, **settings: Any) -> Any:
    asked = VlmSettings(**settings)
    return VlmReader(load_checkpoint(asked, BASE, adapter), asked).model


def by_themselves(adapter: str | None) -> Any:
    from peft import PeftModel  # noqa: PLC0415

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(BASE, dtype=torch.float32)
        return (model if adapter is None else PeftModel.from_pretrained(model, adapter)).eval()


def main() -> None:
    rows = [
        ("base model", "base_logits", ours(None), by_themselves(None)),
        ("base model and adapter", "adapter_logits", ours(ADAPTER), by_themselves(ADAPTER)),
        ("adapter merged", "adapter_logits", ours(ADAPTER, merge=True), None),
        ("adapter below another", "adapter_logits", ours(None, base_adapter=ADAPTER), None),
    ]
    print(f"{'largest difference of logits':30} {'mdsvqa':>10} {'transformers and PEFT':>24}")
    for name, stored, model, other in rows:
        theirs = "" if other is None else f"{difference(other, stored):.3g}"
        print(f"{name:30} {difference(model, stored):10.1e} {theirs:>24}")


if __name__ == "__main__":
    main()

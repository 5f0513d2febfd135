"""Adapters in half precision: products as the model's, weights in single precision."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("transformers")

from mdsvqa.models.settings import LoraSettings, VlmSettings
from mdsvqa.models.training.lora import adapter_weights, add_lora
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader

LORA = LoraSettings(rank=4, alpha=8, dropout=0.0)


class Products(TorchDispatchMode):
    """Counts matrix products by the precision of what is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter[torch.dtype] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name.removeprefix("aten::") in ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear"):
            self.kinds[args[-1].dtype] += 1
        return func(*args, **(kwargs or {}))


def lesson(tiny_vlm: Path, dtype: str) -> tuple[VlmReader, list[ModelClip]]:
    settings = VlmSettings(reading="expected", device="cpu", dtype=dtype)
    checkpoint = load_checkpoint(settings, str(tiny_vlm))
    model = add_lora(checkpoint.model, LORA, seed=0)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in adapter_weights(model).items():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    rng = np.random.default_rng(0)
    clips = [ModelClip(str(k), rng.integers(0, 256, (2, 3, 56, 56), np.uint8), 1.0, 4) for k in range(3)]
    return VlmReader(Checkpoint(model, checkpoint.processor, {}), settings), clips


def gradients(reader: VlmReader, clips: list[ModelClip]) -> dict[str, torch.Tensor]:
    reader.expectation(clips).value.sum().backward()
    return {name: weight.grad for name, weight in adapter_weights(reader.model).items()}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_no_product_of_a_step_is_in_single_precision(tiny_vlm: Path, checkpointing: bool) -> None:
    reader, clips = lesson(tiny_vlm, "bfloat16")
    reader.model.train()
    if checkpointing:
        reader.model.enable_input_require_grads()
        reader.model.gradient_checkpointing_enable({"use_reentrant": False})
    with Products() as products:
        found = gradients(reader, clips)
    assert products.kinds[torch.bfloat16] > 0
    assert products.kinds[torch.float32] == 0
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}


def as_peft_does(reader: VlmReader) -> None:
    """Undoes `multiply_as_model`."""
    for layer in reader.model.modules():
        if hasattr(layer, "cast_input_dtype_enabled"):
            layer.cast_input_dtype_enabled = True
            for part in (*layer.lora_A.values(), *layer.lora_B.values()):
                del part.forward


def test_in_single_precision_gradients_are_those_of_peft_as_it_is(tiny_vlm: Path) -> None:
    reader, clips = lesson(tiny_vlm, "float32")
    found = {name: gradient.clone() for name, gradient in gradients(reader, clips).items()}
    as_peft_does(reader)
    reader.model.zero_grad()
    for name, gradient in gradients(reader, clips).items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=0)


def test_in_half_precision_gradients_are_no_further_off_than_with_products_in_single(tiny_vlm: Path) -> None:
    def off(dtype: str, *, peft: bool) -> torch.Tensor:
        reader, clips = lesson(tiny_vlm, dtype)
        if peft:
            as_peft_does(reader)
        return torch.cat([gradient.flatten() for gradient in gradients(reader, clips).values()])

    true = off("float32", peft=True)
    single, half = ((off("bfloat16", peft=peft) - true).norm() / true.norm() for peft in (True, False))
    assert half < 1.3 * single

"""A checkpoint goes straight to its device, without a copy in main memory on the way."""

from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

pytest.importorskip("transformers")

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.checkpoint import load_checkpoint


def allocated(tiny_vlm: Path, **settings: str) -> tuple[int, torch.nn.Module]:
    """Most bytes of main memory that were allocated at a time in loading, beside the files, which are only mapped."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        model = load_checkpoint(VlmSettings(**settings), str(tiny_vlm)).model
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most - sum(path.stat().st_size for path in tiny_vlm.glob("*.safetensors")), model


def test_a_model_goes_to_its_device_tensor_by_tensor(tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this thread, which the profiler watches.
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")
    # A device that takes everything and holds nothing stands for a GPU.
    beside, model = allocated(tiny_vlm, device="meta", dtype="bfloat16")
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    sizes = [weight.nbytes for weight in model.parameters()]
    assert beside <= 2 * max(sizes) < sum(sizes) / 3
    # On the CPU the same count sees the model itself.
    here, model = allocated(tiny_vlm, device="cpu", dtype="bfloat16")
    assert here >= sum(weight.nbytes for weight in model.parameters())

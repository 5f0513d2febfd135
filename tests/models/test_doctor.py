from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from mdsvqa.models.base import ModelError
from mdsvqa.models.doctor import count_parameters, examine, fits
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm import load as vlm
from places import STACK


def test_parameters_are_counted_from_the_headers_of_the_files(tiny_vlm: Path) -> None:
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_vlm)
    assert count_parameters(tiny_vlm) == sum(parameter.numel() for parameter in model.parameters())


def test_a_model_fits_or_not_by_its_weights_and_some_room(tiny_vlm: Path) -> None:
    size = count_parameters(tiny_vlm) * 4
    assert "; fits into" in fits(str(tiny_vlm), 2 * size, gpu=False)
    assert "does not fit" in fits(str(tiny_vlm), size, gpu=False)
    tight = count_parameters(tiny_vlm)
    assert "--load-in-4bit it does" in fits(str(tiny_vlm), tight, gpu=True)


def test_a_model_that_is_not_here_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not on this machine" in fits("nobody/has-this", 10**12, gpu=True)
    assert "no safetensors" in fits(str(tmp_path), 10**12, gpu=True)


def test_a_checkpoint_and_its_adapter_are_looked_at_without_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.Qwen2_5_VLForConditionalGeneration, "from_pretrained", None)
    found = examine(str(STACK / "base"), str(STACK / "adapter")).checkpoint
    assert found["family"].startswith("Qwen2.5-VL")
    assert found["weights"] == "69 of 69 tensors; layout: before transformers 4.52"
    assert found["adapter"] == "44 of 44 tensors fit; layout: before transformers 4.52"
    assert "What is your overall rating" in found["prompt"]
    assert found["sampling"].startswith("2 frames a second, an even number")
    assert "repetition penalty 1.05 (the checkpoint's), at most 2,048 tokens" in found["decoding"]
    assert found["expected score"].startswith("available")


def test_adapters_on_top_of_each_other_are_looked_at(tiny_vlm: Path) -> None:
    adapter = str(STACK / "adapter")
    found = examine(str(STACK / "base"), adapter, adapter).checkpoint
    assert found["base adapter"] == found["adapter"]
    assert "2 frames at equal distances" in examine(str(tiny_vlm)).checkpoint["sampling"]


def test_an_adapter_that_does_not_fit_is_the_answer(tiny_vlm: Path) -> None:
    with pytest.raises(ModelError, match="of 44 tensors fit"):
        examine(str(tiny_vlm), str(STACK / "adapter"))


def test_the_findings_name_what_is_used_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlm, "find_spec", lambda name: None if name == "peft" else find_spec(name))
    found = examine()
    assert {"device", "memory", "attention", "precision"} <= set(found.facts)
    assert found.packages["torch"] != "not installed"
    assert any("peft" in advice and "mdsvqa[vlm]" in advice for advice in found.advice)
    assert found.fits == ""

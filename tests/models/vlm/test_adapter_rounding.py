"""An adapter is merged of itself where that rounds no more than the model does."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("transformers")

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.adapter_rounding import adapted_layers, rounding_of
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import made_up_clip
from mdsvqa.models.vlm.load import load_vlm
from mdsvqa.models.vlm.reader import VlmReader

from .test_adapters import ADAPTER, BASE, logits, logits_of, made_by_peft, stored


def read(adapter: Path, **settings: object) -> VlmReader:
    return load_vlm(str(BASE), VlmSettings(adapter=str(adapter), reading="expected", **settings))[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_adapter_is_merged_and_the_logits_stay_within_the_models_own_rounding(dtype: str) -> None:
    reader = read(ADAPTER, dtype=dtype)
    assert not hasattr(reader.model, "peft_config")
    # Against the stack that trained it, which computed in single precision.
    wanted = stored("adapter_logits")
    beside = (logits(adapter=ADAPTER, merge=False, dtype=dtype) - wanted).square().mean().sqrt()
    merged = (logits_of(reader.model) - wanted).square().mean().sqrt()
    assert merged < 2 * beside


def test_what_the_wider_precision_gives_is_what_the_model_gives_in_single_precision() -> None:
    asked = VlmSettings(dtype="bfloat16", reading="expected")
    reader = VlmReader(load_checkpoint(asked, str(BASE), str(ADAPTER)), asked)
    batch = reader.batch([made_up_clip(reader.sight)], [reader.prompt])
    before = {name: weight.clone() for name, weight in reader.model.named_parameters()}
    found = rounding_of(reader.model, batch)
    assert found is not None
    with torch.inference_mode():
        narrow = reader.model(**batch, logits_to_keep=32).logits.double()
        # All of it at once, weights that were rounded included.
        wide = reader.model.float()(**batch, logits_to_keep=32).logits.double()
    assert found.beside == pytest.approx(float((narrow - wide).square().mean().sqrt()), rel=0.05)
    for name, weight in reader.model.named_parameters():
        assert torch.equal(weight, before[name].float()), name


def test_an_adapter_that_half_precision_would_round_away_stays_beside_the_model() -> None:
    asked = VlmSettings(dtype="bfloat16", reading="expected")
    reader = VlmReader(load_checkpoint(asked, str(BASE), str(ADAPTER)), asked)
    layers = adapted_layers(reader.model)
    assert layers
    with torch.no_grad():
        for layer in layers:
            # Weights that cancel each other on inputs that are equal in pairs: all that is left is the adapter's, which
            # is far below their last bit, 2.
            layer.get_base_layer().weight.fill_(256)[:, 1::2] *= -1
            layer.register_forward_pre_hook(lambda _, x: (x[0][..., ::2].repeat_interleave(2, -1), *x[1:]))
    found = rounding_of(reader.model, reader.batch([made_up_clip(reader.sight)], [reader.prompt]))
    assert found is not None
    assert not found.may_merge
    reader.merge_if_as_good()
    assert hasattr(reader.model, "peft_config")


def test_what_is_asked_for_is_done_and_other_kinds_of_adapters_stay_beside(tmp_path: Path) -> None:
    assert not hasattr(read(ADAPTER, merge=True).model, "peft_config")
    assert hasattr(read(ADAPTER, merge=False).model, "peft_config")
    made_by_peft(tmp_path / "dora", older=False, use_dora=True)
    assert hasattr(read(tmp_path / "dora").model, "peft_config")


def test_results_of_models_that_were_not_merged_are_gone_on_with() -> None:
    assert VlmSettings().record()["merge"] is False
    assert VlmSettings(merge=False).record() == VlmSettings().record()
    assert VlmSettings(merge=True).record()["merge"] is True


def test_a_family_is_merged_and_scores_as_before(any_vlm: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    asked = VlmSettings(reading="expected")
    base = load_checkpoint(asked, str(any_vlm)).model
    torch.manual_seed(0)
    targets = r".*language_model.*(q|v|down)_proj"
    get_peft_model(base, LoraConfig(r=4, target_modules=targets, init_lora_weights=False)).save_pretrained(tmp_path)
    clips = None
    found = {}
    for merge in (None, False):
        reader, _ = load_vlm(str(any_vlm), asked.model_copy(update={"adapter": str(tmp_path), "merge": merge}))
        assert hasattr(reader.model, "peft_config") == (merge is False)
        clips = clips or [made_up_clip(reader.sight, frames, 2.0) for frames in (4, 6)]
        found[merge] = reader.expectation(clips).value
    torch.testing.assert_close(found[None], found[False], rtol=0, atol=1e-4)


def test_a_merged_adapter_takes_no_products() -> None:
    def products(reader: VlmReader) -> int:
        batch = reader.batch([made_up_clip(reader.sight)], [reader.prompt])
        with torch.inference_mode(), FlopCounterMode(display=False) as counted:
            reader.model(**batch, logits_to_keep=1)
        return counted.get_total_flops()

    plain = VlmSettings(reading="expected")
    alone = products(VlmReader(load_checkpoint(plain, str(BASE)), plain))
    assert products(read(ADAPTER)) == alone < products(read(ADAPTER, merge=False))

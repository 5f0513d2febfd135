"""Against what the stack of the released checkpoint computes, and every way in which a file can miss its model."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.adapters import CURRENT, OLD, apply_adapter
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.families.qwen2_5_vl import FAMILY
from mdsvqa.models.vlm.families.qwen2_5_vl_positions import keep_trained_positions
from mdsvqa.models.vlm.families.qwen2_5_vl_tower import speed_up
from mdsvqa.models.vlm.reader import VlmReader
from places import STACK

# Written by transformers 4.49 and PEFT 0.17, with the logits that they compute.
BASE, ADAPTER = STACK / "base", STACK / "adapter"
PLAIN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PREFIX = "base_model.model."


def logits(base: Path = BASE, adapter: Path | None = None, **settings: object) -> torch.Tensor:
    """Of the stored batch, its padding left out, by what mdsvqa loads."""
    asked = VlmSettings(**settings)
    checkpoint = load_checkpoint(asked, str(base), None if adapter is None else str(adapter))
    return logits_of(VlmReader(checkpoint, asked).model)


def logits_of(model: torch.nn.Module) -> torch.Tensor:
    batch = load_file(STACK / "batch.safetensors", device=str(next(model.parameters()).device))
    with torch.no_grad():
        return model(**batch).logits[batch["attention_mask"].bool()].cpu()


def stored(name: str) -> torch.Tensor:
    mask = load_file(STACK / "batch.safetensors")["attention_mask"].bool()
    return load_file(STACK / "expected.safetensors")[name][mask]


def off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max())


def test_the_base_model_gives_the_logits_of_the_stack_that_it_was_trained_with() -> None:
    assert off(logits(), stored("base_logits")) < 1e-4


@pytest.mark.parametrize("how", [{}, {"merge": True}])
def test_an_adapter_of_the_older_layout_is_applied_whole(how: dict[str, bool]) -> None:
    assert off(logits(adapter=ADAPTER, **how), stored("adapter_logits")) < 1e-4


def test_an_adapter_below_another_one_is_applied_whole_too() -> None:
    assert off(logits(base_adapter=str(ADAPTER)), stored("adapter_logits")) < 1e-4


def test_the_record_says_how_many_tensors_were_applied_and_the_copy_of_the_head_is_none_of_them() -> None:
    checkpoint = load_checkpoint(VlmSettings(), str(BASE), str(ADAPTER))
    assert (checkpoint.maker["adapter_tensors"], len(load_file(ADAPTER / "adapter_model.safetensors"))) == (44, 45)


def test_names_of_one_layout_become_those_of_the_other() -> None:
    current = dict(load_checkpoint(VlmSettings(), str(BASE)).model.named_modules())
    written = {name.rpartition(".")[0] for file in BASE.glob("*.safetensors") for name in load_file(file)}
    assert {FAMILY.current_name(name) for name in written} <= set(current)
    # Of `model.language_model` itself the older name is that of what holds it.
    inside = set(current) - {"", "model.language_model"}
    assert {FAMILY.current_name(FAMILY.old_name(name)) for name in inside} == inside
    assert {FAMILY.old_name(FAMILY.current_name(name)) for name in written} == written


def changed(
    folder: Path,
    tensors: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = lambda found: found,
    **config: object,
) -> Path:
    """The stored adapter with other tensors or settings."""
    shutil.copytree(ADAPTER, folder)
    path = folder / "adapter_model.safetensors"
    made = {key: value.contiguous() for key, value in tensors(load_file(path)).items()}
    save_file(made, path, {"format": "pt"})
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**settings, **config}))
    return folder


def renamed(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {PREFIX + FAMILY.current_name(key.removeprefix(PREFIX)): value for key, value in found.items()}


def modules_of(found: dict[str, torch.Tensor]) -> list[str]:
    return sorted({key.removeprefix(PREFIX).rpartition(".lora_")[0] for key in found if ".lora_" in key})


OLD_NAMES = modules_of(load_file(ADAPTER / "adapter_model.safetensors"))
EIGHT = dict.fromkeys(OLD_NAMES, 8)
NEW_NAMES = [FAMILY.current_name(name) for name in OLD_NAMES]


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        (renamed, {}),
        (renamed, {"target_modules": NEW_NAMES}),
        (renamed, {"target_modules": OLD_NAMES}),
        (dict, {"target_modules": OLD_NAMES}),
        (dict, {"target_modules": NEW_NAMES}),
        (dict, {"target_modules": [*PLAIN, "lm_head"]}),
        (dict, {"target_modules": r"model\.layers\..*_proj|lm_head"}),
        (dict, {"target_modules": [*PLAIN, "lm_head"], "exclude_modules": r"visual\..*"}),
        (lambda found: {k: v for k, v in found.items() if "base_layer" not in k}, {}),
        # Each module's own rank, by names of either layout.
        (dict, {"r": 64, "lora_alpha": 128, "rank_pattern": EIGHT, "alpha_pattern": dict.fromkeys(OLD_NAMES, 16)}),
        (renamed, {"r": 64, "rank_pattern": dict.fromkeys(NEW_NAMES, 8)}),
        # rslora scales by the root of the rank.
        (dict, {"use_rslora": True, "lora_alpha": 2 * 8**0.5}),
    ],
)  # fmt: skip
def test_an_adapter_is_applied_whole_however_its_files_say_the_same(tensors, config, tmp_path: Path) -> None:
    folder = changed(tmp_path / "adapter", tensors, **config)
    assert off(logits(adapter=folder), stored("adapter_logits")) < 1e-4
    assert off(logits(base_adapter=str(folder)), stored("adapter_logits")) < 1e-4


def half(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in found.items() if "layers.0" in key or "lm_head" in key}


def without_b(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in found.items() if not key.endswith("layers.1.mlp.up_proj.lora_B.weight")}


def elsewhere(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key.replace("model.layers", "transformer.h").replace("lm_head", "head"): value for key, value in found.items()
    }


def not_finite(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    key = PREFIX + "model.layers.1.mlp.up_proj.lora_B.weight"
    return {**found, key: found[key].index_fill(0, torch.tensor([3]), float("nan"))}


def one_more(name: str, *shape: int) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda found: {**found, PREFIX + name: torch.ones(shape)}


def another_head(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    key = PREFIX + "lm_head.base_layer.weight"
    return {**found, key: found[key] + 0.1 * torch.randn_like(found[key])}


@pytest.mark.parametrize(
    ("tensors", "config", "words"),
    [
        (half, {}, r"16 tensors fit .* 14 modules or tensors .*layers\.1\.mlp\.down_proj"),
        (half, {"target_modules": OLD_NAMES}, "are not in adapter_model"),
        (without_b, {}, r"up_proj\.lora_B\.weight"),
        (elsewhere, {}, r"0 of 45 tensors fit this model; .*there is no module .*VQR1-7B-YouTubeUGC"),
        (elsewhere, {"target_modules": ["h.0.mlp.up_proj"]}, "0 of 45 tensors fit"),
        (one_more("model.layers.9.mlp.up_proj.lora_A.weight", 8, 96), {}, r"44 of 45 .*there is no module .*layers\.9"),
        (one_more("visual.blocks.0.mlp.up_proj.lora_A.weight", 8, 64), {}, "44 of 45 .*says nothing of it"),
        (one_more("model.layers.0.self_attn.q_proj.weight", 96, 96), {}, "copy of a weight .* is not what"),
        (one_more("value_head.weight", 96), {}, "44 of 45 .*no module value_head"),
        (dict, {"r": 64}, r"0 of 44 .*its shape is \(\d+, \d+\), and \(\d+, \d+\) is expected"),
        (dict, {"rank_pattern": {"lm_head": 4}}, r"42 of 44 .*lm_head.*its shape"),
        (dict, {"target_modules": PLAIN}, "42 of 44 .*lm_head.*says nothing of it"),
        (another_head, {}, r"lm_head\.base_layer\.weight, its copy .*is not what this model has"),
        (not_finite, {}, r"layers\.1\.mlp\.up_proj\.lora_B\.weight in .* is not finite"),
        (dict, {"peft_type": "LOHA"}, "of PEFT's kind 'LOHA'; expected LORA"),
        (dict, {"bias": "all"}, 'bias "all", which is not computed here'),
        (dict, {"lora_bias": True}, "lora_bias true"),
        (dict, {"layer_replication": [[0, 2], [1, 3]]}, "layer_replication"),
        (dict, {"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
        (dict, {"some_new_switch": True}, "some_new_switch true"),
        (dict, {"use_dora": True}, "lora_magnitude_vector"),
        (dict, {"modules_to_save": ["embed_tokens"]}, r"embed_tokens\.weight"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("merge", [False, True])
def test_what_does_not_fit_whole_is_refused_with_what_does_not(tensors, config, words, merge, tmp_path: Path) -> None:
    folder = changed(tmp_path / "adapter", tensors, **config)
    with pytest.raises(ModelError, match=words):
        logits(adapter=folder, merge=merge)


def test_files_that_are_cut_or_lacking_are_refused(tmp_path: Path) -> None:
    folder = changed(tmp_path / "adapter")
    whole = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        logits(adapter=folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        logits(adapter=folder)
    (folder / "adapter_config.json").write_text("{")
    (folder / "adapter_model.safetensors").write_bytes(whole)
    with pytest.raises(ModelError, match=r"adapter_config\.json cannot be read"):
        logits(adapter=folder)
    save_file({}, folder / "adapter_model.safetensors")
    shutil.copy(ADAPTER / "adapter_config.json", folder)
    with pytest.raises(ModelError, match="is empty"):
        logits(adapter=folder)


def made_by_peft(folder: Path, *, older: bool, base: Path = BASE, **config: object) -> torch.Tensor:
    """An adapter as PEFT itself makes and saves one, and the logits of the model that it was saved from."""
    from peft import LoraConfig, get_peft_model

    model = load_checkpoint(VlmSettings(), str(base)).model
    keep_trained_positions(model.model)
    speed_up(model.model.visual)
    torch.manual_seed(3)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **{"target_modules": PLAIN, **config})).eval()
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight) + ("magnitude" in name) * 0.2)
    adapted.save_pretrained(folder)
    if older:
        path = folder / "adapter_model.safetensors"
        found = {PREFIX + FAMILY.old_name(key.removeprefix(PREFIX)): value for key, value in load_file(path).items()}
        save_file(found, path, {"format": "pt"})
    return logits_of(adapted)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_dora": True},
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"modules_to_save": ["visual.merger"]},
        {"r": 4, "rank_pattern": {"q_proj": 2, r"layers.1.mlp.up_proj": 6}, "alpha_pattern": {"o_proj": 3}},
        {"layers_to_transform": [0, 2], "layers_pattern": "layers"},
    ],
)
def test_what_peft_saves_is_applied_as_peft_computes_it(config, older: bool, tmp_path: Path) -> None:
    wanted = made_by_peft(tmp_path / "adapter", older=older, **config)
    assert off(logits(), wanted) > 1e-2
    for how in ({"adapter": tmp_path / "adapter"}, {"adapter": tmp_path / "adapter", "merge": True}):
        assert off(logits(**how), wanted) < 1e-4, how


def test_adapters_of_the_vision_tower_that_the_file_has_not_are_not_made(tmp_path: Path) -> None:
    folder = changed(tmp_path / "adapter", target_modules=[*PLAIN, "lm_head"])
    model = load_checkpoint(VlmSettings(), str(BASE), str(folder)).model
    adapted = {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert len(adapted) == 44
    assert not any("visual" in name for name in adapted)


def tied(folder: Path) -> Path:
    """The stored base model with one weight for the embedding and the head, as the 3B model has it."""
    checkpoint = load_checkpoint(VlmSettings(), str(BASE))
    model = checkpoint.model
    model.lm_head.weight = model.get_input_embeddings().weight
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = True
    model.save_pretrained(folder)
    checkpoint.processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"]])
def test_one_of_two_modules_that_share_a_weight_is_merged_alone(targets: list[str], tmp_path: Path) -> None:
    base = tied(tmp_path / "base")
    assert not any("lm_head" in name for file in base.glob("*.safetensors") for name in load_file(file))
    wanted = made_by_peft(tmp_path / "adapter", older=True, base=base, target_modules=["q_proj", *targets])
    for merge in (False, True):
        assert off(logits(base, tmp_path / "adapter", merge=merge), wanted) < 1e-4


def test_an_adapter_says_in_which_layout_it_was_written(tmp_path: Path) -> None:
    for tensors, layout in ((dict, OLD), (renamed, CURRENT)):
        folder = changed(tmp_path / layout.split()[0], tensors)
        assert apply_adapter(load_checkpoint(VlmSettings(), str(BASE)).model, folder, "a", merge=False).layout == layout


def test_training_goes_on_top_of_an_adapter_of_the_older_layout(tmp_path: Path) -> None:
    from mdsvqa.models.settings import LoraSettings
    from mdsvqa.models.training.lora import add_lora, save_adapter

    below = load_checkpoint(VlmSettings(base_adapter=str(ADAPTER)), str(BASE)).model
    trained = add_lora(below, LoraSettings(rank=4, alpha=8), 0).eval()
    keep_trained_positions(FAMILY.inside(trained))
    assert off(logits_of(trained), stored("adapter_logits")) < 1e-4
    with torch.no_grad():
        for weight in (w for w in trained.parameters() if w.requires_grad):
            weight.add_(0.05 * torch.randn_like(weight))
    save_adapter(trained, tmp_path / "on-top", str(BASE))
    wanted = logits_of(trained)
    assert off(logits(adapter=tmp_path / "on-top", base_adapter=str(ADAPTER)), wanted) < 1e-4
    # Without the one below it is another model, and nothing in the files could say so.
    assert off(logits(adapter=tmp_path / "on-top"), wanted) > 1e-2


@pytest.mark.parametrize("lost", [r"model\.layers\.1\.mlp\.up_proj", r"visual\.merger", r"lm_head"])
def test_a_base_model_without_some_of_its_weights_is_refused(lost: str, tmp_path: Path) -> None:
    folder = shutil.copytree(BASE, tmp_path / "base")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for path in folder.glob("*.safetensors"):
        save_file({k: v for k, v in load_file(path).items() if not re.match(lost, k)}, path, {"format": "pt"})
    index["weight_map"] = {k: v for k, v in index["weight_map"].items() if not re.match(lost, k)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="of its weights are not in the files"):
        logits(folder)

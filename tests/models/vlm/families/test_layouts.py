"""Names of tensors in files of every family, older ones and those of today: loaded, merged, inspected alike."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file

from mdsvqa.models.settings import LoraSettings, VlmSettings
from mdsvqa.models.training.lora import adapter_weights, add_lora, save_adapter
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, resize_clip
from mdsvqa.models.vlm.families.catalogue import FAMILIES, family_named, family_of
from mdsvqa.models.vlm.inspection import inspect_checkpoint
from mdsvqa.models.vlm.load import load_vlm
from mdsvqa.models.vlm.merging import merge_checkpoint
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.run import Run
from mdsvqa.videos.clip import Clip

READ = VlmSettings(reading="expected", dtype="float32")


@pytest.fixture
def layouts(any_vlm: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies of a checkpoint with today's names of tensors, and with those that they had before transformers 4.52."""
    family, found = family_of(any_vlm, "tiny"), {}
    tensors = load_file(any_vlm / "model.safetensors")
    for layout, name_of in (("current", family.current_name), ("older", family.old_name)):
        found[layout] = shutil.copytree(any_vlm, tmp_path / layout)
        renamed = {name_of(family.current_name(name)): value for name, value in tensors.items()}
        save_file(renamed, found[layout] / "model.safetensors", {"format": "pt"})
    return found


def scores(model: Path, adapter: Path | None = None) -> list[float]:
    reader, _ = load_vlm(str(model), READ.model_copy(update={"adapter": None if adapter is None else str(adapter)}))
    rng = np.random.default_rng(0)
    clips = [Clip(str(k), rng.integers(0, 256, (4, 3, 90, 160), dtype=np.uint8), np.arange(4) / 2) for k in range(3)]
    seen = [resize_clip(clip, reader.sight) for clip in clips]
    with torch.no_grad():
        found: list[float] = reader.expectation([clip for clip in seen if isinstance(clip, ModelClip)]).value.tolist()
    return found


@pytest.fixture
def adapter(any_vlm: Path, tmp_path: Path) -> Path:
    """One that changes every score."""
    model = add_lora(load_checkpoint(READ, str(any_vlm)).model, LoraSettings(rank=4, alpha=8), 0)
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in adapter_weights(model).values():
            weight.add_(0.1 * torch.randn_like(weight))
    save_adapter(model, tmp_path / "adapter", "tiny")
    return tmp_path / "adapter"


def test_both_layouts_of_a_checkpoint_give_the_same_scores(any_vlm: Path, layouts: dict[str, Path]) -> None:
    assert scores(layouts["current"]) == scores(layouts["older"]) == scores(any_vlm)
    family = family_of(any_vlm, "tiny")
    names = {layout: set(load_file(folder / "model.safetensors")) for layout, folder in layouts.items()}
    # Qwen3-VL has had one.
    assert (names["current"] == names["older"]) == (family.name == "Qwen3-VL")
    assert any(name.startswith(family.vision) for name in names["current"])


def test_what_is_merged_scores_like_base_and_adapter(
    any_vlm: Path, layouts: dict[str, Path], adapter: Path, tmp_path: Path
) -> None:
    wanted = scores(any_vlm, adapter)
    assert wanted != pytest.approx(scores(any_vlm), abs=1e-3)
    for layout, base in layouts.items():
        out = tmp_path / f"merged-{layout}"
        merged = merge_checkpoint(str(base), str(adapter), READ, Run(out, Silent()))
        assert merged.difference < 1e-4
        assert scores(out) == pytest.approx(wanted, abs=1e-4)
        assert load_file(out / "model.safetensors").keys() == load_file(base / "model.safetensors").keys()


def test_an_adapter_of_the_older_layout_is_applied_whole(any_vlm: Path, adapter: Path) -> None:
    wanted = scores(any_vlm, adapter)
    family, prefix = family_of(any_vlm, "tiny"), "base_model.model."
    tensors = load_file(adapter / "adapter_model.safetensors")
    renamed = {prefix + family.old_name(name.removeprefix(prefix)): value for name, value in tensors.items()}
    save_file(renamed, adapter / "adapter_model.safetensors")
    config = (adapter / "adapter_config.json").read_text()
    (adapter / "adapter_config.json").write_text(config.replace(r".*\\.language_model\\..*_proj", r".*layers.*_proj"))
    assert len(renamed) > 20
    assert scores(any_vlm, adapter) == wanted


def test_an_adapter_changes_the_language_model_only(any_vlm: Path, adapter: Path) -> None:
    family = family_of(any_vlm, "tiny")
    names = [name.removeprefix("base_model.model.") for name in load_file(adapter / "adapter_model.safetensors")]
    # Three layers of seven projections, two matrices each.
    assert len(names) == 3 * 7 * 2
    assert all(name.startswith("model.language_model.layers.") for name in names)
    assert not any(name.startswith(family.vision) for name in names)


def test_a_checkpoint_is_inspected_in_both_layouts(any_vlm: Path, layouts: dict[str, Path], adapter: Path) -> None:
    family = family_of(any_vlm, "tiny")
    found = inspect_checkpoint(layouts["current"], "tiny", VlmSettings(), {"adapter": ("its adapter", adapter)})
    assert found["family"].startswith(f"{family.name} (")
    assert found["adapter"] == "42 of 42 tensors fit; layout: current"
    assert found["expected score"].startswith("available")
    assert "2 frames at equal distances" in found["sampling"]
    assert "layout: current" in found["weights"]
    old = inspect_checkpoint(layouts["older"], "tiny", VlmSettings(), {})
    assert old["weights"].split(";")[0] == found["weights"].split(";")[0]


def test_a_family_is_a_file_of_at_most_350_lines_and_a_line() -> None:
    import mdsvqa.models.vlm.families as place

    for name in FAMILIES:
        files = list(Path(place.__file__).parent.glob(f"{name}.py"))
        assert [path.name for path in files] == [f"{name}.py"]
        assert sum(1 for line in files[0].open() if line.strip()) <= 350
        assert family_named(name).architectures

"""What a GPU changes: precision, kernels, memory that is measured. Skipped where there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from mdsvqa.models.settings import AdapterTraining, LoraSettings, VlmSettings
from mdsvqa.models.training import loop
from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.lora import adapter_weights, add_lora
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.families import fused
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.mds import mds
from mdsvqa.selection.settings import SelectionSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
LORA = LoraSettings(rank=4, alpha=8, dropout=0.0)


def clips(count: int = 6) -> list[ModelClip]:
    """Of three sizes, frames with windows that are not whole among them."""
    rng = np.random.default_rng(0)
    shapes = [(2, 2, 3), (4, 5, 3), (6, 3, 5)]
    made = []
    for k in range(count):
        frames, rows, columns = shapes[k % 3]
        level = rng.integers(40, 215)
        pixels = np.clip(level + rng.normal(0, 5 + 9 * k, (frames, 3, 28 * rows, 28 * columns)), 0, 255)
        made.append(ModelClip(str(k), pixels.astype(np.uint8), 1.0, frames // 2 * rows * columns))
    return made


def reader(tiny_vlm: Path, device: str, dtype: str, reading: str = "expected", **options: object) -> VlmReader:
    settings = VlmSettings(reading=reading, device=device, dtype=dtype, max_new_tokens=24, **options)
    return VlmReader(load_checkpoint(settings, str(tiny_vlm)), settings)


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-3), ("bfloat16", 0.1)])
def test_expected_scores_are_those_of_the_cpu(tiny_vlm: Path, dtype: str, near: float) -> None:
    wanted = [score.expected for score in reader(tiny_vlm, "cpu", "float32").read(clips())]
    found = [score.expected for score in reader(tiny_vlm, "cuda", dtype).read(clips())]
    assert found == pytest.approx(wanted, abs=near)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_tower_is_no_further_off_than_as_transformers_has_it(
    tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(fused, "LARGE", 1)
    slow, fast = reader(tiny_vlm, "cpu", "float32"), reader(tiny_vlm, "cuda", dtype)
    plain = load_checkpoint(VlmSettings(device="cuda", dtype=dtype), str(tiny_vlm)).model
    for clip in clips(3):
        wanted = slow.looked_at(clip).seen
        with torch.inference_mode():
            found = fast.looked_at(clip).seen.float().cpu()
            batch = fast.batch([clip], [fast.prompt])
            theirs = plain.get_video_features(batch["pixel_values_videos"], batch["video_grid_thw"]).pooler_output
        off, usual = ((each - wanted).norm() for each in (found, torch.cat(theirs).float().cpu()))
        assert float(off) < 1.2 * float(usual) + 1e-3 * float(wanted.norm())


def test_replies_in_single_precision_are_those_of_the_cpu(tiny_vlm: Path) -> None:
    wanted = [score.text for score in reader(tiny_vlm, "cpu", "float32", "generate").read(clips())]
    for options in ({}, {"batch_tokens": 300}):
        found = reader(tiny_vlm, "cuda", "float32", "generate", **options).read(clips())
        assert sum(score.text == text for score, text in zip(found, wanted, strict=True)) >= 5


def gradient(tiny_vlm: Path, device: str, dtype: str) -> tuple[dict[str, torch.Tensor], bool]:
    settings = VlmSettings(reading="expected", device=device, dtype=dtype)
    checkpoint = load_checkpoint(settings, str(tiny_vlm))
    model = add_lora(checkpoint.model, LORA, seed=0)
    torch.manual_seed(3)
    for name, weight in adapter_weights(model).items():
        if "lora_B" in name:
            weight.data.copy_(torch.randn(weight.shape) * 0.02)
    own = VlmReader(Checkpoint(model, checkpoint.processor, {}), settings)
    training = AdapterTraining(lora=LORA, steps=1, batch_size=6)
    run = loop._Run(model, training, 1, Path("nowhere"), Processes())
    model.train()
    objective = Fidelity(own, np.arange(6.0), np.zeros(6, np.int64), 0.3)
    run._gradient(objective, np.arange(6), np.arange(6), dict(enumerate(clips())))
    found = {name: weight.grad.float().cpu() for name, weight in adapter_weights(model).items()}
    return found, run._parts(objective, np.arange(6), dict(enumerate(clips())))[1]


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-3), ("bfloat16", 0.2)])
def test_gradients_are_those_of_the_cpu_and_all_graphs_of_a_small_batch_are_kept(
    tiny_vlm: Path, dtype: str, near: float
) -> None:
    wanted, _ = gradient(tiny_vlm, "cpu", "float32")
    found, kept = gradient(tiny_vlm, "cuda", dtype)
    assert kept
    off = sum(float((found[name] - wanted[name]).square().sum()) for name in wanted)
    whole = sum(float(gradient.square().sum()) for gradient in wanted.values())
    assert (off / whole) ** 0.5 < near


def test_the_greedy_choice_is_that_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(9, 64))
    videos = [centers[k % 9] + 0.3 * rng.normal(size=(4, 64)) for k in range(3000)]
    content = Content.stack(
        [(each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float16) for each in videos]
    )
    pool = Pool([str(k) for k in range(3000)], rng.choice([1.0, 2.0, 2.5, 3.0], 3000), content)
    picks = [
        [pick.index for pick in mds(pool, 200, SelectionSettings(device=device, scale="raw"), 0)]
        for device in ("cpu", "cuda")
    ]
    assert picks[0] == picks[1]

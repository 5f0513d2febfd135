"""Fine-tuning of a tiny model of every family: it learns to rank what it did not know."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

pytest.importorskip("transformers")

from mdsvqa.models.settings import AdapterTraining, LoraSettings, VlmSettings
from mdsvqa.models.training.batches import training_batches
from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.loop import train_adapter
from mdsvqa.models.training.lora import add_lora
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, resize_clip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.clip import Clip

READ = VlmSettings(reading="expected")
TRAINED, HELD_OUT = 32, 16


def noisy_clips(reader: VlmReader) -> tuple[list[ModelClip], np.ndarray]:
    """Grey clips with noise, and minus its strength: more noise is worse, whatever the model says of it before."""
    rng = np.random.default_rng(7)
    strength = rng.uniform(0, 60, TRAINED + HELD_OUT)
    made = []
    for number, sigma in enumerate(strength):
        grey = rng.uniform(60, 190) + rng.normal(0, sigma, (2, 3, 120, 160))
        clip = Clip(f"c{number}", np.clip(grey, 0, 255).astype(np.uint8), np.arange(2) / 2, 2.0, 1.0)
        found = resize_clip(clip, reader.sight)
        assert isinstance(found, ModelClip)
        made.append(found)
    return made, -strength


def test_fidelity_fine_tuning_raises_srcc_on_held_out_videos_by_a_tenth(differing_vlm: Path, tmp_path: Path) -> None:
    training = AdapterTraining(
        lora=LoraSettings(rank=16, alpha=32, dropout=0.0), steps=40, batch_size=16, learning_rate=2e-3, evaluations=1
    )
    checkpoint = load_checkpoint(READ, str(differing_vlm))
    model = add_lora(checkpoint.model, training.lora, seed=0)
    reader = VlmReader(Checkpoint(model, checkpoint.processor, {}), READ)
    clips, truth = noisy_clips(reader)

    def held_out_srcc() -> float:
        model.eval()
        scores = [score.score for score in reader.read(clips[TRAINED:])]
        return float(spearmanr(scores, truth[TRAINED:]).statistic)

    before = held_out_srcc()
    dataset = np.zeros(TRAINED, np.int64)
    objective = Fidelity(reader, truth[:TRAINED], dataset, 0.3)
    rising = iter(range(100))
    train_adapter(
        model,
        objective,
        lambda: training_batches(dataset, np.zeros(TRAINED, bool), training.batch_size, seed=0),
        clips.__getitem__,
        # The last weights are kept: nothing is chosen by the held-out clips.
        lambda: {"srcc": float(next(rising))},
        training,
        training.steps or 1,
        tmp_path,
        Silent(),
        Processes(),
    )
    after = held_out_srcc()
    assert after >= before + 0.10
    assert after > 0.3

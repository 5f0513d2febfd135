"""Answers by levels: the score is the mean of what levels count, by their probabilities; on every family."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from pydantic import ValidationError

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.adapter_trainer import AdapterTrainer
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, resize_clip
from mdsvqa.models.vlm.levels import level_score, level_tokens
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.clip import Clip

LEVELS = VlmSettings(reading="expected", answers="levels")


def test_the_score_is_the_formula_of_q_align_by_hand() -> None:
    logits = torch.tensor([[0.3, 2.0, 1.0, 0.0, -1.0, -2.0, 0.7]])
    odds = np.exp([2.0, 1.0, 0.0, -1.0, -2.0])
    found = level_score(logits, (1, 2, 3, 4, 5))
    assert found.value.item() == pytest.approx(float(odds @ [5, 4, 3, 2, 1] / odds.sum()), abs=1e-6)
    everything = np.exp(logits.numpy()[0].astype(float)).sum()
    assert found.on_scale.item() == pytest.approx(odds.sum() / everything, abs=1e-6)


@pytest.fixture
def reader(any_vlm: Path) -> VlmReader:
    """With a head that writes levels, and every other word hardly."""
    checkpoint = load_checkpoint(LEVELS, str(any_vlm))
    levels = level_tokens(checkpoint.processor.tokenizer)
    head = checkpoint.model.lm_head
    biased = torch.full((head.out_features,), -20.0)
    biased[list(levels)] = 0.0
    head.bias = torch.nn.Parameter(biased)
    return VlmReader(checkpoint, LEVELS)


def test_levels_are_read_behind_the_question_and_its_beginning(reader: VlmReader) -> None:
    rng = np.random.default_rng(0)
    shapes = [(2, 90, 160), (5, 160, 90), (4, 120, 120)]
    clips = [
        Clip(str(k), rng.integers(0, 256, (n, 3, h, w), dtype=np.uint8), np.arange(n) / 2)
        for k, (n, h, w) in enumerate(shapes)
    ]
    seen = [clip for clip in (resize_clip(clip, reader.sight) for clip in clips) if isinstance(clip, ModelClip)]
    together = reader.read(seen)
    asked = reader.tokenizer.decode([*reader.prompt.before, *reader.prompt.after])
    assert prompts.QUALITY_LEVELS in asked
    assert asked.endswith("assistant\n" + prompts.LEVELS_OPENING)
    for clip, score in zip(seen, together, strict=True):
        with torch.inference_mode():
            logits = reader.model(**reader.batch([clip], [reader.prompt])).logits[0, -1].double()
        odds = torch.stack([logits[token] for token in reader.levels]).softmax(-1).numpy()
        assert score.status == "ok"
        assert score.score == pytest.approx(float(odds @ [5, 4, 3, 2, 1]), abs=1e-4)
    assert len({score.score for score in together}) == 3


def test_a_model_that_means_no_level_has_no_score(any_vlm: Path) -> None:
    reader = VlmReader(load_checkpoint(LEVELS, str(any_vlm)), LEVELS)
    with torch.no_grad():
        reader.model.lm_head.weight.zero_()
    flat = resize_clip(Clip("flat", np.full((2, 3, 90, 160), 90, np.uint8), np.array([0.0, 0.5])), reader.sight)
    (score,) = reader.read([flat])
    assert (score.status, score.score) == ("unparsable", None)
    assert "probability of 0.0" in score.text


def test_what_goes_together_and_what_is_trained(any_vlm: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="reading: expected"):
        VlmSettings(answers="levels")
    with pytest.raises(ModelError, match="scored here and not trained"):
        AdapterTrainer.load(str(any_vlm), LEVELS, VlmFinetuning(), tmp_path, Silent(), Processes())
    assert "answers" not in VlmSettings().record()
    assert LEVELS.record()["answers"] == "levels"
    # A failure predictor on it is asked for a number.
    other = VlmReader(load_checkpoint(LEVELS, str(any_vlm)), LEVELS, prompts.DIFFICULTY)
    assert other.levels is None

"""Steps of a training are what they would be in one piece: parts, kills, processes and memory change nothing."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from mdsvqa.models.settings import AdapterTraining, LoraSettings, VlmSettings
from mdsvqa.models.training import loop as adapter_training
from mdsvqa.models.training.batches import training_batches
from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.loop import Stop, train_adapter
from mdsvqa.models.training.lora import adapter_weights, add_lora, save_adapter
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, Prompt, resize_clip
from mdsvqa.models.vlm.expected import AnswerTree, read_tree, read_tree_at_once
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.token_sampling import draw_replies, log_probabilities
from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.clip import Clip

READ = VlmSettings(reading="expected")
# Without dropout parts of a batch see the same network as the whole does.
SMALL = AdapterTraining(lora=LoraSettings(rank=4, alpha=8, dropout=0.0), steps=4, batch_size=6, learning_rate=1e-3)


def seen_clips(reader: VlmReader, count: int) -> list[ModelClip]:
    """Of mixed sizes and lengths."""
    rng = np.random.default_rng(3)
    shapes = [(2, 90, 160), (6, 160, 90), (4, 120, 120)]
    made = []
    for number in range(count):
        frames, height, width = shapes[number % 3]
        level = rng.integers(40, 215)
        pictures = np.clip(level + rng.normal(0, 4 + 5 * number, (frames, 3, height, width)), 0, 255).astype(np.uint8)
        found = resize_clip(Clip(f"clip-{number}", pictures, np.arange(frames) * 0.5, 24.0, frames / 2), reader.sight)
        assert isinstance(found, ModelClip)
        made.append(found)
    return made


class Lesson:
    """A fresh adapter on the tiny model, clips, and the fidelity objective."""

    def __init__(self, tiny_vlm: Path, lora: LoraSettings = SMALL.lora, form_weight: float = 0.3) -> None:
        checkpoint = load_checkpoint(READ, str(tiny_vlm))
        self.model = add_lora(checkpoint.model, lora, seed=0)
        self.checkpoint = Checkpoint(self.model, checkpoint.processor, {})
        self.reader = VlmReader(self.checkpoint, READ, prompts.DIFFICULTY)
        self.clips = seen_clips(self.reader, 12)
        self.truth = np.random.default_rng(1).normal(size=12)
        self.dataset = np.array([0, 1] * 6)
        self.objective = Fidelity(self.reader, self.truth, self.dataset, form_weight)

    def batches(self):
        return training_batches(self.dataset, np.zeros(12, bool), 6, seed=0, least=3)

    def evaluate(self):
        # As real ones do: evaluations leave the model in evaluation mode and the generator somewhere else.
        self.model.eval()
        torch.randn(7)
        return {"srcc": 0.0}

    def train(self, folder: Path, training: AdapterTraining, evaluate=None):
        return train_adapter(
            self.model,
            self.objective,
            self.batches,
            self.clips.__getitem__,
            evaluate or self.evaluate,
            training,
            training.steps or 1,
            folder,
            Silent(),
            Processes(),
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in adapter_weights(self.model).items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=atol)


def test_the_tree_at_once_gives_the_logits_of_the_tree_behind_a_cache(any_vlm: Path) -> None:
    lesson = Lesson(any_vlm)
    reader = lesson.reader
    tree = AnswerTree.of(reader.answer)
    batch = reader.batch(lesson.clips[:3], [reader.prompt] * 3)
    with torch.no_grad():
        first, behind = read_tree(lesson.reader.family, lesson.model, batch, tree)
        other_first, other_behind = read_tree_at_once(lesson.reader.family, lesson.model, batch, tree)
    torch.testing.assert_close(other_first, first, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other_behind, behind, rtol=1e-3, atol=1e-4)


def gradients(lesson: Lesson, training: AdapterTraining, batch: np.ndarray) -> dict[str, torch.Tensor]:
    run = adapter_training._Run(lesson.model, training, 4, Path("nowhere"), Processes())
    lesson.model.train()
    run._gradient(lesson.objective, batch, batch, dict(enumerate(lesson.clips)))
    found = {name: weight.grad.clone() for name, weight in adapter_weights(lesson.model).items()}
    lesson.model.zero_grad()
    return found


def test_parts_of_a_batch_give_the_gradient_of_the_whole_with_and_without_checkpointing(tiny_vlm: Path) -> None:
    lesson, batch = Lesson(tiny_vlm), np.arange(8)
    whole = gradients(lesson, SMALL, batch)
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-6
    parts = gradients(lesson, SMALL.model_copy(update={"batch_tokens": 600}), batch)
    assert_equal(whole, parts, atol=2e-6)
    kept = gradients(lesson, SMALL.model_copy(update={"gradient_checkpointing": True}), batch)
    assert_equal(whole, kept, atol=2e-6)


def test_the_gradient_of_the_loss_is_that_of_finite_differences(tiny_vlm: Path) -> None:
    lesson, batch = Lesson(tiny_vlm, form_weight=0.0), np.arange(6)
    found = gradients(lesson, SMALL, batch)
    name = next(name for name in found if "lora_B" in name)
    weight = adapter_weights(lesson.model)[name]
    place = tuple(int(i) for i in np.unravel_index(int(found[name].abs().argmax()), weight.shape))

    def loss() -> float:
        values = lesson.reader.expectation([lesson.clips[i] for i in batch]).value
        return lesson.objective.coefficients(values, batch)[1]["loss"]

    step, at = 3e-2, float(weight[place].detach())
    with torch.no_grad():
        weight[place] = at + step
        above = loss()
        weight[place] = at - step
        below = loss()
    assert (above - below) / (2 * step) == pytest.approx(float(found[name][place]), rel=0.05)


def test_a_kill_and_a_rerun_give_the_same_weights(any_vlm: Path, tmp_path: Path) -> None:
    training = SMALL.model_copy(
        update={"evaluations": 4, "lora": LoraSettings(rank=4, alpha=8, dropout=0.3), "steps": 4, "patience": 9}
    )
    rising = iter(range(100))
    whole = Lesson(any_vlm, training.lora)
    whole.train(tmp_path / "whole", training, lambda: {"srcc": float(next(rising))})

    killed = Lesson(any_vlm, training.lora)
    rising, evaluations = iter(range(100)), iter(range(100))

    def killing() -> dict[str, float]:
        if next(evaluations) == 3:
            raise KeyboardInterrupt
        return {"srcc": float(next(rising))}

    with pytest.raises(KeyboardInterrupt):
        killed.train(tmp_path / "killed", training, killing)
    again = Lesson(any_vlm, training.lora)
    course = again.train(tmp_path / "killed", training, lambda: {"srcc": float(next(rising))})
    assert_equal(whole.weights(), again.weights())
    assert [line["step"] for line in course.log] == [0, 1, 2, 3, 4]
    assert course.best_step == 4


def test_the_best_weights_are_kept_and_patience_ends_a_training(tiny_vlm: Path, tmp_path: Path) -> None:
    training = SMALL.model_copy(update={"steps": 12, "evaluations": 12, "patience": 2})
    srcc = iter([0.1, 0.3, 0.2, math.nan, 0.9])
    lesson = Lesson(tiny_vlm)
    kept: list[dict[str, torch.Tensor]] = []

    def evaluate() -> dict[str, float]:
        kept.append(lesson.weights())
        return {"srcc": next(srcc)}

    course = lesson.train(tmp_path, training, evaluate)
    assert (course.best_step, len(course.log)) == (1, 4)
    assert "no better SRCC" in course.stopped
    assert_equal(lesson.weights(), kept[1])
    # All is told by the file, and a rerun does nothing more.
    assert Lesson(tiny_vlm).train(tmp_path, training).stopped == course.stopped
    assert (tmp_path / "log.csv").read_text().count("\n") == 5
    assert len(list((tmp_path / "tensorboard").glob("events.*"))) == 1


def test_what_an_evaluation_calls_harmful_ends_a_training_with_its_reason(tiny_vlm: Path, tmp_path: Path) -> None:
    def evaluate() -> dict[str, float]:
        raise Stop("all scores are the same")

    assert Lesson(tiny_vlm).train(tmp_path, SMALL, evaluate).stopped == "all scores are the same"


def test_a_batch_that_does_not_fit_is_halved_and_trained_all_the_same(
    tiny_vlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Lesson(tiny_vlm)
    whole.train(tmp_path / "whole", SMALL)
    small = Lesson(tiny_vlm)
    read, sizes = small.reader.expectation, []

    def little_memory(clips: Sequence[ModelClip]):
        sizes.append(len(clips))
        if len(clips) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(clips)

    monkeypatch.setattr(small.reader, "expectation", little_memory)
    small.train(tmp_path / "small", SMALL.model_copy(update={"batch_tokens": 1600}))
    assert max(sizes[-4:]) <= 2
    assert_equal(whole.weights(), small.weights(), atol=1e-4)


def test_log_probabilities_of_replies_are_those_of_a_plain_pass_whatever_is_beside_them(any_vlm: Path) -> None:
    lesson = Lesson(any_vlm)
    reader = VlmReader(lesson.checkpoint, VlmSettings(max_new_tokens=24), prompts.DIFFICULTY)
    torch.manual_seed(0)
    drawn = draw_replies(reader, lesson.clips[:6])
    replies = [reply.tokens[: 3 + number] for number, reply in enumerate(drawn)]
    with torch.no_grad():
        together = log_probabilities(reader, lesson.clips[:6], replies)
    for clip, reply, found in zip(lesson.clips, replies, together, strict=False):
        batch = reader.batch([clip], [Prompt(reader.prompt.before, [*reader.prompt.after, *reply])])
        with torch.no_grad():
            logits = lesson.model(**batch).logits[0].float()
        logits[:, reader.suppressed] = -torch.inf
        steps = logits.log_softmax(-1)
        start = len(batch["input_ids"][0]) - len(reply)
        plain = sum(float(steps[start + k - 1, token]) for k, token in enumerate(reply))
        assert float(found) == pytest.approx(plain, abs=2e-3)


def test_an_adapter_is_read_by_plain_peft(any_vlm: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    lesson = Lesson(any_vlm)
    lesson.train(tmp_path / "run", SMALL, lambda: {"srcc": 0.0})
    with torch.no_grad():
        for weight in adapter_weights(lesson.model).values():
            weight.add_(0.01)
    save_adapter(lesson.model, tmp_path / "adapter", str(any_vlm))
    loaded = PeftModel.from_pretrained(load_checkpoint(READ, str(any_vlm)).model, str(tmp_path / "adapter"))
    reader = VlmReader(Checkpoint(loaded.eval(), lesson.checkpoint.processor, {}), READ, prompts.DIFFICULTY)
    lesson.model.eval()
    assert [s.expected for s in reader.read(lesson.clips)] == [s.expected for s in lesson.reader.read(lesson.clips)]

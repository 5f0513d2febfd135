"""What vLLM is given in this process and what is made of its replies, where a made-up module stands for vLLM."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("openai")

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.load import load_scorer
from mdsvqa.models.vlm.reader import VlmReader

SETTINGS = VlmSettings(runner="vllm", dtype="float32", device="cpu", max_new_tokens=32)


class Engine:
    """Replies 3.42 to every video, to the first draw of `unparsable` nothing, as `vllm.LLM` would."""

    made: ClassVar["list[Engine]"] = []
    unparsable: frozenset[str] = frozenset()
    lost = 0

    def __init__(self, **options: Any) -> None:
        self.options, self.asked = options, []
        Engine.made.append(self)

    def get_default_sampling_params(self) -> SimpleNamespace:
        return SimpleNamespace(repetition_penalty=1.05)

    def generate(self, asked: list[dict[str, Any]], drawn: list[SimpleNamespace], *, use_tqdm: bool) -> list[Any]:
        self.asked.append((asked, drawn))
        found = []
        for prompt, sampling in zip(asked, drawn, strict=True):
            ((frames, _),) = prompt["multi_modal_data"]["video"]
            tokens = len(frames) // 2 * frames.shape[1] * frames.shape[2] // 28**2
            text = "no" if sampling.temperature == 0 and len(frames) in self.unparsable else "<answer>3.42"
            written = ["<answer>", *"3.42"]
            pieces = [{k: SimpleNamespace(decoded_token=piece, logprob=0.0)} for k, piece in enumerate(written)]
            output = SimpleNamespace(
                text=text, token_ids=range(5), logprobs=pieces, finish_reason="stop", stop_reason="</answer>"
            )
            length = len(prompt["prompt_token_ids"]) - 1 + tokens - self.lost
            found.append(SimpleNamespace(prompt_token_ids=[0] * length, outputs=[output] * sampling.n))
        return found


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[Engine]:
    module = SimpleNamespace(__version__="0.32.0", LLM=Engine, SamplingParams=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(Engine, "made", [])
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
    return Engine


def clip(name: str, steps: int, seconds_per_grid: float) -> ModelClip:
    frames = np.random.default_rng(steps).integers(0, 256, (2 * steps, 3, 56, 112), dtype=np.uint8)
    return ModelClip(name, frames, seconds_per_grid, steps * 8)


def test_vllm_gets_the_prompt_of_the_model_with_the_frames_and_their_times(vllm: type[Engine], tiny_vlm: Path) -> None:
    reader, maker = load_scorer(str(tiny_vlm), SETTINGS)
    assert (maker["engine"], maker["repetition_penalty"]) == ("vllm 0.32.0", 1.05)
    clips = [clip("a", 3, 1.0), clip("b", 5, 0.4)]
    heard: list[int] = []
    scores = reader.read(clips, heard.append)
    assert [(s.id, s.score, s.status, s.text) for s in scores] == [
        (name, 3.42, "ok", "<answer>3.42</answer>") for name in "ab"
    ]
    assert sum(heard) == 2
    (engine,) = vllm.made
    assert engine.options["dtype"] == "float32"
    ((asked, drawn),) = engine.asked
    # The tokens of the model itself around the place of the video, once.
    local = VlmSettings(dtype="float32", device="cpu", max_new_tokens=32)
    prompt = VlmReader(load_checkpoint(local, str(tiny_vlm)), local).prompt
    for given, sampling, seen, rate in zip(asked, drawn, clips, (2.0, 5.0), strict=True):
        ids = given["prompt_token_ids"]
        assert (ids[: len(prompt.before)], ids[len(prompt.before) + 1 :]) == (prompt.before, prompt.after)
        ((frames, about),) = given["multi_modal_data"]["video"]
        assert np.array_equal(frames.transpose(0, 3, 1, 2), seen.frames)
        assert (about["fps"], about["frames_indices"]) == (rate, list(range(len(seen.frames))))
        assert not about["do_sample_frames"]
        assert given["mm_processor_kwargs"] == {"do_resize": False}
        assert (sampling.temperature, sampling.n, sampling.seed, sampling.max_tokens) == (0.0, 1, None, 32)
        assert (sampling.repetition_penalty, sampling.stop, sampling.logprobs) == (1.05, ["</answer>"], 20)


def test_an_unparsable_reply_is_drawn_again_and_samples_are_averaged(
    vllm: type[Engine], tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "unparsable", frozenset({6}))
    clips = [clip("a", 3, 1.0), clip("b", 5, 1.0)]
    reader, _ = load_scorer(str(tiny_vlm), SETTINGS)
    assert [score.status for score in reader.read(clips)] == ["unparsable", "ok"]
    reader, _ = load_scorer(str(tiny_vlm), SETTINGS.model_copy(update={"retries": 2}))
    assert [score.status for score in reader.read(clips)] == ["ok", "ok"]
    (_, (again, drawn)) = vllm.made[-1].asked
    assert (len(again), drawn[0].temperature, drawn[0].n) == (1, 1.0, 1)
    reader, _ = load_scorer(str(tiny_vlm), SETTINGS.model_copy(update={"samples": 4}))
    assert [score.spread for score in reader.read(clips)] == [0.0, 0.0]
    ((_, drawn),) = vllm.made[-1].asked
    assert [sampling.n for sampling in drawn] == [4, 4]
    assert drawn[0].seed != drawn[1].seed


def test_frames_that_vllm_drops_are_found_out(
    vllm: type[Engine], tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "lost", 8)
    reader, _ = load_scorer(str(tiny_vlm), SETTINGS)
    with pytest.raises(ModelError, match="reads 16 tokens of video 'a', which has 24"):
        reader.read([clip("a", 3, 1.0)])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reading": "expected"}, "writes replies"),
        ({"adapter": "somebody/adapter"}, "`mdsvqa merge` writes"),
        ({"base_adapter": "somebody/adapter"}, "`mdsvqa merge` writes"),
        ({"load_in_4bit": True}, "quantised checkpoint"),
    ],
)
def test_what_vllm_does_not_do_is_refused(tiny_vlm: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_scorer(str(tiny_vlm), SETTINGS.model_copy(update=changed))


def test_no_vllm_or_one_that_ignores_times_is_said_in_one_sentence(
    vllm: type[Engine], tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["vllm"], "__version__", "0.18.1")
    with pytest.raises(ModelError, match=r"vLLM 0\.18\.1 ignores the times of frames; it minds them from 0\.19 on"):
        load_scorer(str(tiny_vlm), SETTINGS)
    # As if there were none.
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"vLLM is not installed here .*: pip install vllm, or let transformers run"):
        load_scorer(str(tiny_vlm), SETTINGS)


def test_scores_of_transformers_stay_what_they_were_recorded_as() -> None:
    assert "runner" not in VlmSettings().record()
    assert SETTINGS.record()["runner"] == "vllm"

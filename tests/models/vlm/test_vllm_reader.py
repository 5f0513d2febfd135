"""What vLLM is given and what is made of its replies, where a made-up module stands for vLLM."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("openai")

from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from mdsvqa.cli.app import app
from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import LoraSettings, QualitySettings, VlmSettings
from mdsvqa.models.training.lora import add_lora, save_adapter
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.load import load_scorer, score_with_vlm
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.videos.manifest import load_videos

SETTINGS = VlmSettings(runner="vllm", dtype="float32", device="cpu", max_new_tokens=32)


class Engine:
    """Replies 3.42 to every video, to the first draw of `unparsable` nothing, as `vllm.LLM` would."""

    made: ClassVar["list[Engine]"] = []
    unparsable: frozenset[str] = frozenset()
    lost = 0

    def __init__(self, **options: Any) -> None:
        self.options, self.asked, self.ended = options, [], False
        self.llm_engine = SimpleNamespace(engine_core=self)
        Engine.made.append(self)

    def get_default_sampling_params(self) -> SimpleNamespace:
        return SimpleNamespace(repetition_penalty=1.05)

    def shutdown(self) -> None:
        self.ended = True

    def generate(
        self, asked: list[dict[str, Any]], drawn: list[SimpleNamespace], *, use_tqdm: bool, lora_request: Any
    ) -> list[Any]:
        self.asked.append((asked, drawn))
        self.adapter = lora_request
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
    requests = SimpleNamespace(LoRARequest=lambda *found: found)
    monkeypatch.setitem(sys.modules, "vllm.lora", SimpleNamespace(request=requests))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", requests)
    monkeypatch.setattr(Engine, "made", [])
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


@pytest.mark.parametrize("changed", [{"reading": "expected"}, {"load_in_4bit": True}])
def test_what_vllm_does_not_do_is_refused_by_the_settings(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"`runner: vllm` writes replies .* or `runner: transformers`"):
        VlmSettings(runner="vllm", **changed)


def test_an_adapter_of_the_language_models_layers_goes_beside_the_checkpoint(
    vllm: type[Engine], tiny_vlm: Path, tmp_path: Path
) -> None:
    model = add_lora(load_checkpoint(VlmSettings(device="cpu"), str(tiny_vlm)).model, LoraSettings(rank=9), 0)
    save_adapter(model, tmp_path / "taken", "x")
    asked = SETTINGS.model_copy(update={"adapter": str(tmp_path / "taken")})
    reader, maker = load_scorer(str(tiny_vlm), asked)
    reader.read([clip("a", 3, 1.0)])
    (engine,) = vllm.made
    assert (engine.options["enable_lora"], engine.options["max_lora_rank"]) == (True, 16)
    assert engine.adapter == ("adapter", 1, str(tmp_path / "taken"))
    assert maker["adapter_weights"]
    # Whatever else an adapter has vLLM would leave out.
    shutil.copytree(tmp_path / "taken", tmp_path / "pattern")
    config = json.loads((tmp_path / "taken" / "adapter_config.json").read_text())
    (tmp_path / "pattern" / "adapter_config.json").write_text(json.dumps(config | {"rank_pattern": {"q_proj": 2}}))
    shutil.copytree(tmp_path / "taken", tmp_path / "head")
    weights = load_file(tmp_path / "taken" / "adapter_model.safetensors")
    head = {"base_model.model.lm_head.lora_A.weight": next(iter(weights.values())).clone()}
    save_file({**weights, **head}, tmp_path / "head" / "adapter_model.safetensors")
    for name, what in (
        ("pattern", "its adapter_config.json has rank_pattern"),
        ("head", "it has base_model.model.lm_h"),
    ):
        with pytest.raises(ModelError, match=f"{what}.*`mdsvqa merge` writes base and adapter as one"):
            load_scorer(str(tiny_vlm), SETTINGS.model_copy(update={"adapter": str(tmp_path / name)}))
    with pytest.raises(ModelError, match="`mdsvqa merge` writes base and adapter as one"):
        load_scorer(str(tiny_vlm), SETTINGS.model_copy(update={"base_adapter": str(tmp_path / "taken")}))


def test_a_study_that_trains_above_an_adapter_is_told_to_merge_it_first() -> None:
    with pytest.raises(ValidationError, match="takes one adapter, the one that is trained"):
        QualitySettings(model="a/b", vlm={"runner": "vllm", "adapter": "c/d"})


def test_the_command_runs_it_and_a_study_ends_it(
    vllm: type[Engine], tiny_vlm: Path, small_corpus: Path, tmp_path: Path
) -> None:
    score = ["score", str(small_corpus), "--model", str(tiny_vlm), "--limit", "3", "--engine", "vllm", "-j", "1"]
    done = CliRunner().invoke(app, [*score, "--device", "cpu", "--out", str(tmp_path / "scores")])
    assert done.exit_code == 0, done.output
    assert read_table(tmp_path / "scores")["score"].to_pylist() == [3.42] * 3
    # Before a study trains, the GPU is free again.
    score_with_vlm(load_videos(small_corpus)[:3], str(tiny_vlm), SETTINGS, Run(tmp_path / "again", Silent()))
    assert vllm.made[1].ended
    for more, message in (
        (["--read", "expected"], "writes replies"),
        (["--server", "http://localhost:1/v1"], "runs the checkpoint on this machine"),
    ):
        refused = CliRunner().invoke(app, [*score, *more, "--out", str(tmp_path / "b")])
        assert refused.exit_code != 0
        assert re.search(message, " ".join(f"{refused.output} {refused.exception}".split()))


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

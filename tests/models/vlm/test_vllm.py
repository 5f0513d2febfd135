"""Scores through a real vLLM on the CPU, against those of the same checkpoint loaded here; `make vllm` installs it."""

import json
import os
import pickle
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("openai")

import mdsvqa
from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import LoraSettings, ServedSettings, VlmSettings
from mdsvqa.models.training.lora import add_lora, save_adapter
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, read_clip
from mdsvqa.models.vlm.load import load_vlm
from mdsvqa.models.vlm.merging import merge_checkpoint
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.served import ServedModel
from mdsvqa.models.vlm.served_many import score_served
from mdsvqa.models.vlm.served_messages import frame_parts, times_of
from mdsvqa.models.vlm.tiny.making import make_tiny_vlm
from mdsvqa.models.vlm.tiny.training import TinyTraining
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.simulated.corpus import make_corpus
from places import VLLM

COMMAND = VLLM / "bin" / "vllm"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND.is_file(), reason="no vLLM in .vllm; `make vllm` installs one (some minutes)"),
]
PIXELS = 8 * 28 * 28
LIMITS = {"max_pixels": PIXELS, "min_pixels": PIXELS, "dtype": "float32", "device": "cpu"}
# vLLM on two cores.
ALONE = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
IN_PROCESS = """
import pickle
import sys
from pathlib import Path

sys.path.append(sys.argv[1])

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.load import score_with_vlm
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.run import Run

if __name__ == "__main__":
    videos, model, settings, out = pickle.loads(Path(sys.argv[2]).read_bytes())
    score_with_vlm(videos, model, VlmSettings(**settings), Run(out, Silent(), 0))
"""
DOCUMENTED = ["--media-io-kwargs", '{"video": {"num_frames": -1, "fps": 2.0}}']
TRUSTING = ["--trust-request-mm-kwargs"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory):
    return load_videos(
        make_corpus(tmp_path_factory.mktemp("corpus"), source=40, pool=4, test=2, seconds=(2.0, 5.0), workers=2)
    )


@pytest.fixture(scope="module")
def checkpoint(videos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that answers, with an adapter that adapts its head merged into it, in single precision."""
    folder = tmp_path_factory.mktemp("vllm")
    # vLLM knows no heads as narrow as those of the usual tiny model.
    training = TinyTraining(steps=150, batch=8, learning_rate=3e-3)
    make_tiny_vlm(folder / "base", videos[:40], videos[:4], training, 2, Silent(), pixels=PIXELS, frames=4, width=128)
    for name in ("processor_config.json", "generation_config.json"):
        found = json.loads((folder / "base" / name).read_text())
        if name.startswith("processor"):
            # As the released one: frames by a rate.
            found["video_processor"].pop("num_frames", None)
            # Else a frame that was reduced to a little less than the limit would be enlarged again.
            found["video_processor"]["size"]["shortest_edge"] = 28 * 28
        else:
            found["repetition_penalty"] = 1.05
        (folder / "base" / name).write_text(json.dumps(found))
    from peft import LoraConfig, get_peft_model

    model = load_checkpoint(VlmSettings(**LIMITS), str(folder / "base")).model
    torch.manual_seed(0)
    targets = r".*language_model.*(q|v)_proj|lm_head"
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    with torch.no_grad():
        for weight in (w for n, w in adapted.named_parameters() if "lora_B" in n):
            weight.mul_(0.05)
    adapted.save_pretrained(folder / "adapter")
    settings = VlmSettings(dtype="float32")
    merged = merge_checkpoint(str(folder / "base"), str(folder / "adapter"), settings, Run(folder / "merged", Silent()))
    assert merged.difference < 1e-3
    return folder / "merged"


@contextmanager
def vllm(checkpoint: Path, home: Path, options: list[str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(COMMAND),
        "serve",
        str(checkpoint),
        "--served-model-name",
        "tiny",
        "--dtype",
        "float32",
        "--port",
        str(port),
    ]
    limits = ["--enforce-eager", "--max-model-len", "4096", "--max-num-seqs", "8"]
    limits += ["--limit-mm-per-prompt", '{"video": 1, "image": 0}']
    with (home / "vllm.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *limits, *options], env={**os.environ, **ALONE}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (home / "vllm.log").read_text()[-3000:]
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm(checkpoint, tmp_path_factory.mktemp("server"), [*DOCUMENTED, *TRUSTING]) as url:
        yield url


def local(checkpoint: Path, **settings: Any) -> VlmReader:
    asked = VlmSettings(**{**LIMITS, **settings})
    return VlmReader(load_checkpoint(asked, str(checkpoint)), asked)


def noise(steps: int, rate: float) -> ModelClip:
    frames = np.random.default_rng(steps).integers(0, 256, (2 * steps, 3, 56, 112), dtype=np.uint8)
    return ModelClip(f"clip-{steps}", frames, 2 / rate, steps * 8)


@pytest.mark.parametrize("rate", [1.0, 2.0, 4.0])
def test_log_probabilities_of_the_first_token_are_those_of_the_model_itself(server, checkpoint, rate: float) -> None:
    model = local(checkpoint)
    for steps in (2, 5, 10, 20):
        clip = noise(steps, rate)
        content = [*frame_parts(clip, as_video=True), {"type": "text", "text": prompts.QUALITY}]
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 20,
            "return_tokens_as_token_ids": True,
            **({} if rate == 2 else times_of(clip)),
        }
        request = urllib.request.Request(
            f"{server}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            listed = json.load(answer)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        with torch.inference_mode():
            own = model.model(**model.batch([clip], [model.prompt])).logits[0, -1].log_softmax(-1)
        off = max(abs(each["logprob"] - float(own[int(each["token"].removeprefix("token_id:"))])) for each in listed)
        print(f"{rate:g} frames a second, {steps} steps: log-probabilities differ by {off:.1e}")
        assert off < 1e-3


@pytest.mark.parametrize("rate", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("reading", ["generate", "expected"])
def test_twenty_videos_have_the_scores_of_the_model_itself(
    server, checkpoint, videos, reading: str, rate: float, tmp_path: Path
) -> None:
    settings = VlmSettings(**{**LIMITS, "reading": reading, "fps": rate, "max_new_tokens": 64})
    served = ServedSettings(url=server, model="tiny", concurrency=8)
    rows = score_served(videos[:20], served, settings, Run(tmp_path / "scores", Silent(), 2)).to_pylist()
    model = local(checkpoint, reading=reading, fps=rate, max_new_tokens=64)
    own = model.read([read_clip(video, model.sight) for video in videos[:20]])
    if reading == "generate":
        assert model.penalty == 1.05
        assert [(row["id"], row["text"]) for row in rows] == [(score.id, score.text) for score in own]
        assert [row["score"] for row in rows] == [score.score for score in own]
        assert sum(row["status"] == "ok" for row in rows) >= 10, [row["text"] for row in rows]
    assert [row["status"] for row in rows] == [score.status for score in own]
    pairs = [(row["expected"], score.expected) for row, score in zip(rows, own, strict=True) if score.expected]
    assert pairs
    off = max(abs(theirs - ours) for theirs, ours in pairs)
    print(f"{reading} at {rate:g} frames a second: expected scores of {len(pairs)} videos differ by {off:.1e}")
    assert off < 0.005


def read_by_vllm(videos, checkpoint: Path, settings: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Rows of a scores table that the environment of vLLM makes."""
    (folder / "asked").write_bytes(pickle.dumps((videos, str(checkpoint), settings, folder / "here")))
    (folder / "score.py").write_text(IN_PROCESS)
    # What vLLM's environment lacks of ours comes behind what it has.
    packages, source = (str(Path(module.__file__).parents[1]) for module in (pytest, mdsvqa))
    command = [str(COMMAND.with_name("python")), str(folder / "score.py"), packages, str(folder / "asked")]
    done = subprocess.run(
        command, env={**os.environ, **ALONE, "PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return read_table(folder / "here").to_pylist()


@pytest.mark.parametrize(("rate", "samples"), [(4.0, 1), (2.0, 3)])
def test_vllm_without_a_server_gives_the_replies_of_its_server_and_of_the_model_itself(
    server, checkpoint, videos, rate: float, samples: int, tmp_path: Path
) -> None:
    asked = VlmSettings(**{**LIMITS, "fps": rate, "max_new_tokens": 64, "samples": samples})
    served = ServedSettings(url=server, model="tiny", concurrency=8)
    wanted = score_served(videos[:20], served, asked, Run(tmp_path / "served", Silent(), 2)).to_pylist()
    here = {**LIMITS, "fps": rate, "max_new_tokens": 64, "samples": samples, "runner": "vllm"}
    found = read_by_vllm(videos[:20], checkpoint, here, tmp_path)
    for name in ("id", "status", "text", "score", "spread"):
        assert [row[name] for row in found] == [row[name] for row in wanted], name
    pairs = [(row["expected"], other["expected"]) for row, other in zip(found, wanted, strict=True) if row["expected"]]
    assert pairs
    off = max(abs(one - other) for one, other in pairs)
    print(f"{rate:g} frames a second, {samples} replies: expected scores in the process and served differ by {off:.1e}")
    assert off < 1e-4
    if samples == 1:
        model = local(checkpoint, fps=rate, max_new_tokens=64)
        own = model.read([read_clip(video, model.sight) for video in videos[:20]])
        assert [row["text"] for row in found] == [score.text for score in own]


def test_vllm_applies_an_adapter_that_was_trained_here(checkpoint, videos, tmp_path: Path) -> None:
    settings = VlmSettings(**LIMITS)
    adapted = add_lora(load_checkpoint(settings, str(checkpoint)).model, LoraSettings(rank=4, alpha=8), 0)
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    save_adapter(adapted, tmp_path / "adapter", str(checkpoint))
    asked = {**LIMITS, "max_new_tokens": 64, "adapter": str(tmp_path / "adapter")}
    found = read_by_vllm(videos[:20], checkpoint, {**asked, "runner": "vllm"}, tmp_path)
    model, plain = (load_vlm(str(checkpoint), VlmSettings(**{**asked, **more}))[0] for more in ({}, {"adapter": None}))
    own, before = (reader.read([read_clip(video, reader.sight) for video in videos[:20]]) for reader in (model, plain))
    assert [row["text"] for row in found] == [score.text for score in own]
    pairs = [(row["expected"], score.expected) for row, score in zip(found, own, strict=True) if score.expected]
    assert pairs
    off = max(abs(one - other) for one, other in pairs)
    assert off < 0.005
    # By far more the adapter changes.
    changed = [abs(a.expected - b.expected) for a, b in zip(own, before, strict=True) if a.expected and b.expected]
    print(f"with an adapter expected scores differ by {off:.1e}, where it changes them by up to {max(changed):.1e}")
    assert max(changed) > 5 * 0.005


def test_a_server_as_it_is_documented_is_right_at_its_rate_and_refuses_others_in_one_sentence(
    checkpoint, videos, tmp_path: Path
) -> None:
    with vllm(checkpoint, tmp_path, DOCUMENTED) as url:
        settings = VlmSettings(**{**LIMITS, "reading": "expected"})
        rows = score_served(
            videos[:4], ServedSettings(url=url, model="tiny"), settings, Run(tmp_path / "a", Silent(), 0)
        )
        model = local(checkpoint, reading="expected")
        own = model.read([read_clip(video, model.sight) for video in videos[:4]])
        assert rows["score"].to_pylist() == pytest.approx([score.score for score in own], abs=0.005)
        with pytest.raises(ModelError, match="Start vLLM with --trust-request-mm-kwargs"):
            ServedModel(ServedSettings(url=url, model="tiny"), settings.model_copy(update={"fps": 4.0}))
    assert read_table(tmp_path / "a").num_rows == 4


@pytest.mark.parametrize("options", [[], ["--media-io-kwargs", '{"video": {"num_frames": -1}}']])
def test_a_server_that_takes_frames_to_have_other_times_is_found_out(checkpoint, options, tmp_path: Path) -> None:
    with vllm(checkpoint, tmp_path, options) as url, pytest.raises(ModelError, match=r'"fps": 2\.0'):
        ServedModel(ServedSettings(url=url, model="tiny"), VlmSettings(**LIMITS))


def test_a_server_that_takes_other_times_and_can_be_told_is_told(checkpoint, videos, tmp_path: Path) -> None:
    with vllm(checkpoint, tmp_path, TRUSTING) as url:
        settings = VlmSettings(**{**LIMITS, "reading": "expected"})
        served = ServedModel(ServedSettings(url=url, model="tiny"), settings)
        assert served.abilities.says_times
        model = local(checkpoint, reading="expected")
        clips = [read_clip(video, model.sight) for video in videos[:4]]
        wanted = [score.score for score in model.read(clips)]
        assert [score.score for score in served.read(clips)] == pytest.approx(wanted, abs=0.005)

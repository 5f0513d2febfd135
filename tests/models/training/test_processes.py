"""Several processes compute what one does, end together when one of them fails, and go on as fewer or more."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file

from mdsvqa.models.training.batches import check_shares
from mdsvqa.models.training.processes import Processes
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import read_table

ACCELERATE = Path(__file__).parents[3] / "configs" / "accelerate"
# Dropout is off: processes would draw other masks than one does.
SCRIPT = """
import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
from mdsvqa.models.settings import AdapterTraining, LoraSettings, VlmSettings
from mdsvqa.runtime.progress import Silent
from mdsvqa.models.vlm import prompts
from mdsvqa.models.training.loop import train_adapter
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.lora import adapter_weights, add_lora
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.clips import ModelClip

model_folder, out, steps, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = VlmSettings(reading="expected")
checkpoint = load_checkpoint(settings, model_folder)
training = AdapterTraining(lora=LoraSettings(rank=4, alpha=8, dropout=0.0), steps=steps,
                          evaluations=steps, learning_rate=1e-3)
model = add_lora(checkpoint.model, training.lora, 0)
reader = VlmReader(Checkpoint(model, checkpoint.processor, {}), settings, prompts.DIFFICULTY)
rng = np.random.default_rng(0)
clips = [
    ModelClip(str(k), rng.integers(0, 255, (2 + 2 * (k % 2), 3, 56, 28 + 28 * (k % 3)), np.uint8), 0.5,
             (1 + k % 2) * 2 * (1 + k % 3))
    for k in range(7)
]
processes = Processes()
objective = Fidelity(reader, rng.normal(size=7), np.array([0, 0, 1, 0, 1, 1, 0]), 0.3)
found = {}

class Recorded(torch.optim.AdamW):
    def step(self, closure=None):
        found.update({name: weight.grad.clone() for name, weight in adapter_weights(model).items()})
        return super().step(closure)

torch.optim.AdamW = Recorded
fails = iter([os.environ.get("FAILS", "")] if processes.rank == processes.size - 1 else [])
surrogate = objective.surrogate

def failing(*arguments):
    how = next(fails, "")
    if how == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory")
    if how == "error":
        raise ValueError("a clip is not what it was")
    if how == "kill":
        os._exit(9)
    return surrogate(*arguments)

objective.surrogate = failing
evaluations = iter(range(100))

def evaluate():
    if stop and next(evaluations) == stop:
        # As if killed: between a step and its checkpoint.
        sys.exit(0)
    return {"srcc": 0.0 if processes.size == 1 else float(processes.gather_array(np.zeros(3))[0])}

from mdsvqa.runtime.errors import InputError

every = [np.arange(7), np.array([6, 4, 2, 0, 1]), np.arange(1, 7), np.array([5, 3, 0])]
try:
    train_adapter(model, objective, lambda: iter(every[:steps]), clips.__getitem__, evaluate, training, steps,
                  Path(out), Silent(), processes)
except InputError as error:
    print(error, file=sys.stderr)
    os._exit(1)
save_file({name: gradient.contiguous() for name, gradient in found.items()}, f"{out}.{processes.rank}.safetensors")
kept = {name: weight.detach().contiguous() for name, weight in adapter_weights(model).items()}
save_file(kept, f"{out}.{processes.rank}.weights.safetensors")
processes.barrier()
"""

# A whole fine-tuning, which says what this process decoded and wrote.
WHOLE = """
import json
import os
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
from mdsvqa.difficulty.settings import FailureTraining
from mdsvqa.difficulty.vlm.train import train_failure_predictor
from mdsvqa.models.settings import LoraSettings, VlmFinetuning, VlmSettings
from mdsvqa.models.training.adapter_trainer import AdapterTrainer
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.training.finetune import finetune_vlm
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.run import Run
from mdsvqa.videos.manifest import load_videos

model, corpus, out, objective, batch, differs = sys.argv[1:]
rank = int(os.environ["RANK"])
videos = load_videos(Path(corpus))
source, pool = ([v for v in videos if v.split == split] for split in ("train", "pool"))
done = {"decoded": [], "written": []}
fill, written = ClipCache.fill, AdapterTrainer._written

def filled(self, videos, workers, show):
    done["decoded"] += [video.id for video in videos]
    return fill(self, videos, workers, show)

def noted(self, videos):
    done["written"] += [video.id for video in videos]
    return written(self, videos)

ClipCache.fill, AdapterTrainer._written = filled, noted
if rank and differs == "list":
    pool[3:5] = []
place = Path(f"{out}-elsewhere" if rank and differs == "disk" else out)
lora = LoraSettings(rank=4, alpha=8, dropout=0.0)
common = {"steps": 2, "batch_size": int(batch), "evaluations": 1, "learning_rate": 1e-3, "lora": lora}
try:
    if objective == "predictor":
        scores = {v.id: 3 + 0.3 * (k % 5) for k, v in enumerate(videos)}
        g = FailureTraining(**common)
        course = train_failure_predictor([*source, *pool], scores, model, VlmSettings(), g, Run(place))
    else:
        training = VlmFinetuning(objective=objective, generations=2, watched=3, max_new_tokens=40, **common)
        course = finetune_vlm(source, pool[:16], pool[16:], model, VlmSettings(), training, Run(place))[0].log
except InputError as error:
    print(error, file=sys.stderr)
    os._exit(1)
named = ("step", "srcc", "spread", "well_formed", "kl")
log = [{name: line[name] for name in named if name in line} for line in course]
Path(f"{out}.{rank}.json").write_text(json.dumps({**done, "log": log}))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(size: int, arguments: list[str | Path], fails: str = "") -> list[tuple[int, str]]:
    """Exit status and the last line of what each of some processes says."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    where = {"WORLD_SIZE": str(size), **place, "OMP_NUM_THREADS": "1", "FAILS": fails, "CUDA_VISIBLE_DEVICES": ""}
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **where, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    said = [process.communicate()[1].strip().splitlines() for process in processes]
    return [(process.returncode, (lines or [""])[-1]) for process, lines in zip(processes, said, strict=True)]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def gradients(size: int, tiny_vlm: Path, script: Path, out: Path, fails: str = "") -> list[dict[str, torch.Tensor]]:
    assert [status for status, _ in started(size, [script, tiny_vlm, out, "1", "0"], fails)] == [0] * size
    return [load_file(f"{out}.{rank}.safetensors") for rank in range(size)]


@pytest.mark.slow
def test_two_and_four_processes_give_the_gradients_of_one_also_where_one_has_too_little_memory(
    tiny_vlm: Path, script: Path, tmp_path: Path
) -> None:
    (alone,) = gradients(1, tiny_vlm, script, tmp_path / "one")
    assert max(float(gradient.abs().max()) for gradient in alone.values()) > 1e-5
    for size, fails in ((2, "memory"), (4, "")):
        first, *others = gradients(size, tiny_vlm, script, tmp_path / f"{size}{fails}", fails)
        for name, gradient in alone.items():
            torch.testing.assert_close(first[name], gradient, rtol=1e-3, atol=1e-6)
            for other in others:
                torch.testing.assert_close(first[name], other[name], rtol=0, atol=0)


@pytest.mark.parametrize(("size", "fails"), [(2, "error"), pytest.param(4, "kill", marks=pytest.mark.slow)])
def test_all_end_with_the_same_message_where_one_fails(
    tiny_vlm: Path, script: Path, tmp_path: Path, size: int, fails: str
) -> None:
    *others, last = started(size, [script, tiny_vlm, tmp_path / "failed", "1", "0"], fails)
    if fails == "error":
        assert last == (1, "ValueError: a clip is not what it was")
        assert others == [last] * (size - 1)
    else:
        assert last[0] == 9
        assert {status for status, _ in others} == {1}
        (message,) = {message for _, message in others}
        assert "has ended" in message
        assert "they go on from the last checkpoint" in message


@pytest.mark.slow
def test_two_processes_go_on_where_one_was_killed_and_get_the_same_adapter(
    tiny_vlm: Path, script: Path, tmp_path: Path
) -> None:
    assert started(1, [script, tiny_vlm, tmp_path / "whole", "4", "0"])[0][0] == 0
    started(1, [script, tiny_vlm, tmp_path / "parts", "4", "3"])
    assert [status for status, _ in started(2, [script, tiny_vlm, tmp_path / "parts", "4", "0"])] == [0, 0]
    whole, parts = (load_file(f"{tmp_path / name}.0.weights.safetensors") for name in ("whole", "parts"))
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=0, atol=1e-5)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.py"
    path.write_text(WHOLE)
    return path


@pytest.mark.slow
def test_two_processes_share_decoding_replies_and_evaluations_and_end_in_the_adapter_of_one(
    tiny_vlm: Path, small_corpus: Path, whole: Path, tmp_path: Path
) -> None:
    found = {}
    for size in (1, 2):
        out = tmp_path / f"of-{size}"
        assert started(size, [whole, tiny_vlm, small_corpus, out, "fidelity", "8", ""]) == [(0, "")] * size
        found[size] = [json.loads((tmp_path / f"of-{size}.{rank}.json").read_text()) for rank in range(size)]
    (alone,), (first, second) = found[1], found[2]
    for kind in ("decoded", "written"):
        assert sorted(first[kind] + second[kind]) == sorted(alone[kind])
    assert len(first["decoded"]) == len(second["decoded"]) == 28
    # A window of 32 replies, and the rest of the 42 videos to learn from.
    assert [len(first["written"]), len(second["written"])] == [32, 10]
    assert first["log"] == second["log"]
    for one, two in zip(alone["log"], first["log"], strict=True):
        assert two == pytest.approx(one, abs=1e-4)
    replies = [read_table(tmp_path / f"of-{size}" / "replies").to_pylist() for size in (1, 2)]
    assert replies[0] == replies[1]
    adapters = [load_file(tmp_path / f"of-{size}" / "adapter_model.safetensors") for size in (1, 2)]
    for name, weight in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], weight, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_processes_train_the_failure_predictor_of_one(
    tiny_vlm: Path, small_corpus: Path, whole: Path, tmp_path: Path
) -> None:
    adapters = []
    for size in (1, 2):
        out = tmp_path / f"of-{size}"
        assert started(size, [whole, tiny_vlm, small_corpus, out, "predictor", "8", ""]) == [(0, "")] * size
        adapters.append(load_file(out / "adapter_model.safetensors"))
    first, second = (json.loads((tmp_path / f"of-2.{rank}.json").read_text()) for rank in (0, 1))
    assert len(first["decoded"]) == len(second["decoded"]) == 28
    for name, weight in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("differs", "message"),
    [
        ("list", "the same videos and settings: 1 of 2 have others than process 0"),
        pytest.param("disk", "the same decoded videos: 1 of 2 have others than process 0", marks=pytest.mark.slow),
    ],
)
def test_processes_of_other_videos_or_another_disk_end_before_the_first_step(
    tiny_vlm: Path, small_corpus: Path, whole: Path, tmp_path: Path, differs: str, message: str
) -> None:
    first, second = started(2, [whole, tiny_vlm, small_corpus, tmp_path / "out", "fidelity", "8", differs])
    assert first == second
    assert first[0] == 1
    assert message in first[1]
    assert "with an output folder on a disk that all machines share." in first[1]
    if differs == "list":
        # 56 videos and the settings. Of the new ones two are not there, and two of the audit have taken their places.
        assert "(57; process 1 has 55, and 6 differ)" in first[1]


@pytest.mark.slow
def test_grpo_of_two_processes_is_stopped_and_evaluated_by_both_alike(
    tiny_vlm: Path, small_corpus: Path, whole: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    out = tmp_path / "grpo"
    assert [status for status, _ in started(2, [whole, tiny_vlm, small_corpus, out, "grpo", "6", ""])] == [0, 0]
    first, second = (json.loads((tmp_path / f"grpo.{rank}.json").read_text()) for rank in (0, 1))
    assert first["log"] == second["log"]
    assert [line["step"] for line in first["log"]] == [0, 2]


def test_sizes_of_a_step_that_processes_cannot_share_are_refused_with_those_that_they_can() -> None:
    with pytest.raises(InputError, match=r"84 replies of a step \(21 videos of 4 each\).*8 processes.*20 or 22 videos"):
        check_shares(21, 4, 8)
    for processes in range(1, 17):
        for generations in range(2, 9):
            for videos in range(2, 40):
                if videos * generations % processes == 0:
                    check_shares(videos, generations, processes)
                    continue
                with pytest.raises(InputError) as refused:
                    check_shares(videos, generations, processes)
                told = re.search(r"size of (\d+)(?: or (\d+))? videos", str(refused.value))
                assert told is not None
                # The nearest that fit, found by trying them.
                fits = [n for n in range(2, 60) if n * generations % processes == 0]
                nearest = [max((n for n in fits if n < videos), default=None), min(n for n in fits if n > videos)]
                assert [int(size) for size in told.groups() if size] == [n for n in nearest if n]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [("ACCELERATE_USE_FSDP", "true", "FSDP"), ("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3", "ZeRO")],
)
def test_a_launcher_that_cuts_the_weights_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"share out the weights by {what}.*several-gpus.yaml"):
        Processes()


def test_launch_files_are_as_accelerate_reads_them_and_clip_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    files = sorted(ACCELERATE.glob("*.yaml"))
    assert [path.name for path in files] == ["several-gpus.yaml", "zero2.yaml"]
    for path in files:
        read = config_args.load_config_from_file(str(path))
        assert read.num_processes == 8
    # "auto" takes the trainer's own limit, which is ours.
    assert read.deepspeed_config["gradient_clipping"] == "auto"

"""Several processes compute what one does, end together when one of them fails, and go on as fewer or more."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file

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


@pytest.mark.parametrize(("size", "fails"), [(2, "error"), (4, "kill")])
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


def test_two_processes_go_on_where_one_was_killed_and_get_the_same_adapter(
    tiny_vlm: Path, script: Path, tmp_path: Path
) -> None:
    assert started(1, [script, tiny_vlm, tmp_path / "whole", "4", "0"])[0][0] == 0
    started(1, [script, tiny_vlm, tmp_path / "parts", "4", "3"])
    assert [status for status, _ in started(2, [script, tiny_vlm, tmp_path / "parts", "4", "0"])] == [0, 0]
    whole, parts = (load_file(f"{tmp_path / name}.0.weights.safetensors") for name in ("whole", "parts"))
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=0, atol=1e-5)

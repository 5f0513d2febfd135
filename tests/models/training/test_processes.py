"""Two processes compute what one does."""

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

model_folder, out = sys.argv[1:]
settings = VlmSettings(reading="expected")
checkpoint = load_checkpoint(settings, model_folder)
training = AdapterTraining(lora=LoraSettings(rank=4, alpha=8, dropout=0.0), steps=1, evaluations=1, learning_rate=1e-3)
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
evaluate = lambda: {"srcc": 0.0 if processes.size == 1 else float(processes.gather_array(np.zeros(3))[0])}
train_adapter(model, objective, lambda: iter([np.arange(7)]), clips.__getitem__, evaluate, training, 1,
              Path(out).with_suffix(f".{processes.rank}"), Silent(), processes)
save_file({name: gradient.contiguous() for name, gradient in found.items()}, f"{out}.{processes.rank}.safetensors")
processes.barrier()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(size: int, tiny_vlm: Path, script: Path, out: Path) -> list[dict[str, torch.Tensor]]:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    where = {"WORLD_SIZE": str(size), **place, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, script, tiny_vlm, out], env={**os.environ, **where, "RANK": str(rank)})
        for rank in range(size)
    ]
    assert [process.wait() for process in processes] == [0] * size
    return [load_file(f"{out}.{rank}.safetensors") for rank in range(size)]


def test_two_processes_give_the_gradients_of_one(tiny_vlm: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    (alone,) = run(1, tiny_vlm, script, tmp_path / "one")
    first, second = run(2, tiny_vlm, script, tmp_path / "two")
    assert max(float(gradient.abs().max()) for gradient in alone.values()) > 1e-5
    for name, gradient in alone.items():
        torch.testing.assert_close(first[name], gradient, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)

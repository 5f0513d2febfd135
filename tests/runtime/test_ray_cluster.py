"""Where there is no cluster, or another one than was asked for."""

import subprocess
import sys
from typing import Any

import pytest

from mdsvqa.runtime import ray_cluster
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.ray_cluster import idle_gpus, room
from mdsvqa.runtime.ray_tasks import map_on_ray

RAY = EngineSettings(name="ray")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"mdsvqa\[ray\]"):
        list(map_on_ray(eval, ["1"], RAY, crashed=repr))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"no cluster at 127.0.0.1:1 \(Connection refused\)"),
        ("head.invalid:6379", "no cluster at head.invalid:6379"),
        ("head", "expected HOST:PORT"),
        ("head:port", "expected HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is(address: str, said: str) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray")
    assert not ray.is_initialized()
    with pytest.raises(InputError, match=said):
        list(map_on_ray(eval, ["1"], RAY.model_copy(update={"address": address}), crashed=repr))


SCRIPT = """
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.ray_cluster import joined
from mdsvqa.runtime.ray_tasks import map_on_ray
engine = EngineSettings(name="ray")
with joined(engine):
    print(list(map_on_ray(eval, ["1", "__import__('sys').stderr.write('x')", "print(2)"], engine, crashed=repr)))
"""


def test_where_there_is_no_cluster_one_is_started_which_ends_and_says_nothing() -> None:
    pytest.importorskip("ray", reason="needs Ray")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[1, None, None]\n", "")


@pytest.mark.parametrize(
    ("gpus", "cpus", "workers"),
    [(1, 4, 9), (1, 8, 5), (0.5, 1, 18), (0.3, 1, 27), (2, 1, 4), (8, 32, 1), (0, 4, 28), (0, 1, 112)],
)
def test_room_for_workers_by_nodes(gpus: float, cpus: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # 32 cores and 8 GPUs, 16 cores and 1 GPU, 64 cores and none; one that is gone.
    kinds = [(32.0, 8.0, True), (16.0, 1.0, True), (64.0, 0.0, True), (64.0, 8.0, False)]
    nodes = [{"Alive": alive, "Resources": {"CPU": cpu, "GPU": gpu}} for cpu, gpu, alive in kinds]

    class Nodes:
        @staticmethod
        def nodes() -> Any:
            return nodes

    monkeypatch.setattr(ray_cluster, "need_ray", Nodes)
    assert room(gpus, cpus) == workers
    assert ("cores for 5" in idle_gpus(gpus, cpus)) == (cpus == 8)
    with pytest.raises(InputError, match="has more than 8"):
        room(9, 1)
    with pytest.raises(InputError, match="has both"):
        room(1, 64)

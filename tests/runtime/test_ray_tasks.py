# As in test_workers.py the functions mapped are builtins: those of test modules cannot be imported elsewhere.
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.ray_tasks import map_on_ray

RAY = EngineSettings(name="ray")
DIE = "__import__('os')._exit(7)"


def test_results_come_in_order_from_other_processes(cluster: Any) -> None:
    items = [f"[__import__('time').sleep({0.05 * (k % 3)}), {k}, __import__('os').getpid()][1:]" for k in range(12)]
    found = list(map_on_ray(eval, items, RAY, crashed=repr))
    assert [number for number, _ in found] == list(range(12))
    assert os.getpid() not in {process for _, process in found}


def test_items_are_read_as_there_is_room(cluster: Any) -> None:
    read = []

    def items() -> Iterator[str]:
        for k in range(1000):
            read.append(k)
            yield str(k)

    results = map_on_ray(eval, items(), RAY, crashed=repr)
    assert next(results) == 0
    assert len(read) <= 5
    results.close()  # type: ignore[attr-defined]


def test_no_more_work_than_asked_for(cluster: Any, tmp_path: Path) -> None:
    busy = f"__import__('pathlib').Path({str(tmp_path)!r})"
    # What each counts: files of those that are at work together with it.
    text = (
        "(lambda p, f: (f.touch(), __import__('time').sleep(0.1), len(list(p.iterdir())), f.unlink()))"
        f"({busy}, {busy} / str({{}}))[2]"
    )
    one = RAY.model_copy(update={"most": 1})
    assert set(map_on_ray(eval, [text.format(k) for k in range(6)], one, crashed=repr)) == {1}


def test_a_worker_that_dies_once_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    mark = tmp_path / "tried"
    once = f"(lambda p: p.exists() or (p.touch(), {DIE}))(__import__('pathlib').Path({str(mark)!r}))"
    assert list(map_on_ray(eval, ["0", once, "2"], RAY, crashed=repr)) == [0, True, 2]


def test_an_item_that_kills_every_worker_has_a_stand_in(cluster: Any) -> None:
    items = ["0", DIE, "2", "3"]
    assert list(map_on_ray(eval, items, RAY, crashed=lambda item: "crashed")) == [0, "crashed", 2, 3]


def test_an_error_is_raised_at_its_item_as_it_was(cluster: Any) -> None:
    results = map_on_ray(eval, ["1", "1 / 0", "3"], RAY, crashed=repr)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        next(results)


OWN = """
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.ray_cluster import joined, need_ray
with joined(EngineSettings(name="ray")):
    print(*[node["NodeID"] for node in need_ray().nodes()])
"""


def test_a_cluster_that_another_command_started_for_itself_is_not_joined(cluster: Any) -> None:
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 1
    assert done.stdout.split() != [node["NodeID"] for node in cluster.nodes()]


def test_code_that_the_nodes_do_not_have(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here_only = ModuleType("mdsvqa.only_here")
    exec("def negated(x): return -x", here_only.__dict__)
    monkeypatch.setitem(sys.modules, "mdsvqa.only_here", here_only)
    with pytest.raises(InputError, match=r"the nodes of the cluster have no module 'mdsvqa.only_here'.*--packages"):
        list(map_on_ray(here_only.negated, [1], RAY, crashed=repr))

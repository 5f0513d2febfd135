"""Processes here and a Ray cluster: the same results, and none lost when a worker is killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

from mdsvqa.runtime.errors import InputError
from mdsvqa.study.rehearsal.engines import engine
from mdsvqa.study.rehearsal.repeats import Job, RepeatInputs, RepeatResult, run_repeat
from rehearsals import second_data_set

RULES = ["random", "k-means", "mds", "facility-location"]
JOBS = [Job(second_data_set(), repeat, RULES, 5) for repeat in range(6)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """A local cluster of two workers."""
    ray = pytest.importorskip("ray", reason="needs Ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield ray
    ray.shutdown()


def plain(inputs: RepeatInputs) -> list[list[RepeatResult]]:
    return [run_repeat(inputs, job) for job in JOBS]


def test_processes_here_give_what_one_process_gives(inputs: RepeatInputs) -> None:
    assert list(engine("local", inputs, 2)(JOBS)) == plain(inputs)


def test_a_cluster_gives_the_same(inputs: RepeatInputs, cluster: object) -> None:
    assert list(engine("ray", inputs, 0)(JOBS)) == plain(inputs)


def test_jobs_are_read_as_there_is_room(inputs: RepeatInputs, cluster: object) -> None:
    read = 0

    def jobs() -> Iterator[Job]:
        nonlocal read
        for job in JOBS:
            read += 1
            yield job

    results = engine("ray", inputs, 0)(jobs())
    next(results)
    assert read <= 5
    results.close()  # type: ignore[attr-defined]


def workers_of(ray) -> list[int]:
    """Process ids of the cluster's workers that are at a repeat."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if command.startswith("ray::_on_one_thread"):
            found.append(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds workers by /proc")
def test_a_worker_killed_in_the_middle_loses_nothing(inputs: RepeatInputs, cluster: object) -> None:
    killed = []

    def kill_one() -> None:
        ends = monotonic() + 60
        while not killed and monotonic() < ends:
            for worker in workers_of(cluster)[:1]:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
            sleep(0.05)

    killer = Thread(target=kill_one)
    killer.start()
    found = list(engine("ray", inputs, 0)(JOBS))
    killer.join()
    assert killed
    assert found == plain(inputs)


def test_an_address_where_no_cluster_is(inputs: RepeatInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray")

    def refuse(**_: object) -> None:
        raise ConnectionError("Failed to connect to GCS at 127.0.0.1:1")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match=r"no cluster at 127.0.0.1:1"):
        next(engine("ray", inputs, 0, "127.0.0.1:1")(JOBS))


def test_without_ray_it_says_what_to_install(inputs: RepeatInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match=r"mdsvqa\[ray\]"):
        next(engine("ray", inputs, 0)(JOBS))

"""Pools of workers that hold a model, on a cluster of this machine: whatever dies, each result is there once."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest

import cluster_work
from mdsvqa.models.base import ModelError
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.ray_workers import OnRay

RAY = EngineSettings(name="ray", gpus_per_worker=0, cpus_per_worker=1)
WINDOWS = [range(first, first + 4) for first in range(0, 40, 4)]


def pool(load: Callable[[], Any], engine: EngineSettings = RAY, show: Any = None) -> OnRay[int, int]:
    return OnRay(
        load,
        "Loading the doubler",
        cluster_work.lost,
        imports="json",
        maker=None,
        engine=engine,
        gpus=engine.gpus_per_worker,
        show=show or Silent(),
    )


def results(load: Callable[[], Any], windows: Sequence[Sequence[int]], engine: EngineSettings = RAY) -> list[list[int]]:
    with pool(load, engine) as model:
        return [list(done.results) for done in model.done(windows)]


def done_by(marks: Path) -> list[tuple[int, int]]:
    """The first number of each window that was worked on, and the process that did it."""
    return [(int(first), int(process)) for first, _, process, _ in (p.name.split("-") for p in marks.glob("*-*-*-*"))]


def test_windows_come_in_order_once_and_from_several_workers(cluster: Any, tmp_path: Path) -> None:
    said: list[int] = []
    with pool(partial(cluster_work.load, tmp_path, together=2)) as model:
        assert model.begin() == ({"model": "doubling"}, "it only doubles")
        found = list(model.done(WINDOWS, said.append))
        assert [list(done.results) for done in found] == [list(window) for window in WINDOWS]
        assert {done.clock.videos for done in found} == {4}
        assert all(done.clock.model > 0 for done in found)
        assert found[-1].state == "2 workers"
        # A second pass has the same workers.
        before = {process for _, process in done_by(tmp_path)}
        assert [list(done.results) for done in model.done(WINDOWS[:4])] == [list(window) for window in WINDOWS[:4]]
    assert said == [4] * 10
    assert len(before) == 2
    assert {process for _, process in done_by(tmp_path)} == before
    assert Counter(first for first, _ in done_by(tmp_path))[20] == 1


@pytest.mark.slow
def test_no_more_workers_than_asked_for(cluster: Any, tmp_path: Path) -> None:
    one = RAY.model_copy(update={"most": 1})
    assert results(partial(cluster_work.load, tmp_path), WINDOWS, one) == [list(window) for window in WINDOWS]
    assert len({process for _, process in done_by(tmp_path)}) == 1


def test_a_worker_killed_in_the_middle_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    def kill() -> None:
        ends = monotonic() + 60
        while len(done_by(tmp_path)) < 4 and monotonic() < ends:
            sleep(0.01)
        os.kill(done_by(tmp_path)[0][1], signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    found = results(partial(cluster_work.load, tmp_path, together=2), WINDOWS)
    killer.join()
    assert found == [list(window) for window in WINDOWS]
    assert len({process for _, process in done_by(tmp_path)}) >= 2


@pytest.mark.slow
def test_an_item_that_kills_one_worker_is_done_by_another(cluster: Any, tmp_path: Path) -> None:
    found = results(partial(cluster_work.load, tmp_path, dies_once_on=9), WINDOWS)
    assert found == [list(window) for window in WINDOWS]


def test_an_item_that_kills_every_worker_is_lost_alone(cluster: Any, tmp_path: Path) -> None:
    found = results(partial(cluster_work.load, tmp_path, dies_on=9), WINDOWS)
    assert found == [[-1 if item == 9 else item for item in window] for window in WINDOWS]


@pytest.mark.slow
def test_what_dies_while_it_is_prepared_costs_no_worker(cluster: Any, tmp_path: Path) -> None:
    # Two processes of its own prepare for one worker.
    two = RAY.model_copy(update={"cpus_per_worker": 2})
    found = results(partial(cluster_work.load, tmp_path), [[1, 2], [1000, 3], [4]], two)
    assert found == [[1, 2], [-1000, 3], [4]]
    assert len({process for _, process in done_by(tmp_path)}) == 1


def test_an_error_of_the_model_comes_at_its_turn_and_as_it_was(cluster: Any, tmp_path: Path) -> None:
    with pool(partial(cluster_work.load, tmp_path)) as model:
        turns = model.done([[1], ["text"], [3]])  # type: ignore[list-item]
        assert list(next(turns).results) == [1]
        with pytest.raises(TypeError):
            next(turns)


def test_a_model_that_cannot_be_loaded_says_why_in_its_own_words(cluster: Any) -> None:
    refuses = partial(cluster_work.refuses, ModelError("model 'x': there is no such folder."))
    with pytest.raises(ModelError) as raised, pool(refuses) as model:
        model.begin()
    assert str(raised.value) == "model 'x': there is no such folder."


@pytest.mark.slow
def test_workers_that_die_of_loading_end_the_run(cluster: Any) -> None:
    with pytest.raises(InputError, match=r"Loading the doubler: 3 workers.*died.*memory"):
        results(cluster_work.dies, WINDOWS)


@pytest.mark.slow
def test_workers_that_see_different_models_end_the_run(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"do not see the same model \(weights: \d+ there, \d+ now\)"):
        results(partial(cluster_work.of_its_own, tmp_path), WINDOWS)


def test_more_than_the_cluster_has_is_refused_at_once(cluster: Any, tmp_path: Path) -> None:
    load = partial(cluster_work.load, tmp_path)
    with pytest.raises(InputError, match=r"--gpus-per-worker 1: no node of the cluster has a GPU; say.*0"):
        results(load, WINDOWS, RAY.model_copy(update={"gpus_per_worker": 1.0}))
    with pytest.raises(InputError, match=r"--cpus-per-worker 3: no node.*more than 2 cores; say --cpus-per-worker 2"):
        results(load, WINDOWS, RAY.model_copy(update={"cpus_per_worker": 3}))

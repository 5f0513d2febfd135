"""Where the repeats of a rehearsal are done: in processes here, or on a Ray cluster."""

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Literal

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.threads import torch_threads
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.study.rehearsal.racing import Engine
from mdsvqa.study.rehearsal.repeats import Job, RepeatInputs, RepeatResult, run_repeat

EngineName = Literal["local", "ray"]
# Repeats under way for each core of a cluster: enough that none waits for the reader.
AHEAD = 2
# A repeat is tried again where its worker died.
RETRIES = 3


def engine(name: EngineName, inputs: RepeatInputs, workers: int, address: str | None = None) -> Engine:
    """Something that does repeats.

    Args:
        name: "local" or "ray".
        inputs: what all repeats share.
        workers: processes of the local one.
        address: of the Ray cluster; None goes by RAY_ADDRESS and the cluster that this machine is part of.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    if name == "ray":
        return partial(_on_ray, inputs, address)
    return partial(_here, inputs, workers)


def _here(inputs: RepeatInputs, workers: int, jobs: Iterable[Job]) -> Iterator[list[RepeatResult]]:
    return map_in_workers(partial(run_repeat, inputs), jobs, workers, crashed=_crashed)


def _crashed(job: Job) -> list[RepeatResult]:
    raise RuntimeError(f"the worker that rehearsed on {job.target} was killed twice; run again to go on")


def _on_ray(inputs: RepeatInputs, address: str | None, jobs: Iterable[Job]) -> Iterator[list[RepeatResult]]:
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise InputError('--engine ray needs Ray: pip install "mdsvqa[ray]"') from None
    own = not ray.is_initialized()
    if own:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"--engine ray: no cluster at {address or 'the default address'} ({error}).") from None
    shared = ray.put(inputs)
    repeat = ray.remote(num_cpus=1, max_retries=RETRIES)(_repeat_on_one_thread)
    ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    under_way: deque[Any] = deque()
    waiting = iter(jobs)
    try:
        while True:
            under_way.extend(repeat.remote(shared, job) for job in islice(waiting, ahead - len(under_way)))
            if not under_way:
                return
            yield ray.get(under_way.popleft())
    except ray.exceptions.WorkerCrashedError:
        raise RuntimeError("a worker of the cluster was killed again and again; run again to go on") from None
    finally:
        for task in under_way:
            ray.cancel(task)
        if own:
            ray.shutdown()


def _repeat_on_one_thread(inputs: RepeatInputs, job: Job) -> list[RepeatResult]:
    with torch_threads(1), threadpool_limits(1):
        return run_repeat(inputs, job)

"""Work done on a Ray cluster, its results in order: `map_in_workers` on many machines."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.threads import torch_threads

T = TypeVar("T")
R = TypeVar("R")
# Items under way for each core of a cluster: enough that none waits for the reader.
AHEAD = 2
# An item is tried again where its worker died.
RETRIES = 3


def map_on_ray(function: Callable[[T], R], items: Iterable[T], address: str | None = None) -> Iterator[R]:
    """Applies a function to items as tasks on one core each; reads an item only when there is room for it.

    Args:
        function: sent once to each node, with all that it holds.
        items: to pickle.
        address: of the cluster; None goes by RAY_ADDRESS and the cluster that this machine is part of.

    Yields:
        One result an item, in order.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
        RuntimeError: an item kills its worker again and again.
    """
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
    shared = ray.put(function)
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_on_one_thread)
    ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    under_way: deque[Any] = deque()
    waiting = iter(items)
    try:
        while True:
            under_way.extend(task.remote(shared, item) for item in islice(waiting, ahead - len(under_way)))
            if not under_way:
                return
            yield ray.get(under_way.popleft())
    except ray.exceptions.WorkerCrashedError:
        raise RuntimeError("a worker of the cluster was killed again and again; run again to go on") from None
    finally:
        for task_under_way in under_way:
            ray.cancel(task_under_way)
        if own:
            ray.shutdown()


def _on_one_thread(function: Callable[[T], R], item: T) -> R:
    with torch_threads(1), threadpool_limits(1):
        return function(item)

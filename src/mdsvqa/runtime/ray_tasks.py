"""Work done ahead by processes here or on a Ray cluster, its results in order: `map_in_workers` on many machines."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.ray_cluster import joined, lost_to_death, need_ray, original, room, runtime_of
from mdsvqa.runtime.workers import map_in_workers, use_one_thread

T = TypeVar("T")
R = TypeVar("R")
# Items under way for each core of a cluster: enough that none waits for the reader.
AHEAD = 2
# An item is tried again where its worker died.
RETRIES = 3


def map_by(
    engine: EngineSettings,
    function: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    *,
    crashed: Callable[[T], R],
    ahead: int = 0,
) -> Iterator[R]:
    """Applies a function to items, wherever an engine says; see `map_in_workers` and `map_on_ray`."""
    if engine.name == "ray":
        return map_on_ray(function, items, engine, crashed=crashed, ahead=ahead)
    return map_in_workers(function, items, workers, crashed=crashed, ahead=ahead)


def map_on_ray(
    function: Callable[[T], R],
    items: Iterable[T],
    engine: EngineSettings,
    *,
    crashed: Callable[[T], R],
    ahead: int = 0,
) -> Iterator[R]:
    """Applies a function to items as tasks on one core each; reads an item only when there is room for it.

    An item whose worker or node dies is done again elsewhere; `crashed` stands in for the result of an item on which
    `RETRIES` + 1 died. An exception in the function is raised here, at its item.

    Args:
        function: sent once to each node, with all that it holds.
        items: to pickle.
        engine: the cluster, and how many cores of it at most.
        crashed: from an item to its result when it kills its worker.
        ahead: items under way or done before they are read; at least two a core.

    Yields:
        One result an item, in order.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    ray = need_ray()
    with joined(engine):
        shared = ray.put(function)
        task = ray.remote(num_cpus=1, max_retries=RETRIES, **runtime_of(engine))(_on_one_thread)
        most = engine.most or max(ahead, AHEAD * room(0, 1))
        under_way: deque[tuple[T, Any]] = deque()
        waiting = iter(items)
        try:
            while True:
                under_way.extend((item, task.remote(shared, item)) for item in islice(waiting, most - len(under_way)))
                if not under_way:
                    return
                item, result = under_way.popleft()
                yield _found(result, item, crashed)
        finally:
            for _, result in under_way:
                ray.cancel(result)


def _found(result: Any, item: T, crashed: Callable[[T], R]) -> R:
    ray = need_ray()
    try:
        found: R = ray.get(result)
    except lost_to_death():
        return crashed(item)
    except ray.exceptions.RayError as error:
        raise original(error) from None
    return found


def _on_one_thread(function: Callable[[T], R], item: T) -> R:
    _once()
    return function(item)


_once = cache(use_one_thread)

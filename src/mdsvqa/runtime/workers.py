"""Work done ahead in other processes, its results in order, safe from a process that dies."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from itertools import chain
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import LifoQueue
from threading import Thread
from traceback import format_exc
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.runtime.environment import THREADS

T = TypeVar("T")
R = TypeVar("R")

# Items under way per worker: enough that a slow item does not leave the others idle, and few clips in memory.
_AHEAD = 2


def cores(workers: int) -> int:
    """The number of worker processes that a setting means; 0 is one for each core this process may use."""
    if workers:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_workers(
    function: Callable[[T], R], items: Iterable[T], workers: int, *, crashed: Callable[[T], R], ahead: int = 0
) -> Iterator[R]:
    """Applies a function to items in worker processes, ahead of the reader.

    When a worker dies (killed, or crashed in native code) its item is done again in a new one; `crashed` stands in
    for the result of an item on which two died. An exception in the function is raised here, at its item.

    Args:
        function: at the top level of a module, or a `functools.partial` of one that is; its items and results can
            be pickled.
        items: read as they are needed.
        workers: processes, each with one thread. 0 or 1 works in this process, where a crash ends everything.
        crashed: from an item to its result when it kills its worker.
        ahead: items under way or done before they are read; at least two a worker.

    Yields:
        One result an item, in order.

    Raises:
        RuntimeError: worker processes cannot start.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    waiting = iter(items)
    # No item, no workers: they take seconds to start.
    for first in waiting:
        waiting = chain([first], waiting)
        break
    else:
        return
    pool = _shared_pool(workers)
    under_way: deque[Future[R]] = deque()
    try:
        while True:
            while len(under_way) < max(ahead, _AHEAD * workers):
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                under_way.append(pool.submit(function, item, crashed))
            if not under_way:
                return
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def warm_up(workers: int, module: str) -> None:
    """Starts the worker processes, and has each import a module: seconds that can pass while a model is loaded.

    Args:
        workers: as in `map_in_workers`.
        module: by its dotted name.
    """
    if workers > 1:
        _shared_pool(workers).warm_up(module)


class _WorkerDiedError(Exception):
    """A worker process ended before it answered."""


class _Worker:
    """A process behind a pipe of its own, to be used by one thread at a time."""

    def __init__(self) -> None:
        # Spawned, not forked: a fork copies the locks of decoder and torch threads in whatever state they are.
        spawn = get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        spawn.Process(target=_serve, args=(theirs,), daemon=True).start()
        # The worker holds the only other end: reading stops when it dies.
        theirs.close()
        self._ready = False

    def ask(self, function: Callable[[T], R], item: T) -> R:
        if not self._ready:
            self._wait_until_ready()
        try:
            self._pipe.send((function, item))
            error, result = self._pipe.recv()
        except (EOFError, OSError) as gone:
            raise _WorkerDiedError from gone
        if error is not None:
            raise error
        return result

    def _wait_until_ready(self) -> None:
        try:
            self._pipe.recv()
        except (EOFError, OSError) as gone:
            raise RuntimeError(
                "worker processes cannot start; expected a script that runs nothing when it is imported. Put what it "
                "does under `if __name__ == '__main__':`, or use workers=0."
            ) from gone
        self._ready = True


class _Pool:
    """Worker processes, and for each a thread that talks to it.

    Not a `ProcessPoolExecutor`: its workers share a queue, so the death of one costs what all of them do; and on
    Python 3.11 it can wait forever for a worker that it started while it cleared up after another.
    """

    def __init__(self, workers: int):
        self._threads = ThreadPoolExecutor(workers)
        # The one used last comes first, so that no more are started than are needed. None: not started yet.
        self._idle: LifoQueue[_Worker | None] = LifoQueue(workers)
        for _ in range(workers):
            self._idle.put(None)

    def submit(self, function: Callable[[T], R], item: T, crashed: Callable[[T], R]) -> Future[R]:
        return self._threads.submit(self._do, function, item, crashed)

    def warm_up(self, module: str) -> None:
        workers = [self._idle.get() or _Worker() for _ in range(self._idle.maxsize)]
        try:
            for worker in workers:
                worker.ask(_import, module)
        finally:
            for worker in workers:
                self._idle.put(worker)

    def _do(self, function: Callable[[T], R], item: T, crashed: Callable[[T], R]) -> R:
        worker = self._idle.get()
        try:
            for _ in range(2):
                worker = worker or _Worker()
                try:
                    return worker.ask(function, item)
                except _WorkerDiedError:
                    worker = None
            return crashed(item)
        finally:
            self._idle.put(worker)


# A worker takes seconds to import what it needs, so the pools last as long as this process.
_POOLS: dict[int, _Pool] = {}


def _shared_pool(workers: int) -> _Pool:
    if workers not in _POOLS:
        _POOLS[workers] = _Pool(workers)
    return _POOLS[workers]


def _import(module: str) -> None:
    import_module(module)


def _serve(pipe: Connection) -> None:
    # An interrupt from the keyboard reaches every process; what to do about it is decided in the first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # In the middle of an item nothing is read from the pipe: without this a worker would outlive a killed parent.
    Thread(target=_end_with_parent, daemon=True).start()
    use_one_thread()
    pipe.send("ready")
    while True:
        try:
            asked = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            function, item = ForkingPickler.loads(asked)
            answer = ForkingPickler.dumps((None, function(item)))
        except Exception as error:
            answer = ForkingPickler.dumps((_portable(error), None))
        pipe.send_bytes(answer)


def _portable(error: Exception) -> Exception:
    """The error as it can be sent: with where it came from, and of a type that can be pickled."""
    trace = f"In a worker process:\n{format_exc()}"
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(trace)
    return error


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def use_one_thread() -> None:
    """Lets numeric libraries use one thread in this process: there are as many processes as cores."""
    # Libraries that are imported later read these; those that came with the caller's script are told.
    for name in (*THREADS, "OPENCV_FOR_THREADS_NUM"):
        os.environ[name] = "1"
    threadpool_limits(1)
    if (cv2 := sys.modules.get("cv2")) is not None:
        cv2.setNumThreads(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)

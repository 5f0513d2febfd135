"""A model in each of many workers of a Ray cluster, which do windows of items; results in order.

What is sent to a worker is what loads its model, never weights, and then windows: it prepares the next one for itself
while its model is at one.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, Generic, TypeVar

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.makers import differences
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.ray_cluster import idle_gpus, joined, need_ray, original, room, runtime_of
from mdsvqa.runtime.results import Maker
from mdsvqa.runtime.windows import Clock, Done, Memory, Progress, Work, gpu_memory, state_of
from mdsvqa.runtime.workers import map_in_workers, use_one_thread, warm_up

T = TypeVar("T")
R = TypeVar("R")
# Windows of a worker: the one that its model is at, and the next, which it prepares.
_OF_EACH = 2
# Windows for each worker that may be done before an earlier one is.
_EARLY = 4
# Workers that may die one after the other while they load the model.
_STARTS = 3
# Deaths on an item, or on a window, after which it is not given to another worker as it is.
_DEATHS = 2
# Seconds between two looks at workers that are still starting.
_LOOK = 60.0


class Worker(Generic[T, R]):
    """What runs in a process of the cluster; two of its calls at a time.

    Args:
        load: loads the model.
        imports: module that is needed where items are prepared.
        processes: that prepare; 1 for this one.
    """

    def __init__(self, load: Callable[[], Work[T, R]], imports: str, processes: int) -> None:
        use_one_thread()
        self._load, self._imports, self._processes = load, imports, processes
        self._preparing, self._working = Lock(), Lock()
        self._free = 0.0

    @cached_property
    def _work(self) -> Work[T, R]:
        return self._load()

    def start(self) -> tuple[dict[str, Any], str]:
        """Loads the model: its maker, and its warning."""
        with ThreadPoolExecutor(1) as starting:
            starting.submit(warm_up, self._processes, self._imports)
            self._work.begin()
        self._free = time.perf_counter()
        return self._work.maker, self._work.warning

    def do(self, window: Sequence[T]) -> tuple[list[R], Clock, Memory | None]:
        """The results of a window."""
        work = self._work
        with self._preparing:
            prepared = list(
                map_in_workers(work.prepare, window, self._processes, crashed=work.crashed, ahead=len(window))
            )
        with self._working:
            began = time.perf_counter()
            results = list(work.finish(window, prepared, lambda more: None))
            ended = time.perf_counter()
            clock = Clock(ended - began, began - self._free, len(window))
            self._free = ended
        return results, clock, gpu_memory()


@dataclass
class _Job(Generic[T]):
    """A window, or an item of one that killed its workers.

    Attributes:
        number: of the window.
        first: place of the first item in it.
        items: some of it.
        deaths: of workers that were at it.
    """

    number: int
    first: int
    items: Sequence[T]
    deaths: int = 0


@dataclass
class _Hand:
    """A worker as it is seen from here: an actor and what it is at; ready once its model is loaded."""

    actor: Any
    ready: bool = False
    jobs: list[_Job[Any]] = field(default_factory=list)
    memory: Memory | None = None

    def takes(self, job: _Job[Any]) -> bool:
        """Whether it may be given a job: whoever is at one that killed a worker is given nothing beside it."""
        alone = job.deaths or any(own.deaths for own in self.jobs)
        return self.ready and (not self.jobs if alone else len(self.jobs) < _OF_EACH)


class OnRay(Generic[T, R]):
    """A model in each of several workers of a cluster; a `Model`, open as long as the block runs.

    Args:
        load: loads it there; can be pickled.
        label: of that.
        lost: the result of an item that kills its worker again and again.
        imports: module that is needed where items are prepared.
        maker: of the results, where it is known before.
        engine: which cluster, and what each worker has of it.
        gpus: of each worker.
        show: how it speaks.
    """

    def __init__(
        self,
        load: Callable[[], Work[T, R]],
        label: str,
        lost: Callable[[T], R],
        *,
        imports: str,
        maker: Maker | None,
        engine: EngineSettings,
        gpus: float,
        show: Show,
    ) -> None:
        self._load, self._label, self._lost, self._imports = load, label, lost, imports
        self._engine, self._gpus, self._show = engine, gpus, show
        self._maker = maker
        self._hands: list[_Hand] = []
        # What is under way: the call of a worker, and its job; None while it loads its model.
        self._calls: dict[Any, tuple[_Hand, _Job[T] | None]] = {}
        self._deaths_at_start = 0
        self._stack = ExitStack()

    def __enter__(self) -> "OnRay[T, R]":
        self._stack.enter_context(joined(self._engine))
        return self

    def __exit__(self, *exception: object) -> None:
        for hand in self._hands:
            _end(hand)
        self._hands, self._calls = [], {}
        self._stack.close()

    @cached_property
    def _started(self) -> tuple[dict[str, Any], str]:
        """What the first worker says of its model."""
        self._start_one()
        with self._show.working(f"{self._label} on the cluster"):
            while True:
                for call, hand, _ in self._ended(None):
                    found = self._loaded(call, hand)
                    if found is not None:
                        return found

    @cached_property
    def _most(self) -> int:
        found = room(self._gpus, self._engine.cpus_per_worker)
        if warning := idle_gpus(self._gpus, self._engine.cpus_per_worker):
            self._show.note(warning)
        return min(found, self._engine.most or found)

    def begin(self) -> tuple[dict[str, Any], str]:
        """See `Model`; of the first worker, and checked against the others."""
        return self._started

    def done(self, windows: Sequence[Sequence[T]], progress: Progress = lambda more: None) -> Iterator[Done[R]]:
        """See `Model`."""
        if not windows:
            return
        self.begin()
        waiting = deque(_Job(number, 0, window) for number, window in enumerate(windows))
        found: dict[int, _Found[R]] = {number: _Found(len(window)) for number, window in enumerate(windows)}
        for number in range(len(windows)):
            while not found[number].whole:
                self._hand_out(waiting, number)
                for call, hand, job in self._ended(_LOOK):
                    if job is None:
                        self._loaded(call, hand)
                    else:
                        self._take(call, hand, job, waiting, found[job.number])
            done = found.pop(number)
            progress(done.wanted)
            yield Done(done.results(), done.clock, self._state())

    def _state(self) -> str:
        fullest = max((hand.memory for hand in self._hands if hand.memory), key=lambda m: m.used, default=None)
        return state_of(sum(hand.ready for hand in self._hands), "worker", fullest)

    def _start_one(self) -> None:
        ray = need_ray()
        assert self._most > 0
        actor = ray.remote(
            num_cpus=self._engine.cpus_per_worker,
            num_gpus=self._gpus,
            max_concurrency=_OF_EACH,
            **runtime_of(self._engine),
        )(Worker)
        hand = _Hand(actor.remote(self._load, self._imports, self._engine.cpus_per_worker))
        self._hands.append(hand)
        self._calls[hand.actor.start.remote()] = hand, None

    def _hand_out(self, waiting: deque[_Job[T]], number: int) -> None:
        """Gives out what there is room for: nothing that is far ahead of the window that is waited for."""
        while len(self._hands) < min(self._most, len(waiting)) or not self._hands:
            self._start_one()
        far = number + _EARLY * len(self._hands)
        while waiting and waiting[0].number < far:
            free = [hand for hand in self._hands if hand.takes(waiting[0])]
            if not free:
                return
            hand, job = min(free, key=lambda each: len(each.jobs)), waiting.popleft()
            hand.jobs.append(job)
            self._calls[hand.actor.do.remote(job.items)] = hand, job

    def _ended(self, timeout: float | None) -> list[tuple[Any, _Hand, _Job[T] | None]]:
        calls, _ = need_ray().wait(list(self._calls), timeout=timeout)
        return [(call, *self._calls.pop(call)) for call in calls if call in self._calls]

    def _loaded(self, call: Any, hand: _Hand) -> tuple[dict[str, Any], str] | None:
        """What a worker says of its model; None where it died, and another was started in its place."""
        ray = need_ray()
        try:
            maker, warning = ray.get(call)
        except ray.exceptions.RayActorError as error:
            self._dismiss(hand)
            if error.actor_init_failed:
                raise original(error) from None
            self._deaths_at_start += 1
            if self._deaths_at_start >= _STARTS:
                raise InputError(
                    f"{self._label}: {_STARTS} workers of the cluster died of it, one after the other; their nodes may "
                    "have too little memory. Give each more of a node by --cpus-per-worker, or take larger nodes."
                ) from None
            self._start_one()
            return None
        except ray.exceptions.RayError as error:
            raise original(error) from None
        self._deaths_at_start = 0
        wanted = json.loads(json.dumps(maker, default=str))
        self._maker = self._maker or wanted
        if self._maker != wanted:
            raise InputError(
                f"{self._label}: the workers of the cluster do not see the same model "
                f"({differences(self._maker, wanted)}). Put the same files on all nodes, or name a revision."
            )
        hand.ready = True
        return maker, warning

    def _take(self, call: Any, hand: _Hand, job: _Job[T], waiting: deque[_Job[T]], found: "_Found[R]") -> None:
        ray = need_ray()
        try:
            results, clock, hand.memory = ray.get(call)
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.OutOfMemoryError):
            self._dismiss(hand)
            job.deaths += 1
            if job.deaths < _DEATHS:
                waiting.appendleft(job)
            elif len(job.items) == 1:
                found.put(job.first, [self._lost(job.items[0])], Clock())
            else:
                # Which of them it is shows when each is alone.
                alone = [_Job(job.number, job.first + k, [item], 1) for k, item in enumerate(job.items)]
                waiting.extendleft(reversed(alone))
        except ray.exceptions.RayError as error:
            # At its turn: what came before is written first.
            found.error = original(error)
        else:
            found.put(job.first, results, clock)
        hand.jobs = [own for own in hand.jobs if own is not job]

    def _dismiss(self, hand: _Hand) -> None:
        if hand in self._hands:
            self._hands.remove(hand)
            _end(hand)


@dataclass
class _Found(Generic[R]):
    """What there is of a window."""

    wanted: int
    parts: dict[int, Sequence[R]] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    error: Exception | None = None

    def put(self, first: int, results: Sequence[R], clock: Clock) -> None:
        self.parts[first] = results
        self.clock.add(clock)

    @property
    def whole(self) -> bool:
        return self.error is not None or sum(map(len, self.parts.values())) == self.wanted

    def results(self) -> list[R]:
        if self.error is not None:
            raise self.error
        return [result for first in sorted(self.parts) for result in self.parts[first]]


def _end(hand: _Hand) -> None:
    with suppress(Exception):
        need_ray().kill(hand.actor)

"""A model's work on windows of items, the next one prepared while the model is at one, here or on a cluster."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.words import counted
from mdsvqa.runtime.workers import warm_up

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Work(Generic[T, R]):
    """What a model does to items, in two halves.

    Attributes:
        prepare: of an item what the model reads; in processes that hold no model. Can be pickled.
        crashed: in place of what is prepared of an item that kills its process.
        finish: the results of a window, from its items and what was prepared of them, where the model is; says how many
            more are done.
        maker: names the model, and all that makes its results what they are.
        warning: about the model; empty for none.
        begin: loads what `finish` would otherwise load when it is first called.
    """

    prepare: Callable[[T], Any]
    crashed: Callable[[T], Any]
    finish: Callable[[Sequence[T], Sequence[Any], Progress], Sequence[R]]
    maker: dict[str, Any]
    warning: str = ""
    begin: Callable[[], object] = lambda: None


@dataclass
class Clock:
    """Where the time of a pass went, in seconds, added up over all who work.

    Attributes:
        model: in which the model worked.
        waiting: in which it waited for frames, the start of the workers included.
        videos: read by the model.
    """

    model: float = 0.0
    waiting: float = 0.0
    videos: int = 0

    def add(self, other: "Clock") -> None:
        """Counts the time of another."""
        self.model += other.model
        self.waiting += other.waiting
        self.videos += other.videos

    @property
    def share(self) -> float:
        """Of the time that was spent waiting, 0-1."""
        return self.waiting / max(self.model + self.waiting, 1e-9)

    def verdict(self) -> str:
        """Which of the two was the limit.

        >>> Clock(model=9.0, waiting=1.0, videos=30).verdict()
        '30 videos read: the model worked 90% of the time and waited for frames 10%; the model was the limit'
        """
        limit = "decoding" if self.share > 0.5 else "the model"
        return (
            f"{counted(self.videos, 'video')} read: the model worked {1 - self.share:.0%} of the time and waited for "
            f"frames {self.share:.0%}; {limit} was the limit"
        )


@dataclass(frozen=True)
class Memory:
    """Of a GPU, in bytes."""

    used: int
    total: int

    def __str__(self) -> str:
        return f"GPU memory {self.used / 2**30:.0f} of {self.total / 2**30:.0f} GB"


def gpu_memory() -> Memory | None:
    """Of the GPU that this process computes on; None where it uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    return Memory(total - free, total)


@dataclass(frozen=True)
class Done(Generic[R_co]):
    """A window that is done.

    Attributes:
        results: one an item.
        clock: of this window.
        state: of those who work, in words: how many, and of their fullest GPU.
    """

    results: Sequence[R_co]
    clock: Clock
    state: str


class Model(Protocol[T_contra, R_co]):
    """A model that works on windows, wherever it is."""

    def begin(self) -> tuple[dict[str, Any], str]:
        """Loads the model; its maker and its warning, see `Work`."""
        ...

    def done(self, windows: Sequence[Sequence[T_contra]], progress: Progress = ...) -> Iterator[Done[R_co]]:
        """The windows, in order; `progress` hears how many more items are done. Loads the model where there are any."""
        ...


@dataclass(frozen=True)
class Here(Generic[T, R]):
    """A model in this process.

    Attributes:
        load: loads it.
        label: of that.
        imports: module that processes which prepare import meanwhile.
        map: applies what prepares to items, ahead; see `map_in_workers`.
        workers: processes of this machine that do so; 0 for none.
        show: how it speaks.
    """

    load: Callable[[], Work[T, R]]
    label: str
    imports: str
    map: Callable[..., Iterator[Any]]
    workers: int
    show: Show

    @cached_property
    def work(self) -> Work[T, R]:
        """See `load`."""
        # Workers take seconds to start, and so does a model.
        starting = Thread(target=warm_up, args=(self.workers, self.imports), daemon=True)
        starting.start()
        try:
            return self.load()
        finally:
            starting.join()

    @cached_property
    def _begun(self) -> tuple[dict[str, Any], str]:
        with self.show.working(self.label):
            self.work.begin()
        return self.work.maker, self.work.warning

    def begin(self) -> tuple[dict[str, Any], str]:
        """See `Model`."""
        return self._begun

    def done(self, windows: Sequence[Sequence[T]], progress: Progress = lambda more: None) -> Iterator[Done[R]]:
        """See `Model`."""
        if not windows:
            return
        work, items = self.work, chain.from_iterable(windows)
        # A whole window ahead: while the model is at one, the next is prepared.
        longest = max(map(len, windows))
        prepared = self.map(work.prepare, items, crashed=work.crashed, ahead=longest)
        for window in windows:
            began = time.perf_counter()
            found = [next(prepared) for _ in window]
            ready = time.perf_counter()
            results = work.finish(window, found, progress)
            clock = Clock(time.perf_counter() - ready, ready - began, len(window))
            yield Done(results, clock, state_of(max(1, self.workers), "process", gpu_memory()))


@dataclass
class Told:
    """What is said of a pass while it goes on.

    Attributes:
        show: how.
        label: of the pass.
        total: items.
        clock: where the time went so far.
    """

    show: Show
    label: str
    total: int
    clock: Clock = field(default_factory=Clock)
    _done: int = 0
    _state: str = ""

    def __post_init__(self) -> None:
        if self.total:
            self.show.progress(self.label, 0, self.total)

    def more(self, count: int) -> None:
        """So many more items are done."""
        self._done += count
        self.show.progress(self.label, self._done, self.total, self._state)

    def hear(self, done: Done[Any]) -> None:
        """A window is done."""
        self.clock.add(done.clock)
        self._state = f"{done.state}, waiting {self.clock.share:.0%}" if done.clock.videos else done.state


def state_of(count: int, who: str, memory: Memory | None) -> str:
    """How many work, and what of their memory is used.

    >>> state_of(8, "worker", Memory(60 * 2**30, 80 * 2**30))
    '8 workers, GPU memory 60 of 80 GB'
    """
    plural = "processes" if who == "process" else f"{who}s"
    return f"{count} {who if count == 1 else plural}{'' if memory is None else f', {memory}'}"

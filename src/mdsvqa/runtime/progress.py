"""Progress that a person can read and a log can do without."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Event, Thread
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mdsvqa.runtime.environment import QUIET, VERBOSE

# Seconds between two lines where there is no terminal to draw a bar on.
EVERY = 60.0
_START = monotonic()


class Show(Protocol):
    """How a step tells what it is doing."""

    def progress(self, label: str, done: int, total: int, state: str = "") -> None:
        """Says that `done` of `total` pieces of `label` are done, and in what state those are who do them."""
        ...

    def working(self, label: str) -> AbstractContextManager[None]:
        """Says that one piece of work of unknown length is under way, as long as the block runs."""
        ...

    def note(self, text: str) -> None:
        """Says one line."""
        ...


class Silent:
    """Says nothing."""

    def progress(self, label: str, done: int, total: int, state: str = "") -> None:
        """See `Show`."""

    def working(self, label: str) -> AbstractContextManager[None]:
        """See `Show`."""
        return nullcontext()

    def note(self, text: str) -> None:
        """See `Show`."""


class Rate(ProgressColumn):
    """Pieces a second, or a minute where that is less than one."""

    def render(self, task: Task) -> Text:
        """The rate so far, nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None or task.total is None else rate(speed))


class Pieces(MofNCompleteColumn):
    """How many are done, where it is known how many there are."""

    def render(self, task: Task) -> Text:
        """As 3/10."""
        return Text("") if task.total is None else super().render(task)


class Left(TimeRemainingColumn):
    """Time left, where there is a rate to tell it by."""

    def render(self, task: Task) -> Text:
        """As 0:01:30 left."""
        if task.total is None or task.speed is None:
            return Text("")
        return Text.assemble(super().render(task), " left")


class State(ProgressColumn):
    """How those are who do the work."""

    def render(self, task: Task) -> Text:
        """In their words."""
        return Text(task.fields["state"], "dim")


class Terminal:
    """Bars and lines on stderr, so that stdout is left to results."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def progress(self, label: str, done: int, total: int, state: str = "") -> None:
        """See `Show`."""
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total, state="")
        self._bars.update(self._tasks[label], completed=done, total=total, state=state)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(label))
            self.note(f"{label}: {total} done")

    @contextmanager
    def working(self, label: str) -> Iterator[None]:
        """See `Show`."""
        self.note(label)
        task = self._bars.add_task(label, total=None, state="")
        try:
            yield
        finally:
            self._bars.remove_task(task)

    def note(self, text: str) -> None:
        """See `Show`."""
        self._bars.console.print(timed(text), highlight=False, markup=False, soft_wrap=True)


class Lines:
    """Lines on a stderr that is no terminal: what begins and ends, and between these one every `EVERY` seconds."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, int]] = {}
        self._said: dict[str, float] = {}

    def progress(self, label: str, done: int, total: int, state: str = "") -> None:
        """See `Show`."""
        now = monotonic()
        began, first = self._began.setdefault(label, (now, done))
        if done >= total:
            del self._began[label]
            self._said.pop(label, None)
            self.note(f"{label}: {total} done")
        elif now - self._said.get(label, began) >= EVERY:
            self._said[label] = now
            speed = (done - first) / (now - began)
            left = f", {duration((total - done) / speed)} left" if speed > 0 else ""
            self.note(f"{label}: {done} of {total}, {rate(speed)}{left}{state and '; ' + state}")

    @contextmanager
    def working(self, label: str) -> Iterator[None]:
        """See `Show`."""
        self.note(label)
        began, over = monotonic(), Event()

        def go_on() -> None:
            while not over.wait(EVERY):
                self.note(f"{label}: for {duration(monotonic() - began)}")

        Thread(target=go_on, daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def note(self, text: str) -> None:
        """See `Show`."""
        sys.stderr.write(timed(text) + "\n")
        sys.stderr.flush()


def timed(text: str) -> str:
    """A line, with the time since the start where that is wanted."""
    return f"[{monotonic() - _START:7.1f} s] {text}" if os.environ.get(VERBOSE) else text


def rate(speed: float) -> str:
    """Pieces a second, or a minute where that is less than one.

    >>> rate(2.5), rate(0.1)
    ('2.5/s', '6.0/min')
    """
    return f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"


def duration(seconds: float) -> str:
    """In the two largest units that say something.

    >>> duration(42.3), duration(125), duration(3 * 3600 + 61)
    ('42 s', '2 min 5 s', '3 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def first_process() -> bool:
    """Whether this is the only process, or the first of those that a launcher started: the one that speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def terminal() -> Iterator[Show]:
    """`Terminal` or `Lines` on stderr for as long as the block runs.

    Says nothing in all but the first of several processes, and where `QUIET` is set in the environment.
    """
    if not first_process() or os.environ.get(QUIET):
        yield Silent()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), Pieces(), Rate(), TimeElapsedColumn(), Left(), State())
    with Progress(*columns, console=console, transient=True) as bars:
        yield Terminal(bars)

"""Progress that a person can read and a log can do without."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Show(Protocol):
    """How a step tells what it is doing."""

    def progress(self, label: str, done: int, total: int) -> None:
        """Says that `done` of `total` pieces of `label` are done."""
        ...

    def working(self, label: str) -> AbstractContextManager[None]:
        """Says that one piece of work of unknown length is under way, as long as the block runs."""
        ...

    def note(self, text: str) -> None:
        """Says one line."""
        ...


class Silent:
    """Says nothing."""

    def progress(self, label: str, done: int, total: int) -> None:
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
        if speed is None:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min")


class Terminal:
    """Bars and lines on stderr, so that stdout is left to results."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, object] = {}

    def progress(self, label: str, done: int, total: int) -> None:
        """See `Show`. Where stderr is not a terminal, one line when all is done."""
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total)
        self._bars.update(self._tasks[label], completed=done, total=total)  # type: ignore[arg-type]
        if done >= total:
            self._bars.remove_task(self._tasks.pop(label))  # type: ignore[arg-type]
            self.note(f"{label}: {total} done")

    @contextmanager
    def working(self, label: str) -> Iterator[None]:
        """See `Show`."""
        self.note(label)
        task = self._bars.add_task(label, total=None)
        try:
            yield
        finally:
            self._bars.remove_task(task)

    def note(self, text: str) -> None:
        """See `Show`."""
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)


def first_process() -> bool:
    """Whether this is the only process, or the first of those that a launcher started: the one that speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def terminal() -> Iterator[Show]:
    """A `Terminal` on stderr for as long as the block runs; `Silent` in all but the first process."""
    if not first_process():
        yield Silent()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Terminal(bars)

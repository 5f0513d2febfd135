"""Where results go, and how a step works and speaks: what everything that takes long is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mdsvqa.runtime.progress import Show, Silent
from mdsvqa.runtime.results import Maker, computed
from mdsvqa.runtime.words import counted


@dataclass(frozen=True)
class Run:
    """A folder for results, and how they are made.

    Attributes:
        out: the folder.
        show: how a step says what it is doing.
        workers: processes that decode; 0 for none but this one.
        overwrite: make anew what other settings made, instead of refusing.
    """

    out: Path
    show: Show = field(default_factory=Silent)
    workers: int = 0
    overwrite: bool = False

    def within(self, name: str) -> "Run":
        """The same in a folder below."""
        return replace(self, out=self.out / name)

    def table(
        self, schema: pa.Schema, maker: Maker, rows: Callable[[], Sequence[Mapping[str, Any]]], *, name: str = ""
    ) -> pa.Table:
        """A result that is made at once, or that is there; `name` is what is said of it."""
        table, reused = computed(self.out, schema, maker, rows, overwrite=self.overwrite)
        if name:
            self.show.note(f"{name}: reused" if reused else f"{name}: {counted(table.num_rows, 'row')}")
        return table

"""Where results go, and how a step works and speaks: what everything that takes long is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mdsvqa.runtime.progress import Show, Silent
from mdsvqa.runtime.results import Maker, ResultTable, computed
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

    def open(self, schema: pa.Schema, maker: Maker, *, costs: str = "") -> ResultTable:
        """The result of this folder, for adding rows; says when quick ones of other settings go. See `ResultTable`."""
        say = self.show.note
        return ResultTable(self.out, schema, maker, overwrite=self.overwrite, say=say, costs=costs)

    def table(
        self,
        schema: pa.Schema,
        maker: Maker,
        rows: Callable[[], Sequence[Mapping[str, Any]]],
        *,
        name: str = "",
        costs: str = "",
    ) -> pa.Table:
        """A result that is made at once, or that is there; `name` is what is said of it, `costs` as in `open`."""
        table, reused = computed(self.open(schema, maker, costs=costs), rows)
        if name:
            self.show.note(f"{name}: reused" if reused else f"{name}: {counted(table.num_rows, 'row')}")
        return table

"""Where results go, and how a step works and speaks: what everything that takes long is given."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.progress import Show, Silent
from mdsvqa.runtime.ray_tasks import map_by
from mdsvqa.runtime.ray_workers import OnRay
from mdsvqa.runtime.results import Maker, ResultTable, computed
from mdsvqa.runtime.windows import Here, Model, Work
from mdsvqa.runtime.words import counted

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Run:
    """A folder for results, and how they are made.

    Attributes:
        out: the folder.
        show: how a step says what it is doing.
        workers: processes that decode; 0 for none but this one.
        overwrite: make anew what other settings made, instead of refusing.
        engine: where work is done.
    """

    out: Path
    show: Show = field(default_factory=Silent)
    workers: int = 0
    overwrite: bool = False
    engine: EngineSettings = field(default_factory=EngineSettings)

    def within(self, name: str) -> "Run":
        """The same in a folder below."""
        return replace(self, out=self.out / name)

    def map(
        self, function: Callable[[T], R], items: Iterable[T], *, crashed: Callable[[T], R], ahead: int = 0
    ) -> Iterator[R]:
        """The results of a function in order, by worker processes or a cluster; see `map_by`."""
        return map_by(self.engine, function, items, self.workers, crashed=crashed, ahead=ahead)

    @contextmanager
    def model(
        self,
        load: Callable[[], Work[T, R]],
        label: str,
        lost: Callable[[T], R],
        *,
        imports: str,
        device: str,
        maker: Maker | None = None,
    ) -> Iterator[Model[T, R]]:
        """A model in this process, or one in each of many workers of a cluster.

        Args:
            load: loads it, when it is first needed; can be pickled.
            label: of that.
            lost: the result of an item that kills one worker of a cluster after the other.
            imports: module that is needed where items are prepared.
            device: of the model, by name.
            maker: of the results, where it is known before.

        Raises:
            InputError: Ray is not installed, or there is no cluster.
        """
        if self.engine.name == "ray":
            gpus = self.engine.gpus_for(device)
            wanted = OnRay(
                load, label, lost, imports=imports, maker=maker, engine=self.engine, gpus=gpus, show=self.show
            )
            with wanted as model:
                yield model
        else:
            yield self.here(load, label, imports)

    def here(self, load: Callable[[], Work[T, R]], label: str, imports: str) -> Here[T, R]:
        """A model in this process, whatever the engine; arguments as in `model`."""
        workers = self.workers if self.engine.name == "local" else 0
        return Here(load, label, imports, self.map, workers, self.show)

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

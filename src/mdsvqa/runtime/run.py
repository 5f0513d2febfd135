"""Where results go, and how a step works and speaks: what everything that takes long is given."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.mirror import Mirror
from mdsvqa.runtime.parts import Part
from mdsvqa.runtime.progress import Show, Silent
from mdsvqa.runtime.ray_tasks import map_by
from mdsvqa.runtime.ray_workers import OnRay
from mdsvqa.runtime.results import Maker, ResultTable, computed
from mdsvqa.runtime.windows import Here, Model, Work
from mdsvqa.runtime.words import counted

T = TypeVar("T")
R = TypeVar("R")


class Named(Protocol):
    """A video, as far as it matters here."""

    @property
    def id(self) -> str:
        """Its name."""
        ...


V = TypeVar("V", bound=Named)


@dataclass(frozen=True)
class Run:
    """A folder for results, and how they are made.

    Attributes:
        out: the folder.
        show: how a step says what it is doing.
        workers: processes that decode; 0 for none but this one.
        overwrite: make anew what other settings made, instead of refusing.
        engine: where work is done.
        mirror: where results are copied to.
        part: of the pool that is worked on.
    """

    out: Path
    show: Show = field(default_factory=Silent)
    workers: int = 0
    overwrite: bool = False
    engine: EngineSettings = field(default_factory=EngineSettings)
    mirror: Mirror | None = None
    part: Part | None = None

    def parted(self, part: str | None, videos: Iterable[str]) -> "Run":
        """The same for one of several parts of a pool, in a folder of its own below this one; for all of it without.

        Args:
            part: such as 3/64.
            videos: ids of the pool.

        Raises:
            InputError: there is no such part, or no video in it.
        """
        if part is None:
            return self
        found = Part.of_text(part).among(videos)
        return replace(self, out=self.out / found.name, part=found)

    def share(self, videos: Sequence[V]) -> Sequence[V]:
        """Those of some videos that are to be worked on."""
        return videos if self.part is None else [video for video in videos if self.part.holds(video.id)]

    def mirrored(self, url: str | None) -> "Run":
        """The same with a copy of its results at a URL, if one is given."""
        if url is None:
            return self
        place = url if self.part is None else f"{url.rstrip('/')}/{self.part.name}"
        return replace(self, mirror=Mirror(place, self.out, self.show.note, self.overwrite))

    def end(self) -> None:
        """Says that nothing more comes.

        Raises:
            MirrorError: the copy is not whole.
        """
        if self.mirror is not None:
            self.mirror.end()

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
        settings: dict[str, Any] = {"overwrite": self.overwrite, "say": say, "costs": costs, "mirror": self.mirror}
        return ResultTable(self.out, schema, maker, part=self.part, **settings)

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

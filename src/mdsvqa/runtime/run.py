"""Where results go, and how a step works and speaks: what everything that takes long is given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from mdsvqa.runtime.mirror import Mirror
from mdsvqa.runtime.parts import Part
from mdsvqa.runtime.progress import Show, Silent
from mdsvqa.runtime.results import Maker, ResultTable, computed
from mdsvqa.runtime.words import counted


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
        mirror: where results are copied to.
        part: of the pool that is worked on.
    """

    out: Path
    show: Show = field(default_factory=Silent)
    workers: int = 0
    overwrite: bool = False
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

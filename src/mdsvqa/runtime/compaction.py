"""Results of many small shards as the same results of few."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mdsvqa.runtime.results import locked, read_meta
from mdsvqa.runtime.shards import EARLIER_META, META, MOST, TableError, merge_shards, mergeable, settle, shards_of


@dataclass(frozen=True)
class Compacted:
    """A result folder before and after.

    Attributes:
        before, after: number of shards.
    """

    folder: Path
    before: int
    after: int


def results_within(folder: Path) -> list[Path]:
    """The result folders in a folder and below it, itself first.

    Raises:
        TableError: there is none.
    """
    found = sorted({meta.parent for name in (META, EARLIER_META) for meta in folder.rglob(name)})
    found = [each for each in found if shards_of(each)]
    if not found:
        read_meta(folder)
        raise TableError(f"{folder}: has no rows yet; run the step that makes it first.")
    return found


def compact(folder: Path, progress: Callable[[int, int], None] = lambda done, of: None) -> Compacted:
    """Merges the shards of a result where several have up to 4,096 rows together.

    Rows, their order and what the folder says of its maker stay as they are. A kill at any moment leaves every row
    once: what was begun is ended when the folder is next opened for writing, and who only reads it sees it as ended.

    Args:
        folder: of the result.
        progress: hears how many shards were merged, of how many.

    Raises:
        TableError: it is no result, a shard is damaged, or another process is writing to it.
    """
    read_meta(folder)
    with locked(folder):
        settle(folder)
        shards = shards_of(folder)
        runs = list(mergeable(shards, MOST))
        wanted, done = sum(map(len, runs)), 0
        for run in runs:
            merge_shards(run)
            done += len(run)
            progress(done, wanted)
        return Compacted(folder, len(shards), len(shards_of(folder)))

"""The shards of a result folder: listing, reading and writing them, and merging many small ones into few.

Merging replaces a run of shards by one, in the place of the last. What is to go stands in a journal from before the
first change until after the last, so that whoever lists the folder meanwhile, or after a kill, finds every row once.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mdsvqa.runtime.atomic import cannot_write, flush_folder, write_atomically
from mdsvqa.runtime.errors import InputError

# What made the rows; the second by earlier versions.
META, EARLIER_META = "_meta.json", "meta.json"
# Rows of the first shard that a run writes, and the most of any; bytes that wait to be written as one.
FIRST, MOST, MOST_BYTES = 32, 4096, 1 << 28
# Names in the folder while shards are merged: what is to go, and the merged shard before it has its name.
JOURNAL, MERGED = "_compacting.json", "_merged-"
_START, _END = "part-", ".parquet"


class TableError(InputError):
    """A result folder that cannot be used; the message says which, why, and the way out."""


def shards_of(folder: Path) -> list[Path]:
    """The shards of a folder, in the order in which they were written; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    shards = filter(is_shard, names)
    listed = {name: folder / name for name in sorted(shards, key=lambda name: (len(name), name))}
    if JOURNAL in names:
        merging = _journal(folder)
        if merging is None:
            # It was ended meanwhile.
            return shards_of(folder)
        into, others = merging
        for name in others:
            listed.pop(name, None)
        if _merged(folder, into).name in names:
            listed[into] = _merged(folder, into)
    return list(listed.values())


def is_shard(name: str) -> bool:
    """Whether a file of this name in a result folder holds rows.

    >>> is_shard("part-00012.parquet"), is_shard("_meta.json")
    (True, False)
    """
    return name.startswith(_START) and name.endswith(_END)


def has_shards(folder: Path) -> bool:
    """Whether there is at least one."""
    return next(folder.glob(f"{_START}*{_END}"), None) is not None


def shard_named(folder: Path, number: int) -> Path:
    """Where the shard of a number lies."""
    return folder / f"{_START}{number:05d}{_END}"


def number_of(shard: Path) -> int:
    """
    >>> number_of(Path("scores/part-00012.parquet"))
    12
    """
    return int(shard.stem.removeprefix(_START))


def read_shard(shard: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a shard, with those of the columns that it has; older ones have fewer.

    Raises:
        TableError: it is damaged.
    """
    try:
        with pq.ParquetFile(shard) as file:
            return file.read(None if columns is None else list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(shard, error) from None


def rows_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table; null where a row says nothing of a column."""
    return pa.table({name: [row.get(name) for row in rows] for name in schema.names}, schema)


def write_meta(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes what a result folder says of what made it."""
    write_atomically(folder / META, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())


def write_shard(shard: Path, table: pa.Table) -> None:
    """Writes a shard that is whole or not there."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(shard, sink.getvalue().to_pybytes())


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables as one; older ones lack the columns that came since."""
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def mergeable(shards: Sequence[Path], most: int) -> Iterator[list[Path]]:
    """Runs of at least two shards that have up to `most` rows together."""
    run: list[Path] = []
    rows = 0
    for shard in shards:
        more = _rows(shard)
        if run and rows + more > most:
            if len(run) > 1:
                yield run
            run, rows = [], 0
        run.append(shard)
        rows += more
    if len(run) > 1:
        yield run


def merge_shards(run: Sequence[Path]) -> None:
    """Replaces shards that follow each other by one with their rows in order; a kill leaves what `settle` ends."""
    folder, into = run[0].parent, run[-1].name
    write_shard(_merged(folder, into), joined([read_shard(shard) for shard in run]))
    plan = {"into": into, "instead_of": [shard.name for shard in run[:-1]]}
    write_atomically(folder / JOURNAL, json.dumps(plan).encode())
    settle(folder)


def settle(folder: Path) -> None:
    """Ends a merging that was begun, or undoes one that was not; for who alone writes to the folder."""
    merging = _journal(folder)
    try:
        if merging is not None:
            into, others = merging
            merged = _merged(folder, into)
            # Where it has its name already a kill came later.
            if merged.exists():
                merged.replace(folder / into)
                flush_folder(folder)
            for name in others:
                (folder / name).unlink(missing_ok=True)
            flush_folder(folder)
            (folder / JOURNAL).unlink()
            flush_folder(folder)
        for leftover in [*folder.glob(f"{MERGED}*"), *folder.glob(f"{JOURNAL}.tmp")]:
            leftover.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from None


def _merged(folder: Path, into: str) -> Path:
    # No name that others take for a shard's.
    return folder / f"{MERGED}{into.removesuffix(_END)}"


def _journal(folder: Path) -> tuple[str, list[str]] | None:
    """The shard that stands for others, and those."""
    try:
        plan = json.loads((folder / JOURNAL).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TableError(
            f"{folder / JOURNAL}: cannot be read ({error}). Without it nobody knows which rows are there twice; take "
            "the folder from a copy."
        ) from None
    return plan["into"], plan["instead_of"]


def _rows(shard: Path) -> int:
    try:
        return int(pq.read_metadata(shard).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(shard, error) from None


def _unreadable(shard: Path, error: Exception) -> TableError:
    if isinstance(error, FileNotFoundError):
        return TableError(f"{shard}: is gone; another process merged or deleted it meanwhile. Run it again.")
    return TableError(f"{shard}: cannot be read ({error}). Delete it; its rows are then computed again.")


def replaced_rows(table: pa.Table, new: pa.Table) -> pa.Table:
    """A table in which the rows of some ids are others: a row of `new` for each of its ids that the table has."""
    place = {video: table.num_rows + index for index, video in enumerate(new["id"].to_pylist())}
    taken = [place.get(video, index) for index, video in enumerate(table["id"].to_pylist())]
    return joined([table, new]).take(taken).select(new.schema.names).cast(new.schema)

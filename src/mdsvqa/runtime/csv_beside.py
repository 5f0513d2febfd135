"""A result as a CSV beside its folder, for everything that opens no Parquet."""

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mdsvqa.runtime.atomic import cannot_write, flush_folder, write_atomically
from mdsvqa.runtime.shards import read_shard

# In the folder of the result: what was written beside it, so that what a person changed or put there stays.
RECORD = "_csv"


def is_flat(schema: pa.Schema) -> bool:
    """Whether every column holds single values, so that it can be written as CSV.

    >>> is_flat(pa.schema([("id", pa.string())])), is_flat(pa.schema([("frames", pa.list_(pa.float32()))]))
    (True, False)
    """
    return len(schema) > 0 and not any(pa.types.is_nested(field.type) for field in schema)


def csv_beside(folder: Path) -> Path:
    """Where the CSV of a result folder lies: scores.csv beside scores."""
    return folder.parent / f"{folder.name}.csv"


def write_csv_beside(folder: Path, shards: Sequence[Path]) -> None:
    """Writes the rows of a result as CSV beside its folder, unless a file that is not as we wrote it lies there.

    Args:
        folder: of the result.
        shards: its Parquet files, in the order of the rows; read one at a time.
    """
    path, record = csv_beside(folder.resolve()), folder / RECORD
    ours = record.read_text().split() if record.is_file() else []
    there = _digest_of(path) if path.exists() else None
    if there is not None and there not in ours:
        return
    unfinished = path.with_name(path.name + ".tmp")
    try:
        digest = _write(unfinished, shards)
        if digest == there:
            unfinished.unlink()
            return
        # Before the file: a kill in between must not make the new one somebody else's.
        write_atomically(record, "\n".join([*ours[-1:], digest]).encode())
        unfinished.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None


def _write(path: Path, shards: Sequence[Path]) -> str:
    """Writes the CSV of some shards, and returns its digest."""
    said, digest = _said(shards), hashlib.sha256()
    with path.open("wb") as file:
        for place, shard in enumerate(shards):
            table = read_shard(shard, said)
            missing = [name for name in said if name not in table.column_names]
            for name in missing:
                table = table.append_column(name, pa.nulls(table.num_rows))
            content = _lines(table.select(said), header=place == 0)
            digest.update(content)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _said(shards: Sequence[Path]) -> list[str]:
    """The columns that say something in at least one row, in the order of a table of all shards."""
    names: dict[str, bool] = {}
    for shard in shards:
        metadata = pq.read_metadata(shard)
        for column in range(metadata.num_columns):
            groups = [metadata.row_group(group).column(column) for group in range(metadata.num_row_groups)]
            name = metadata.schema.column(column).name
            names[name] = names.get(name, False) or any(_says(group) for group in groups)
    return [name for name, says in names.items() if says]


def _says(column: pq.ColumnChunkMetaData) -> bool:
    counted = column.statistics is not None and column.statistics.has_null_count
    return not counted or column.statistics.null_count < column.num_values


def csv_bytes(table: pa.Table) -> bytes:
    """A table as CSV; columns that say nothing in any row are left out.

    >>> csv_bytes(pa.table({"id": ["a,b"], "score": [3.5], "note": [None]}))
    b'id,score\\n"a,b",3.5\\n'
    """
    return _lines(table.select([name for name in table.column_names if table[name].null_count < table.num_rows]))


def _lines(table: pa.Table, *, header: bool = True) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue().encode("utf-8", "replace")


def _digest_of(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

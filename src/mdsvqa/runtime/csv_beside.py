"""A result as a CSV beside its folder, for everything that opens no Parquet."""

import csv
import hashlib
import io
from pathlib import Path

import pyarrow as pa

from mdsvqa.runtime.atomic import write_atomically

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


def write_csv_beside(folder: Path, table: pa.Table) -> None:
    """Writes the rows of a result as CSV beside its folder, unless a file that is not as we wrote it lies there."""
    path, record = csv_beside(folder.resolve()), folder / RECORD
    content = csv_bytes(table)
    ours = record.read_text().split() if record.is_file() else []
    if path.exists():
        there = _digest(path.read_bytes()) if path.is_file() else ""
        if there == _digest(content) or there not in ours:
            return
    # Before the file: a kill in between must not make the new one somebody else's.
    write_atomically(record, "\n".join([*ours[-1:], _digest(content)]).encode())
    write_atomically(path, content)


def csv_bytes(table: pa.Table) -> bytes:
    """A table as CSV; columns that say nothing in any row are left out.

    >>> csv_bytes(pa.table({"id": ["a,b"], "score": [3.5], "note": [None]}))
    b'id,score\\n"a,b",3.5\\n'
    """
    said = [name for name in table.column_names if table[name].null_count < table.num_rows]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(said)
    writer.writerows(zip(*(table[name].to_pylist() for name in said), strict=True))
    return text.getvalue().encode("utf-8", "replace")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

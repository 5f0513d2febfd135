"""Columns of a Parquet file, each made Python objects when it is asked for: beside paths there may be gigabytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class ParquetColumns(Mapping[str, Sequence[Any]]):
    """The columns of a file by name.

    Args:
        names: of the columns.
        read: a column's values.
    """

    def __init__(self, names: Sequence[str], read: Callable[[str], pa.ChunkedArray]) -> None:
        self._names, self._read = list(dict.fromkeys(names)), read
        self._known: dict[str, Sequence[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self._known:
            if name not in self._names:
                raise KeyError(name)
            self._known[name] = self._read(name).to_pylist()
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def open_parquet(path: Path) -> ParquetColumns:
    """The columns of a file that stays where it is, read one at a time."""
    names = pq.read_schema(path).names
    if pq.read_metadata(path).num_rows == 0:
        return ParquetColumns([], lambda name: pa.chunked_array([], pa.null()))
    return ParquetColumns(names, lambda name: pq.read_table(path, columns=[name], use_threads=False)[name])


def load_flat(path: Path) -> ParquetColumns:
    """The columns of a file that goes: read one group of rows after the other, without lists and records."""
    with pq.ParquetFile(path) as file:
        names = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
        groups = [file.read_row_group(number, names, use_threads=False) for number in range(file.num_row_groups)]
        table = pa.concat_tables([file.schema_arrow.empty_table().select(names), *groups])
    return ParquetColumns(names if len(table) else [], lambda name: table[name])

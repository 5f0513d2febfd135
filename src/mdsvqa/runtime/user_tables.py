"""Tables that people hand in: CSV, JSONL, Parquet or a result folder, read column by column, checked by row."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import read_table

MISSING = ("", "nan", "NaN", "NA", "null", "None", None)


class ColumnError(InputError):
    """A table that cannot be used; the message names the file, the row and what to change."""


@dataclass(frozen=True)
class Columns:
    """A table as text and numbers.

    Attributes:
        path: where it was read.
        cells: values by column name, all columns of one length; None for an empty cell.
    """

    path: Path
    cells: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), ()))

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column.

        Raises:
            ColumnError: there is no such column; the message lists those there are.
        """
        if name not in self.cells:
            raise ColumnError(f"{self.path}: has no column {name!r}; found {', '.join(self.cells)}.")
        return self.cells[name]

    def text_of(self, videos: Sequence[str], name: str) -> list[str | None]:
        """What a column says of each of some videos, as text; None where its cell is empty.

        Raises:
            ColumnError: there is no such column, or a video is not in the table.
        """
        said = dict(zip(self.ids(), self.column(name), strict=True))
        missing = next((video for video in videos if video not in said), None)
        if missing is not None:
            raise ColumnError(f"{self.path}: video {missing!r} is not in it, so its {name} is unknown.")
        return [None if said[video] in MISSING else str(said[video]) for video in videos]

    def numbers(self, name: str) -> Floats:
        """A column as numbers, NaN where the cell is empty.

        Raises:
            ColumnError: a cell is neither empty nor a finite number.
        """
        return np.array([self._number(name, row, cell) for row, cell in enumerate(self.column(name), 1)], np.float64)

    def _number(self, name: str, row: int, cell: Any) -> float:
        if cell in MISSING or (isinstance(cell, float) and math.isnan(cell)):
            return math.nan
        try:
            value = float(cell)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise ColumnError(f"{self.path}, row {row}, column {name}: found {cell!r}, expected a number or nothing.")
        return value

    def ids(self) -> list[str]:
        """The ids of the rows, from a column called id or name.

        Raises:
            ColumnError: there is none, one is empty, or one stands twice.
        """
        ids = [str(cell) for cell in self.column("name" if "id" not in self.cells and "name" in self.cells else "id")]
        first: dict[str, int] = {}
        for row, video in enumerate(ids, 1):
            if video in MISSING:
                raise ColumnError(f"{self.path}, row {row}: the id is empty.")
            if video in first:
                raise ColumnError(f"{self.path}: id {video!r} is in rows {first[video]} and {row}; ids are unique.")
            first[video] = row
        return ids


def read_columns(path: Path) -> Columns:
    """Reads a table.

    Args:
        path: .csv, .tsv, .jsonl, .parquet, or a result folder.

    Raises:
        ColumnError: it cannot be read, or has no rows.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.is_dir():
        return Columns(path, read_table(path).to_pydict())
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ColumnError(f"{path}: expected a result folder or a file ending in {', '.join(readers)}.")
    try:
        cells = reader(path)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ColumnError(f"{path}: cannot be read ({error}).") from None
    if not cells or not len(next(iter(cells.values()))):
        raise ColumnError(f"{path}: has no rows.")
    return Columns(path, cells)


def separator(text: str) -> str:
    """What separates the cells of a CSV, by its first line: a comma, a tab, or the semicolon of European spreadsheets.

    >>> separator("id;mos\\r\\nclip 1;3.5\\r\\n")
    ';'
    """
    # What stands in quotes separates nothing.
    bare = re.sub(r'"[^"]*"', "", text[:65_536])
    return max(",\t;", key=bare.lstrip("\r\n").split("\n", 1)[0].count)


def _read_csv(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator(text), strict=True)
        try:
            lines = [line for line in reader if line]
        except csv.Error as error:
            raise ColumnError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from None
    names = [name.strip() for name in lines[0]] if lines else []
    for name in names:
        if names.count(name) > 1:
            raise ColumnError(f"{path}: column {name!r} is there twice; rename or remove one.")
    for number, row in enumerate(lines[1:], 1):
        if len(row) != len(names):
            raise ColumnError(f"{path}, row {number}: found {len(row)} cells, expected {len(names)}.")
    return {name: [row[place].strip() or None for row in lines[1:]] for place, name in enumerate(names)}


def _read_jsonl(path: Path) -> dict[str, list[Any]]:
    rows: list[Mapping[str, Any]] = []
    # Not splitlines(), which also breaks at U+2028 and others that JSON allows within a string.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ColumnError(f"{path}, line {number}: not valid JSON ({error.msg} at column {error.colno}).") from None
        if not isinstance(row, dict):
            raise ColumnError(f"{path}, line {number}: expected one JSON object, found {line[:40]!r}.")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    cells: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    return cells

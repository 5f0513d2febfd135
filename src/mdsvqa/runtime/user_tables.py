"""Tables that people hand in, of any form: read column by column, checked by row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.cells import MISSING, folded, has_decimal_comma, number_of, text_of, tidy
from mdsvqa.runtime.column_names import SCORES_AS_MOS, Names, find_column
from mdsvqa.runtime.matlab import read_matlab
from mdsvqa.runtime.parquet_columns import load_flat, open_parquet
from mdsvqa.runtime.places import Place, Remote, place_of, stem_of
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.spreadsheet import read_spreadsheet
from mdsvqa.runtime.stores import NoObjectError, copied
from mdsvqa.runtime.table_content import ColumnError, TableContent
from mdsvqa.runtime.table_text import read_delimited, read_jsonl, read_plain

__all__ = ["MISSING", "ColumnError", "Columns", "Names", "place_of_table", "read_columns"]


# Columns of results of this package and of manifests made for it: a score beside them is a model's.
_MODELS_OWN = frozenset(("status", "split", "difficulty"))


@dataclass(frozen=True)
class Columns:
    """A table as text and numbers.

    Attributes:
        path: where it was read.
        cells: values by column name, all columns of one length; None for an empty cell.
        names: what its columns of ids and MOS are called, where that is said.
        lines: of the file in which each row begins, where it has lines.
        decimal_comma: 3,5 is a number here.
        named: the columns' names stand in the file.
        scored: its `score` is a model's, and no MOS.
    """

    path: Place
    cells: Mapping[str, Sequence[Any]]
    names: Names = field(default_factory=Names)
    lines: Sequence[int] | None = None
    decimal_comma: bool = False
    named: bool = True
    scored: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), ()))

    def or_usual(self) -> "Columns":
        """The same with the usual names in place of those that it does not have: they are another table's."""
        has_id, has_mos = (name is not None and name in self for name in (self.names.id, self.names.mos))
        return replace(self, names=Names(self.names.id if has_id else None, self.names.mos if has_mos else None))

    def find(self, name: str, others: Sequence[str] = ()) -> str | None:
        """The column that is meant by a name, None where there is none: see `find_column`.

        Raises:
            ColumnError: two could be meant.
        """
        try:
            return find_column(name, list(self.cells), others)
        except ValueError as error:
            raise ColumnError(f"{self.path}: {error}; rename one.") from None

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column.

        Raises:
            ColumnError: there is no such column; the message lists those there are.
        """
        return self.cells[self._found(name)]

    def _found(self, name: str) -> str:
        found = self.find(name)
        if found is None:
            raise ColumnError(f"{self.path}: has no column {name!r}; found {', '.join(self.cells)}.")
        return found

    def where(self, row: int) -> str:
        """File, line and row, as messages name them.

        Args:
            row: counted from 1.
        """
        line = "" if self.lines is None else f"line {self.lines[row - 1]}, "
        return f"{self.path}, {line}row {row}"

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

    def texts(self, name: str) -> list[str]:
        """A column as text without white space around it, empty where nothing stands.

        Raises:
            ColumnError: there is no such column, or a cell holds something else.
        """
        cells = self.column(name)
        if _are_texts(cells):
            return [tidy(cell) if cell else "" for cell in cells]
        found = []
        for row, cell in enumerate(cells, 1):
            try:
                found.append(text_of(cell))
            except ValueError:
                raise ColumnError(
                    f"{self.where(row)}, column {name}: found {cell!r}, expected text. Spreadsheets make dates, truth "
                    "values and rounded numbers of some names: format the column as text."
                ) from None
        return found

    def numbers(self, name: str) -> Floats:
        """A column as numbers, NaN where the cell is empty or says that there is none, such as NA.

        Raises:
            ColumnError: a cell is neither empty nor a finite number.
        """
        name = self._found(name)
        if (plain := _plain_numbers(self.cells[name])) is not None:
            return plain
        commas = self.decimal_comma and any(has_decimal_comma(cell) for cell in self.cells[name])
        return np.array([self._number(name, row, commas) for row in range(1, len(self) + 1)], np.float64)

    def _number(self, name: str, row: int, commas: bool) -> float:
        cell = self.cells[name][row - 1]
        try:
            value = number_of(cell, decimal_comma=commas)
        except ValueError:
            hint = self._of_id(row) + "."
            if has_decimal_comma(cell):
                hint += " A decimal comma is read where semicolons or tabs separate the fields."
            raise ColumnError(
                f"{self.where(row)}, column {name}: found {cell!r}, expected a number or nothing{hint}"
            ) from None
        # 1.234 beside 0,5 may be a thousand.
        if commas and isinstance(cell, str) and "." in cell and value == value:
            example = next(each for each in self.cells[name] if has_decimal_comma(each))
            raise ColumnError(
                f"{self.where(row)}, column {name}: found {cell!r} where others have a decimal comma, such as "
                f"{example!r}; write all in one way."
            )
        return value

    def _of_id(self, row: int) -> str:
        name = self.id_column()
        return "" if name is None else f" (id {self.cells[name][row - 1]!r})"

    def mos(self) -> Floats:
        """The MOS of the rows, NaN where there is none, from the column that was named or one that is called so.

        Raises:
            ColumnError: there is no such column, or a cell is no number.
        """
        name = self.mos_column()
        if name is None:
            raise ColumnError(
                f"{self.path}: has no column {self.names.mos or 'mos'!r}; found {', '.join(self.cells)}. Name the "
                "column of the MOS: --mos, or `manifest: {mos: ...}` in a study."
            )
        return self.numbers(name)

    def mos_column(self) -> str | None:
        """The column of the MOS, None where there is none."""
        if self.names.mos is not None:
            return self.find(self.names.mos)
        return self.find("mos", () if self.scored else SCORES_AS_MOS)

    def id_column(self) -> str | None:
        """The column of the ids, None where there is none."""
        return self.find("id" if self.names.id is None else self.names.id)

    def ids(self) -> list[str]:
        """The ids of the rows: of the column that was named or one that is called so, else the names of the files in a
        column path, without extension.

        Raises:
            ColumnError: there is none, one is empty, or one stands twice.
        """
        name = self.id_column()
        if name is not None:
            ids = self.texts(name)
        elif self.names.id is None and "path" in self:
            paths = self.texts("path")
            ids = [tidy(stem_of(path)) for path in paths]
            if not self.named and len(set(ids)) < len(ids):
                # Nobody can add a column of ids to a list that has no names of columns.
                ids = [str(place_of(path)) if path else "" for path in paths]
        else:
            raise ColumnError(
                f"{self.path}: has no column {self.names.id or 'id'!r}; found {', '.join(self.cells)}. Name the column "
                "of the ids: --id, or `manifest: {id: ...}` in a study."
            )
        self._check_unique(ids, "path" if name is None else "id")
        return ids

    def _check_unique(self, ids: Sequence[str], column: str) -> None:
        distinct = set(ids)
        if len(distinct) == len(ids) and "" not in distinct:
            return
        first: dict[str, int] = {}
        for row, video in enumerate(ids, 1):
            if not video:
                raise ColumnError(f"{self.where(row)}: the {column} is empty. Fill it in or drop the row.")
            if video in first:
                rows = f"rows {first[video]} and {row}"
                if self.lines is not None:
                    rows += f" (line {self.lines[first[video] - 1]} and line {self.lines[row - 1]})"
                way_out = "" if column == "id" else " Add an id column that tells them apart."
                raise ColumnError(f"{self.path}: id {video!r} is in {rows}; ids are unique.{way_out}")
            first[video] = row


def _are_texts(cells: Sequence[Any]) -> bool:
    return set(map(type, cells)) <= {str, NoneType}


def _plain_numbers(cells: Sequence[Any]) -> Floats | None:
    """Cells that are numbers, text of numbers or empty, NaN where these are; None where any is anything else."""
    kinds = set(map(type, cells))
    try:
        if kinds <= {str, NoneType}:
            found = pa.array(cells, pa.string()).cast(pa.float64())
        elif kinds <= {float, NoneType}:
            found = pa.array(cells, pa.float64(), from_pandas=True)
        else:
            return None
    except pa.ArrowException:
        return None
    known: Floats = found.drop_null().to_numpy()
    # Infinities are refused with their row; NaN as text is a word for nothing, and words are looked up.
    return found.to_numpy(zero_copy_only=False) if np.isfinite(known).all() else None


def is_table_place(place: Remote) -> bool:
    """Whether an address is that of a table, by its ending."""
    return place.suffix.lower() in {*_READERS, *_OF_PARTS} - {""}


def place_of_table(path: Path) -> tuple[Path, str | None]:
    """The file of a table, and which of its tables: `labels.mat:MOS` is the variable MOS of labels.mat.

    >>> place_of_table(Path("study/labels.xlsx:Sheet2"))[1]
    'Sheet2'
    """
    file, colon, part = path.name.rpartition(":")
    if colon and part and Path(file).suffix.lower() in _OF_PARTS and not path.exists():
        return path.with_name(file), part
    return path, None


def read_columns(path: Place, names: Names | None = None) -> Columns:
    """Reads a table.

    Args:
        path: .csv, .tsv, .txt, .list (or no ending), .jsonl, .ndjson, .parquet, .xlsx, .xlsm, .mat, or a result folder.
            `labels.mat:MOS` names the variable that is the MOS, `labels.xlsx:Sheet2` the sheet. Or the address of such
            a file in a store.
        names: of its columns of ids and MOS, where they have none of the usual ones.

    Raises:
        ColumnError: it cannot be read, or has no rows.
    """
    names = names or Names()
    if isinstance(path, Remote):
        return _of_store(path, names)
    if path.is_dir():
        return Columns(path, read_table(path).to_pydict(), names, scored=True)
    file, part = place_of_table(path)
    ending = file.suffix.lower()
    if ending not in _READERS and ending not in _OF_PARTS:
        endings = ", ".join(filter(None, (*_READERS, *_OF_PARTS)))
        raise ColumnError(
            f"{path}: found the ending {ending!r}; expected a result folder or a file ending in {endings}."
        )
    if not file.is_file():
        raise ColumnError(f"{path}: cannot be read: found no such file.")
    try:
        content = (
            _READERS[ending](file, names)
            if part is None and ending in _READERS
            else _OF_PARTS[ending](file, part, names)
        )
    except (OSError, pa.ArrowException) as error:
        raise ColumnError(f"{path}: cannot be read ({error}).") from None
    if not content.cells or not len(next(iter(content.cells.values()))):
        raise ColumnError(f"{path}: has no rows.")
    scored = not _MODELS_OWN.isdisjoint(folded(name) for name in content.cells)
    return Columns(path, content.cells, names, content.lines, content.decimal_comma, content.named, scored)


def _of_store(place: Remote, names: Names) -> Columns:
    """A table that is copied first; messages name where it lies."""
    try:
        with copied(place, "the table") as (file, _):
            found = replace(read_columns(file, names), path=place)
            return replace(found, cells=load_flat(file)) if place.suffix.lower() == ".parquet" else found
    except NoObjectError as error:
        raise ColumnError(f"{place}: cannot be read: {error}.") from None
    except ColumnError as error:
        raise ColumnError(str(error).replace(str(file), str(place))) from None


def _read_parquet(path: Path, names: Names) -> TableContent:
    return TableContent(open_parquet(path))


_READERS: Mapping[str, Callable[[Path, Names], TableContent]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_plain,
    ".list": read_plain,
    "": read_plain,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": _read_parquet,
}
_OF_PARTS: Mapping[str, Callable[[Path, str | None, Names], TableContent]] = {
    ".xlsx": read_spreadsheet,
    ".xlsm": read_spreadsheet,
    ".mat": read_matlab,
}

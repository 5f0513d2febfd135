"""Sheets of Excel files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdsvqa.runtime.cells import is_empty, tidy
from mdsvqa.runtime.column_names import SCORES_AS_MOS, Names, find_column
from mdsvqa.runtime.optional import need_package
from mdsvqa.runtime.table_content import ColumnError, TableContent

# Shown with leading zeros: 0012 for 12.
_PADDED = re.compile(r"0{2,}")


def read_spreadsheet(path: Path, sheet: str | None, names: Names) -> TableContent:
    """Reads a sheet whose first row with anything in it holds the columns' names.

    Args:
        path: of the file.
        sheet: by name. By default the only one with rows, or else the only one with ids and MOS.
        names: of the columns, where they have none of the usual ones.

    Raises:
        ColumnError: it cannot be read, or it is unclear which sheet is meant.
    """
    openpyxl = need_package("openpyxl", f"{path}: an Excel file")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            title, table = _sheet_of(path, book, sheet, names)
        finally:
            book.close()
        if any(is_empty(cell) for row in table.rows for cell in row):
            _refuse_formulas(path, openpyxl, title, table)
    except ColumnError:
        raise
    # What damaged files make openpyxl raise comes from zip, zlib, XML and its own code.
    except Exception as error:
        raise ColumnError(f"{path}: cannot be read as an Excel file ({error}); save it as .xlsx or .csv.") from None
    return TableContent(
        {name: [row[place] for row in table.rows] for name, place in table.columns(path).items()}, table.lines
    )


class _Sheet:
    """Rows of cells: names in the first, and in which row of the sheet each stands."""

    def __init__(self, rows: Sequence[tuple[int, list[Any]]]) -> None:
        self.header = [tidy(str(cell)) if not is_empty(cell) else "" for cell in rows[0][1]] if rows else []
        self.lines = [number for number, _ in rows[1:]]
        width = len(self.header)
        self.rows = [(row + [None] * width)[:width] for _, row in rows[1:]]

    def columns(self, path: Path) -> dict[str, int]:
        """Place of each column that has a name."""
        for name in self.header:
            if name and self.header.count(name) > 1:
                raise ColumnError(f"{path}: column {name!r} is there twice; rename or remove one.")
        return {name: place for place, name in enumerate(self.header) if name}


def _sheet_of(path: Path, book: Any, sheet: str | None, names: Names) -> tuple[str, _Sheet]:
    titles = [each.title for each in book.worksheets if sheet is not None or each.sheet_state == "visible"]
    if sheet is not None:
        if sheet not in titles:
            raise ColumnError(f"{path}: has no sheet {sheet!r}; found {', '.join(titles)}.")
        return sheet, _read(book[sheet])
    tables = {title: table for title in titles if (table := _read(book[title])).rows}
    if len(tables) <= 1:
        return next(iter(tables.items()), ("", _Sheet([])))
    meant = [title for title, table in tables.items() if _has_ids_and_mos(table, names)]
    if len(meant) != 1:
        listed = ", ".join(tables)
        raise ColumnError(
            f"{path}: has {len(tables)} sheets ({listed}), and it is unclear which one is meant; name it: "
            f"{path.name}:{next(iter(tables))}."
        )
    return meant[0], tables[meant[0]]


def _has_ids_and_mos(table: _Sheet, names: Names) -> bool:
    try:
        ids = find_column(names.id or "id", table.header)
        mos = find_column(names.mos or "mos", table.header, SCORES_AS_MOS)
    except ValueError:
        return False
    return ids is not None and mos is not None


def _read(sheet: Any) -> _Sheet:
    # What other programs write there is often wrong.
    sheet.reset_dimensions()
    rows = ((number, [_value(cell) for cell in row]) for number, row in enumerate(sheet.iter_rows(), 1))
    return _Sheet([(number, row) for number, row in rows if any(not is_empty(cell) for cell in row)])


def _value(cell: Any) -> Any:
    value = cell.value
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if whole and _PADDED.fullmatch(cell.number_format or ""):
        return str(int(value)).zfill(len(cell.number_format))
    # Excel knows no whole numbers: it keeps 15 digits of each.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _refuse_formulas(path: Path, openpyxl: Any, title: str, table: _Sheet) -> None:
    """Refuses a file in which a formula has no value, as files are that no spreadsheet program has opened since."""
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        sheet = book[title]
        sheet.reset_dimensions()
        places = dict(zip(table.lines, table.rows, strict=True))
        for number, row in enumerate(sheet.iter_rows(), 1):
            for place, cell in enumerate(row):
                known = places.get(number)
                if cell.data_type == "f" and known is not None and place < len(known) and is_empty(known[place]):
                    raise ColumnError(
                        f"{path}, sheet {title!r}, cell {cell.coordinate}: holds the formula {str(cell.value)[:40]!r} "
                        "without its value. Open the file in a spreadsheet program and save it."
                    )
    finally:
        book.close()

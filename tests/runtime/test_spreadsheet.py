"""Excel files, written by openpyxl: ids stay what people see, sheets are found or named."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openpyxl import Workbook

from mdsvqa.runtime.user_tables import ColumnError, Names, read_columns


def write(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> Path:
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_ids_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    rows = [["ID ", "mos"], ["0012", 3.5], [8171831850, 4], [12.0, "NA"], ["NA", "#N/A"], [" p3\u00a0", None]]
    table = read_columns(write(path, {"Sheet": rows}))
    assert table.ids() == ["0012", "8171831850", "12", "NA", "p3"]
    np.testing.assert_array_equal(table.numbers("mos"), [3.5, 4, np.nan, np.nan, np.nan])


def test_zeros_that_are_only_shown(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["id", "mos"])
    for number in (7, 1234):
        book.active.append([number, 3])
        book.active.cell(book.active.max_row, 1).number_format = "0000"
    book.save(tmp_path / "t.xlsx")
    assert read_columns(tmp_path / "t.xlsx").ids() == ["0007", "1234"]


@pytest.mark.parametrize("name", [True, dt.datetime(2026, 3, 1), 12345678901234567890, 3.5])
def test_names_that_a_spreadsheet_changed(tmp_path: Path, name: object) -> None:
    path = write(tmp_path / "t.xlsx", {"Sheet": [["id", "mos"], ["a", 3], [name, 4]]})
    with pytest.raises(ColumnError, match=r"row 2, column id: found .*expected text.* format the column as text"):
        read_columns(path).ids()


def test_empty_rows_and_columns(tmp_path: Path) -> None:
    rows = [[], [None, "name", None, "MOS"], [], [None, "a", None, 3.5], [None, "b", "", 4.5], [None, None, None, None]]
    table = read_columns(write(tmp_path / "t.xlsx", {"Sheet": rows}))
    assert table.ids() == ["a", "b"]
    assert table.mos().tolist() == [3.5, 4.5]
    assert table.where(1).endswith("line 4, row 1")


def test_the_sheet_with_ids_and_mos_is_meant(tmp_path: Path) -> None:
    sheets = {
        "about": [["Please cite"], ["us"]],
        "MOS": [["vid", "MOS full", "category"], ["Gaming_1080P-0ce6", 3.1, "Gaming"]],
        "empty": [],
    }
    path = write(tmp_path / "t.xlsx", sheets)
    assert read_columns(path).mos().tolist() == [3.1]
    assert read_columns(tmp_path / "t.xlsx:about").column("Please cite") == ["us"]
    with pytest.raises(ColumnError, match="has no sheet 'DMOS'; found about, MOS, empty"):
        read_columns(tmp_path / "t.xlsx:DMOS")


def test_two_sheets_that_could_be_meant(tmp_path: Path) -> None:
    part = [["id", "mos", "quality"], ["a", 3, 4]]
    path = write(tmp_path / "t.xlsx", {"train": part, "test": part})
    with pytest.raises(ColumnError, match=r"has 2 sheets \(train, test\).* name it: t\.xlsx:train"):
        read_columns(path)
    assert read_columns(tmp_path / "t.xlsx:test", Names(mos="quality")).mos().tolist() == [4]


def test_formulas_without_values(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", {"S": [["id", "mos"], ["a", 3], ["b", "=AVERAGE(C3:D3)"]]})
    with pytest.raises(ColumnError, match=r"sheet 'S', cell B3: holds the formula '=AVERAGE\(C3:D3\)'"):
        read_columns(path)


def test_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", {"S": [["id", "mos", "mos"], ["a", 3, 4]]})
    with pytest.raises(ColumnError, match="column 'mos' is there twice"):
        read_columns(path)
    with pytest.raises(ColumnError, match="has no rows"):
        read_columns(write(path, {"S": [["id", "mos"]]}))
    for content in (b"", b"id,mos\na,1\n", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ColumnError, match=r"t\.xlsx: cannot be read as an Excel file"):
            read_columns(path)

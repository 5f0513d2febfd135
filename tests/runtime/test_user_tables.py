"""Tables that people hand in: what is in the file is what comes out, and every refusal says where and why."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvqa.runtime.cells import is_number, number_of, tidy
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import FEATURES, SCORES, ResultTable
from mdsvqa.runtime.user_tables import ColumnError, Columns, read_columns

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_csv_as_spreadsheets_write_it(put: Put) -> None:
    content = '\ufeffid, score ,text\r\n0012,3.50,"a ""good"", clear\r\nclip"\r\n8171831850, 4 ,\r\n\r\nb.mp4,,nan\r\n'
    table = read_columns(put(content))
    assert len(table) == 3
    assert list(table.cells) == ["id", "score", "text"]
    assert table.ids() == ["0012", "8171831850", "b.mp4"]
    assert table.column("text") == ['a "good", clear\r\nclip', None, "nan"]
    np.testing.assert_array_equal(table.numbers("score"), [3.5, 4.0, np.nan])


@pytest.mark.parametrize("empty", ["", " ", "nan", "NaN", "NA", "null", "None"])
def test_empty_numbers(put: Put, empty: str) -> None:
    assert np.isnan(read_columns(put(f"id,score\na,{empty}\n")).numbers("score")).all()


@pytest.mark.parametrize("cell", ["good", "inf", "-inf", "1e999", "3,5", "4/5", "1..2"])
def test_cells_that_are_no_number(put: Put, cell: str) -> None:
    table = read_columns(put(f'id,score\na,1\nb,"{cell}"\n'))
    with pytest.raises(ColumnError, match=r"t\.csv, line 3, row 2, column score: found '.*', expected a number"):
        table.numbers("score")


def test_numbers_of_other_types(put: Put) -> None:
    rows = [
        {"id": 1, "mos": 3},
        {"id": "2", "mos": "4.5"},
        {"id": 3, "mos": math.nan},
        {"id": 4, "mos": None},
        {"id": 5},
    ]
    table = read_columns(put("\n".join(json.dumps(row) for row in rows), "t.jsonl"))
    np.testing.assert_array_equal(table.numbers("mos"), [3, 4.5, np.nan, np.nan, np.nan])
    for wrong in ([1], {"a": 1}, 10**400, True, False):
        table = read_columns(put(json.dumps({"id": 1, "mos": wrong}), "w.jsonl"))
        with pytest.raises(ColumnError, match="row 1, column mos"):
            table.numbers("mos")


def test_tab_separated(put: Put) -> None:
    assert read_columns(put("name\tmos\na,b\t3\n", "t.TSV")).ids() == ["a,b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,score\na,1\nb\n", r"line 3, row 2: found 1 fields, expected 2"),
        ("id,score\na,1,,5\n", r"line 2, row 1: found 4 fields, expected 2"),
        ("id,score,score\na,1,2\n", r"column 'score' is there twice"),
        ('id,score\na,1\nb,"2"3\n', r"t\.csv, line 3: not valid CSV"),
        ('id,"score"s\na,1\n', r"t\.csv, line 1: not valid CSV"),
        ('id,score\n"a,1\n', r"t\.csv, line 2: not valid CSV \(unexpected end of data\)"),
        ("id,score\n", "has no rows"),
        ("", "has no rows"),
        ("id,score\na\xe9,1\n".encode("latin-1"), r"t\.csv, line 2: cannot be read: found bytes that are not UTF-8"),
    ],
)
def test_refused_csv(put: Put, content: str | bytes, message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        read_columns(put(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1}\n\n{"id": }\n', r"t\.jsonl, line 3: not valid JSON \(Expecting value at column 8\)"),
        ('{"id": 1}\n[1]\n', r"t\.jsonl, line 2: expected one JSON object as in .*, found '\[1\]'"),
        ("\n", "has no rows"),
        ("{}\n", "has no rows"),
        ('{"id": 1}\n{"id": ' + "[" * 100_000 + "]" * 100_000 + "}\n", r"t\.jsonl, line 2: lists in lists"),
    ],
)
def test_refused_jsonl(put: Put, content: str, message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        read_columns(put(content, "t.jsonl"))


def test_refused_files(tmp_path: Path, put: Put) -> None:
    with pytest.raises(ColumnError, match=r"gone\.csv: cannot be read: found no such file"):
        read_columns(tmp_path / "gone.csv")
    with pytest.raises(
        ColumnError,
        match=r"t\.pdf: found the ending '\.pdf'; expected a result folder or .* \.csv, \.tsv",
    ):
        read_columns(put("", "t.pdf"))
    with pytest.raises(ColumnError, match=r"t\.parquet: cannot be read"):
        read_columns(put("PAR1", "t.parquet"))
    with pytest.raises(InputError, match=r"is no result folder, it has no _meta\.json"):
        read_columns(tmp_path)


def test_ids(put: Put) -> None:
    assert read_columns(put("name,id\na,b\n")).ids() == ["b"]
    assert read_columns(put("name,mos\na,1\n")).ids() == ["a"]
    with pytest.raises(ColumnError, match=r"id 'a' is in rows 1 and 3 \(line 2 and line 4\); ids are unique"):
        read_columns(put("id,mos\na,1\nb,2\na,3\n")).ids()
    with pytest.raises(ColumnError, match="row 2: the id is empty"):
        read_columns(put("id,mos\na,1\n ,2\n")).ids()
    with pytest.raises(ColumnError, match=r"has no column 'id'; found clip, mos"):
        read_columns(put("clip,mos\na,1\n")).ids()


def test_ids_differ_by_leading_zeros_only(put: Put) -> None:
    assert read_columns(put("id\n0012\n12\n12.0\n1e1\n")).ids() == ["0012", "12", "12.0", "1e1"]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ["0012", None], "score": [1.5, None], "count": [8171831850, 2]}), path)
    table = read_columns(path)
    np.testing.assert_array_equal(table.numbers("score"), [1.5, np.nan])
    assert table.numbers("count").tolist() == [8171831850.0, 2.0]
    with pytest.raises(ColumnError, match="row 2: the id is empty"):
        table.ids()
    pq.write_table(pa.table({"id": [8171831850, 12]}), path)
    assert read_columns(path).ids() == ["8171831850", "12"]
    pq.write_table(pa.table({"id": ["a"], "score": [True]}), path)
    with pytest.raises(ColumnError, match="row 1, column score: found True, expected a number"):
        read_columns(path).numbers("score")
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), path)
    with pytest.raises(ColumnError, match="has no rows"):
        read_columns(path)


def test_result_folder(tmp_path: Path) -> None:
    with ResultTable(tmp_path, SCORES, {"step": "scores"}) as table:
        table.append([{"id": "0012", "score": 2.5, "status": "ok"}])
        table.append([{"id": "b", "score": None, "status": "failed"}])
    found = read_columns(tmp_path)
    assert found.ids() == ["0012", "b"]
    np.testing.assert_array_equal(found.numbers("score"), [2.5, np.nan])
    with pytest.raises(ColumnError, match=r"has no column 'mos'; found id, score, status, text, spread"):
        found.numbers("mos")


def test_damaged_result_folder(tmp_path: Path) -> None:
    with ResultTable(tmp_path, FEATURES, {"step": "features"}) as table:
        table.append([{"id": "a", "features": [1.0]}])
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"part-00000\.parquet: cannot be read"):
        read_columns(tmp_path)


def test_no_columns() -> None:
    assert len(Columns(Path("x"), {})) == 0


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.lists(CELL.map(tidy).filter(lambda name: name and not is_number(name)), min_size=1, max_size=4, unique=True)
ROWS = NAMES.flatmap(
    lambda names: st.tuples(
        st.just(names), st.lists(st.lists(CELL, min_size=len(names), max_size=len(names)), min_size=1, max_size=6)
    )
)


@settings(deadline=None)
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from([".csv", ".tsv"]))
def test_csv_round_trip(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[str], list[list[str]]], end: str, bom: bool, kind: str
) -> None:
    names, rows = table
    path = tmp_path_factory.mktemp("c") / f"t{kind}"
    with path.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
        writer = csv.writer(file, "excel" if kind == ".csv" else "excel-tab", lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([names, *rows])
    if not any(tidy(cell) for row in rows for cell in row):
        with pytest.raises(ColumnError, match="has no rows"):
            read_columns(path)
        return
    found = read_columns(path)
    assert list(found.cells) == names
    # A row in which nothing stands is none.
    rows = [row for row in rows if any(tidy(cell) for cell in row)]
    for place, name in enumerate(names):
        assert found.column(name) == [tidy(row[place]) or None for row in rows]


def as_written(value: object) -> object:
    """Numbers keep the text that they are in JSON, so that those that are ids keep every digit."""
    if isinstance(value, float) and math.isinf(value):
        return value
    return json.dumps(value) if isinstance(value, int | float) else value


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(CELL, CELL | st.none() | st.floats(allow_nan=False) | st.integers(), min_size=1), min_size=1
    )
)
def test_jsonl_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("j") / "t.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows), encoding="utf-8", newline="")
    found = read_columns(path)
    assert set(found.cells) == {name for row in rows for name in row}
    for name in found.cells:
        assert found.column(name) == [as_written(row.get(name)) for row in rows]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_numbers_round_trip(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("n") / "t.csv"
    path.write_text("id,score\n" + "".join(f"{place},{value!r}\n" for place, value in enumerate(values)))
    assert read_columns(path).numbers("score").tolist() == values


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_csv_of_any_separator(put: Put, mark: str) -> None:
    table = read_columns(put(mark.join(["id", "mos"]) + "\r\n" + mark.join(["a", "3.5"]) + "\r\n"))
    assert table.ids() == ["a"]
    assert table.numbers("mos").tolist() == [3.5]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.txt", "t.jsonl"])
def test_encodings_that_say_what_they_are(put: Put, encoding: str, end: str, name: str) -> None:
    lines = ['{"id": "Ü b", "mos": 3.5}', '{"id": "0012", "mos": 4}'] if name == "t.jsonl" else ["id\tmos", "Ü b\t3.5"]
    text = end.join([*lines, ""])
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    table = read_columns(put((mark + text).encode(encoding), name))
    assert table.ids()[0] == "Ü b"
    assert table.numbers("mos")[0] == 3.5


def test_encodings_that_do_not(put: Put) -> None:
    for content, message in (("id,mos\na,3\n".encode("utf-16-le"), "NUL bytes"), (b"\xff\xfei\x00d", "UTF-16 text")):
        with pytest.raises(ColumnError, match=rf"t\.csv, line 1: cannot be read: found .*{message}.* Save it as UTF-8"):
            read_columns(put(content))


@pytest.mark.parametrize("declared", ["", "sep=;\r\n", '"sep=;"\n', "SEP=;\r"])
def test_decimal_commas_as_half_of_europe_has_them(put: Put, declared: str) -> None:
    content = declared + "id;mos;score;set\r\na;3,5;-1,25;x,y\r\nb;4;,5;\r\nc;NA;1e-1;\r\nd;5,;2,5E1;\r\n"
    table = read_columns(put(content))
    np.testing.assert_array_equal(table.numbers("mos"), [3.5, 4, np.nan, 5])
    assert table.numbers("score").tolist() == [-1.25, 0.5, 0.1, 25]
    assert table.column("set")[0] == "x,y"
    assert table.where(2).endswith(f"line {4 if declared else 3}, row 2")


def test_sep_may_name_any_separator(put: Put) -> None:
    table = read_columns(put("sep=|\nid|mos;of;all\na,b|3\n"))
    assert table.ids() == ["a,b"]
    assert read_columns(put("sep=\t\nid\tmos\na\t3,5\n")).numbers("mos").tolist() == [3.5]


def test_a_point_beside_decimal_commas_may_be_a_thousand(put: Put) -> None:
    table = read_columns(put("id;mos;n\na;3,5;1.234\nb;1.234;5\n"))
    with pytest.raises(ColumnError, match=r"line 3, row 2, column mos: found '1\.234' where others .* such as '3,5'"):
        table.numbers("mos")
    # A column that has only points has decimal points.
    assert table.numbers("n").tolist() == [1.234, 5]


def test_a_decimal_comma_is_named_where_it_cannot_be_read(put: Put) -> None:
    with pytest.raises(ColumnError, match=r"found '3,5', .*A decimal comma is read where semicolons or tabs"):
        read_columns(put('id,mos\na,"3,5"\n')).numbers("mos")
    for line in ("a.mp4 3,5\nb.mp4 4,0\n", "a.mp4 3,5 0,8\nb.mp4 4,0 1\n"):
        with pytest.raises(ColumnError, match=r"found 'a\.mp4 3,5.*'; its comma may be a decimal comma or"):
            read_columns(put(line, "t.txt"))
    # Here it stands between: the name has a blank.
    assert read_columns(put("clip 1,3.5\nclip 2,4\n", "t.txt")).ids() == ["clip 1", "clip 2"]


NO_NUMBER = ["#N/A", "N/A", "n/a", "NULL", "null", "<NA>", "-", "NA", "nan", "NaN", "-NaN", "None", "#NA", "", "  "]


@pytest.mark.parametrize("word", NO_NUMBER)
def test_words_for_nothing_are_numbers_that_are_missing_and_ids_that_are_not(put: Put, word: str) -> None:
    name = word.strip() or "y"
    rows = "".join(json.dumps(row) + "\n" for row in ({"id": "x", "mos": word}, {"id": name, "mos": 3}))
    for path in (put(f"id,mos\nx,{word}\n{name},3\n"), put(rows, "t.jsonl")):
        table = read_columns(path)
        np.testing.assert_array_equal(table.numbers("mos"), [np.nan, 3])
        assert table.ids() == ["x", name]


@pytest.mark.parametrize(
    "word", ["#DIV/0!", "#VALUE!", "1_000", "٣", "3.5%", "0x10", "infinity", "1.2.3", "3 5", "nine"]
)
def test_words_that_are_mistakes(put: Put, word: str) -> None:
    for name, text in (("t.csv", f"id,mos\na,{word}\n"), ("t.jsonl", json.dumps({"id": "a", "mos": word}))):
        with pytest.raises(ColumnError, match="row 1, column mos"):
            read_columns(put(text, name)).numbers("mos")


@pytest.mark.parametrize("white", [" ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff"])
def test_white_space_around_ids(put: Put, white: str) -> None:
    written = f"{white}p 3{white}"
    assert read_columns(put(f'id,mos\n"{written}",3\n')).ids() == ["p 3"]
    assert read_columns(put(json.dumps({"id": written}), "t.jsonl")).ids() == ["p 3"]
    with pytest.raises(ColumnError, match="id 'p 3' is in rows 1 and 2"):
        read_columns(put(f'id,mos\n"{written}",3\np 3,4\n')).ids()


def test_white_space_around_ids_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Name": [" p3 ", "0012"], "MOS": [1.0, 2.0]}), tmp_path / "t.parquet")
    table = read_columns(tmp_path / "t.parquet")
    assert table.ids() == ["p3", "0012"]
    assert table.numbers("mos").tolist() == [1, 2]


def test_ids_of_json_keep_their_digits(put: Put) -> None:
    table = read_columns(put('{"ID": 12345678901234567890}\n{"ID": 1.50}\n{"ID": "0012"}\n{"ID": 1e3}\n', "t.jsonl"))
    assert table.ids() == ["12345678901234567890", "1.50", "0012", "1e3"]
    for wrong in ("[1]", "true", '{"a": 1}'):
        with pytest.raises(ColumnError, match="line 1, row 1, column id: found"):
            read_columns(put(f'{{"id": {wrong}}}\n', "t.jsonl")).ids()
    for missing in ("null", "NaN", '" "'):
        with pytest.raises(ColumnError, match="row 1: the id is empty"):
            read_columns(put(f'{{"id": {missing}, "mos": 1}}\n', "t.jsonl")).ids()


def test_columns_are_found_in_any_case(put: Put) -> None:
    table = read_columns(put("Video Name,MOS Full,Score,seconds \na,3,4,5\n"))
    assert table.ids() == ["a"]
    assert table.numbers("mos").tolist() == [3]
    assert table.numbers("score").tolist() == [4]
    assert "Seconds" in table
    # As it is written comes first, then whatever is nearest; two that are as near are none.
    both = read_columns(put("id,MOS,mos\na,3,4\n"))
    assert (both.numbers("mos").tolist(), both.numbers("MOS").tolist()) == ([4], [3])
    with pytest.raises(ColumnError, match="columns 'MOS' and 'Mos' could both be 'mos'"):
        read_columns(put("id,MOS,Mos\na,3,4\n")).numbers("mos")
    # A score is a MOS in lists of labels only, and never the score of a result.
    assert read_columns(put("filename,score\na,3\n")).mos().tolist() == [3]
    with pytest.raises(ColumnError, match="has no column 'mos'"):
        read_columns(put("filename,score\na,3\n")).numbers("mos")
    for of_a_model in ("id,score,status\na,3,ok\n", "id,Split,score\na,pool,3\n", "id,difficulty,score\na,1,3\n"):
        with pytest.raises(ColumnError, match="has no column 'mos'"):
            read_columns(put(of_a_model)).mos()


def test_columns_without_a_name_are_not_read(put: Put) -> None:
    assert list(read_columns(put(",id,mos,,\n0,a,3,,\n1,b,4,,\n,,,,\n")).cells) == ["id", "mos"]


def test_a_first_column_of_numbers_needs_a_name(put: Put) -> None:
    for text in ("44.5\t12.3\n70.1\t8.5\n", "8171831850,3.5\n8171831851,4\n", "3.5\n4.5\n", "1 2 3\n4 5 6\n"):
        for name in ("t.txt", "t.csv", "t.list"):
            if name == "t.csv" and " " in text:
                continue
            with pytest.raises(ColumnError, match=r"line 1: found the number .* where a video's name was expected"):
                read_columns(put(text, name))
    assert read_columns(put("flickr_id,mos\n8171831850,3.5\n")).ids() == ["8171831850"]
    # Names alone say nothing else.
    assert read_columns(put("0012\n8171831850\n", "t.txt")).ids() == ["0012", "8171831850"]
    assert read_columns(put("a.mp4\nb.mp4\n", "t.txt")).ids() == ["a.mp4", "b.mp4"]


def test_four_columns_without_names(put: Put) -> None:
    table = read_columns(put("v/a.mp4, 8.0, 29.97, 3.22\nv/b.mp4, 8.1, 25, 4\n", "t.txt"))
    assert table.ids() == ["a", "b"]
    assert table.numbers("seconds").tolist() == [8, 8.1]
    assert table.mos().tolist() == [3.22, 4]
    # A name, its MOS, their deviation and the number of ratings.
    with pytest.raises(ColumnError, match="the last are no MOS"):
        read_columns(put("a,3.5,0.8,24\nb,4,0.7,25\nc,2.5,1,24\n", "t.txt"))
    with pytest.raises(ColumnError, match="found 5 fields and no column names; expected 'name mos'"):
        read_columns(put("a,3.5,0.8,24,1\n", "t.txt"))


@pytest.mark.parametrize(
    "cells",
    [
        ["3", "4.5", None, "1e2", ".5", "2."],
        ["3", "NA", "-", "4"],
        ["3", "+4", " 5 "],
        [3.0, None, math.nan],
        [3, 4, None],
        [3, 4.5, "5"],
    ],
)
def test_numbers_are_the_same_by_the_column_as_by_the_cell(cells: list[Any]) -> None:
    table = Columns(Path("t.csv"), {"a": cells})
    np.testing.assert_array_equal(table.numbers("a"), [number_of(cell) for cell in cells])


@pytest.mark.parametrize("cell", ["inf", "-inf", "1_000", "infinity", "0x10", "٣", "1e999", math.inf, True, "3,5"])
def test_what_is_no_number_is_refused_with_its_row(cell: Any) -> None:
    with pytest.raises(ColumnError, match=r"^t\.csv, row 2, column a: found "):
        Columns(Path("t.csv"), {"a": [1.0 if isinstance(cell, float) else "1", cell]}).numbers("a")


def test_columns_of_parquet_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"id": ["a", "b"], "mos": [3.0, None], "features": [[1.0], [2.0]]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1)
    read: list[list[str]] = []
    whole = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda *a, **k: read.append(k["columns"]) or whole(*a, **k))
    found = read_columns(tmp_path / "t.parquet")
    assert (len(found), found.ids()) == (2, ["a", "b"])
    np.testing.assert_array_equal(found.mos(), [3.0, math.nan])
    assert read == [["id"], ["mos"]]
    assert list(found.column("features")) == [[1.0], [2.0]]
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(ColumnError, match="has no rows"):
        read_columns(tmp_path / "none.parquet")

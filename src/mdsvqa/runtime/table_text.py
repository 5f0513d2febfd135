"""Tables as text: CSV of every separator, lines of names and numbers, JSON lines; UTF-8, or UTF-16 with a mark."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from mdsvqa.runtime.cells import folded, is_number, number_of, tidy
from mdsvqa.runtime.column_names import KNOWN, Names
from mdsvqa.runtime.table_content import ColumnError, TableContent

T = TypeVar("T")
# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# What the columns of a file without names are, by their number.
UNNAMED = {1: ("id",), 2: ("id", "mos"), 3: ("id", "mos", "mos_std"), 4: ("path", "seconds", "fps", "mos")}
FORMS = "'name mos', 'name mos std' or 'path, duration, fps, mos'"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
# A name, white space, and numbers with a comma in them: decimal commas, or white space in a name and commas between.
_EITHER = re.compile(r"[^\s,;]+(?:\s+[+-]?\d+(?:,\d+)?)+\s*", re.ASCII)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 that begins with a byte order mark.

    Raises:
        ColumnError: it cannot be read, or is text in no such encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ColumnError(f"{path}: cannot be read ({error.strerror or error}).") from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        expected = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise ColumnError(
            f"{path}, line {line}: cannot be read: found bytes that are not {expected} text. Save it as UTF-8."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ColumnError(f"{path}, line {line}: cannot be read: found NUL bytes, not text. Save it as UTF-8.")
    return text


def separator(text: str) -> str:
    """What separates the cells of a CSV, by its first line: a comma, a tab, or the semicolon of European spreadsheets.

    >>> separator("id;mos\\r\\nclip 1;3.5\\r\\n"), separator("clip 1;3,5\\nclip 2;4,0\\n")
    (';', ';')
    """
    # What stands in quotes separates nothing.
    bare = re.sub(r'"[^"]*"', "", text[:65_536])
    # Of two that are as frequent the comma is the decimal one.
    return max("\t;,", key=lambda mark: (_first_line(bare).count(mark), mark != ","))


def read_delimited(path: Path, names: Names) -> TableContent:
    """Reads CSV or TSV; without column names where the first line has numbers and no name that is known.

    Raises:
        ColumnError: it is neither.
    """
    text, mark, skipped = _declared(read_text(path))
    mark = mark or separator(text)
    return _content(path, _csv_rows(path, text, mark, skipped), mark, names)


def read_plain(path: Path, names: Names) -> TableContent:
    """Reads lines of a name and numbers, separated by commas, semicolons, tabs, or else by white space.

    Lines that begin with # are comments.

    Raises:
        ColumnError: they are no table.
    """
    text, mark, skipped = _declared(read_text(path))
    # Blank, so that the lines keep their numbers.
    text = "\n".join("" if line.lstrip().startswith("#") else line for line in _lines(text))
    mark = mark or separator(text)
    written = [(number + skipped, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    marks = {re.sub(r'"[^"]*"', "", line).count(mark) for _, line in written}
    if marks == {0} or (mark == "\t" and len(marks) > 1):
        return _content(path, [(number, line.split()) for number, line in written], "", names, plain=True)
    if mark == ",":
        _refuse_either(path, text)
    return _content(path, _csv_rows(path, text, mark, skipped), mark, names, plain=True)


def read_jsonl(path: Path, names: Names) -> TableContent:
    """Reads one JSON object a line; numbers stay as they are written, so that an id keeps all its digits.

    Raises:
        ColumnError: a line is something else.
    """
    rows: list[dict[str, Any]] = []
    lines = []
    # Not splitlines(), which also breaks at U+2028 and others that JSON allows within a string.
    for number, line in enumerate(_lines(read_text(path)), start=1):
        if not tidy(line):
            continue
        try:
            row = json.loads(line, parse_int=str, parse_float=str)
        except json.JSONDecodeError as error:
            raise ColumnError(
                f"{path}, line {number}: not valid JSON ({error.msg} at column {error.colno}); expected one object a "
                "line."
            ) from None
        except RecursionError:
            raise ColumnError(f"{path}, line {number}: lists in lists, too deep to be read; expected values.") from None
        if not isinstance(row, dict):
            raise ColumnError(
                f'{path}, line {number}: expected one JSON object as in {{"id": "0012"}}, found {line[:40]!r}.'
            )
        rows.append(row)
        lines.append(number)
    columns = dict.fromkeys(name for row in rows for name in row)
    return TableContent({name: [row.get(name) for row in rows] for name in columns}, lines)


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _first_line(text: str) -> str:
    return next((line for line in _lines(text) if line.strip()), "")


def _declared(text: str) -> tuple[str, str | None, int]:
    """What is below a first line such as `sep=;`, which Excel reads and writes; the separator; lines passed over."""
    match = re.match(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|$)', text, re.IGNORECASE)
    return (text, None, 0) if match is None else (text[match.end() :], match[1], 1)


def _csv_rows(path: Path, text: str, mark: str, skipped: int) -> list[tuple[int, list[str]]]:
    # A blank may follow a separator, and quotes may follow the blank.
    # Not a StringIO, which takes four bytes a character.
    lines = (match[0] for match in _LINE.finditer(text))
    reader = csv.reader(lines, delimiter=mark, strict=True, skipinitialspace=mark != "\t")
    rows: list[tuple[int, list[str]]] = []
    begins = 1 + skipped
    try:
        for fields in reader:
            if any(map(tidy, fields)):
                rows.append((begins, fields))
            begins = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise ColumnError(
            f"{path}, line {reader.line_num + skipped}: not valid CSV ({error}); expected quotes in pairs."
        ) from None
    return rows


def _refuse_either(path: Path, text: str) -> None:
    lines = [line for line in _lines(text) if line.strip()]
    if any("," in line for line in lines) and all(_EITHER.fullmatch(line.strip()) for line in lines):
        raise ColumnError(
            f"{path}, line 1: found {lines[0].strip()!r}; its comma may be a decimal comma or stand between two fields."
            " Separate the fields by tabs or semicolons."
        )


def _content(
    path: Path, rows: Sequence[tuple[int, list[str]]], mark: str, names: Names, *, plain: bool = False
) -> TableContent:
    if not rows:
        return TableContent({})
    first_line, first = rows[0]
    named = _is_header(first, names, plain)
    if not named and {len(found) for _, found in rows} == {2, 3}:
        # A deviation may be missing where a line ends.
        rows = [(line, [*found, *[""] * (3 - len(found))]) for line, found in rows]
        first = rows[0][1]
    titles = _titles(path, first) if named else _by_number(path, first_line, first)
    lines = [line for line, _ in rows[named:]]
    fields = [_of_length(path, line, found, titles, row, named) for row, (line, found) in enumerate(rows[named:], 1)]
    kept = [place for place, title in enumerate(titles) if title]
    cells = {titles[place]: [tidy(found[place]) or None for found in fields] for place in kept}
    content = TableContent(cells, lines, decimal_comma=mark != ",", named=named)
    if not named:
        _check_unnamed(path, content)
    return content


def _is_header(first: Sequence[str], names: Names, plain: bool) -> bool:
    known = KNOWN | names.folded
    if any(folded(field) in known for field in first):
        return True
    return not any(is_number(field) for field in first) and not (plain and len(first) == 1)


def _titles(path: Path, first: Sequence[str]) -> list[str]:
    titles = [tidy(field) for field in first]
    for title in titles:
        # Columns without a name cannot be asked for, and are not read: indices, and what spreadsheets leave at the end.
        if title and titles.count(title) > 1:
            raise ColumnError(f"{path}: column {title!r} is there twice; rename or remove one.")
    return titles


def _by_number(path: Path, line: int, first: Sequence[str]) -> list[str]:
    if len(first) not in UNNAMED:
        raise ColumnError(
            f"{path}, line {line}: found {len(first)} fields and no column names; expected {FORMS}, or the "
            "columns' names in the first line."
        )
    return list(UNNAMED[len(first)])


def _of_length(path: Path, line: int, fields: list[str], titles: Sequence[str], row: int, named: bool) -> list[str]:
    while len(fields) > len(titles) and not tidy(fields[-1]):
        fields = fields[:-1]
    if len(fields) != len(titles):
        expected = ", ".join(title for title in titles if title) if named else f"as in the first line, of {FORMS}"
        raise ColumnError(
            f"{path}, line {line}, row {row}: found {len(fields)} fields, expected {len(titles)} ({expected}). Put "
            "quotes around a field that holds the separator, or names with white space into a CSV."
        )
    return fields


def _check_unnamed(path: Path, content: TableContent) -> None:
    """Refuses a table without column names that is not what its number of columns says."""
    assert content.lines is not None
    first = next(iter(content.cells))
    # A list of names alone may be one of numbers; MOS alone have a point.
    alone = len(content.cells) == 1 and all(str(cell).isdecimal() for cell in content.cells[first])
    if not alone and all(cell is not None and is_number(cell) for cell in content.cells[first]):
        raise ColumnError(
            f"{path}, line {content.lines[0]}: found the number {content.cells[first][0]!r} where a video's name was "
            f"expected ({', '.join(content.cells)}). If these are names, write the columns' names in a first line."
        )
    if "fps" in content.cells:
        values = [number_of(cell, decimal_comma=True) if is_number(cell) else 0.5 for cell in content.cells["mos"]]
        rates = [cell for cell in content.cells["fps"] if not is_number(cell)]
        # A name, its MOS, their deviation and how many rated it: another form of four.
        if rates or (len(values) > 2 and all(value.is_integer() for value in values)):
            raise ColumnError(
                f"{path}, line {content.lines[0]}: found 4 fields and no column names; expected 'path, duration, fps, "
                "mos', and the last are no MOS. Write the columns' names in a first line."
            )

"""The formats a manifest comes in, each read into rows of text cells."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.user_tables import separator

_ALIASES = {"name": "id", "std": "mos_std"}
_KNOWN = ("id", "path", "dataset", "split", "mos", "mos_std", "ratings")
# Of raw video; what other tables have under these names is theirs.
RAW_COLUMNS = ("width", "height", "pix_fmt", "fps")
_READ = (*_KNOWN, *RAW_COLUMNS)


class ManifestError(InputError):
    """A manifest that cannot be used as it is; the message says where, what and how to mend it."""


@dataclass(frozen=True)
class Row:
    """One row of a manifest.

    Attributes:
        file: the manifest.
        label: "line 7" or "row 7".
        cells: text by column name; known columns only, a column that is missing from the row is absent.
    """

    file: Path
    label: str
    cells: Mapping[str, str]

    @property
    def where(self) -> str:
        """File and row, as messages name them."""
        return f"{self.file}, {self.label}"

    def text(self, column: str) -> str:
        """The cell of a column, empty if the row has none."""
        return self.cells.get(column, "")


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Reads a manifest of any format.

    Args:
        path: ending in .csv, .tsv, .jsonl, .ndjson, .parquet, .txt or .list, or without an ending (plain text).

    Returns:
        Every column found, aliases translated, and the rows.

    Raises:
        ManifestError: no such file, an unknown format, or a file that breaks its format.
    """
    readers: dict[str, Callable[[Path], tuple[list[str], list[Row]]]] = {
        ".csv": _read_delimited,
        ".tsv": _read_delimited,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": _read_parquet,
        ".txt": _read_plain,
        ".list": _read_plain,
        "": _read_plain,
    }
    if not path.is_file():
        raise ManifestError(f"{path}: found no such file; expected a manifest or a folder of videos.")
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ManifestError(
            f"{path}: found the ending {path.suffix!r}; expected {', '.join(filter(None, readers))}. Rename or "
            "convert the file."
        )
    return reader(path)


def _read_text(path: Path) -> str:
    try:
        # utf-8-sig drops the byte order mark that spreadsheet programs write.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path}, line {line}: found bytes that are not UTF-8; expected UTF-8 text. Save it as UTF-8."
        ) from None


def _column_names(path: Path, written: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in written]
    # An alias counts only where the real name is missing: datasets ship both id and name.
    names = [_ALIASES[name] if name in _ALIASES and _ALIASES[name] not in names else name for name in names]
    twice = [name for name in _KNOWN if names.count(name) > 1]
    if twice:
        raise ManifestError(f"{path}: found the column {twice[0]!r} twice; expected it once. Rename one.")
    return names


def _read_delimited(path: Path) -> tuple[list[str], list[Row]]:
    text = _read_text(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator(text), strict=True)
    names: list[str] = []
    rows = []
    try:
        for fields in lines:
            if not fields:
                continue
            if not names:
                names = _column_names(path, fields)
                continue
            rows.append(_delimited_row(path, lines.line_num, names, fields))
    except csv.Error as error:
        raise ManifestError(
            f"{path}, line {lines.line_num}: found broken CSV ({error}); expected quotes in pairs. Mend the line."
        ) from None
    return names, rows


def _delimited_row(path: Path, line: int, names: Sequence[str], fields: list[str]) -> Row:
    while len(fields) > len(names) and not fields[-1].strip():
        fields = fields[:-1]
    if len(fields) != len(names):
        raise ManifestError(
            f"{path}, line {line}: found {len(fields)} fields; expected {len(names)}, one a column. Put quotes "
            "around a field that holds the separator."
        )
    cells = {name: field for name, field in zip(names, fields, strict=True) if name in _READ}
    return Row(path, f"line {line}", cells)


def _read_jsonl(path: Path) -> tuple[list[str], list[Row]]:
    columns: dict[str, None] = {}
    rows = []
    # Not splitlines: it would also cut at the line separators that JSON strings may hold.
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        label = f"line {number}"
        try:
            # Numbers stay as they were written, so that an id of digits keeps its zeros.
            record = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
        except json.JSONDecodeError as error:
            raise ManifestError(
                f"{path}, {label}: found broken JSON ({error}); expected one object a line. Mend the line."
            ) from None
        if not isinstance(record, dict):
            raise ManifestError(f'{path}, {label}: found no JSON object; expected one as in {{"id": "0012"}}.')
        names = _column_names(path, list(record))
        columns |= dict.fromkeys(names)
        cells = zip(names, record.values(), strict=True)
        rows.append(Row(path, label, {name: _text(path, label, name, v) for name, v in cells if name in _READ}))
    return list(columns), rows


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    try:
        written = pq.read_schema(path).names
        names = _column_names(path, written)
        kept = {name: column for name, column in zip(names, written, strict=True) if name in _READ}
        table = pq.read_table(path, columns=list(kept.values()))
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: found a broken Parquet file ({error}); write it again.") from None
    id_column = kept.get("id")
    if id_column is not None:
        kind = table.schema.field(id_column).type
        value_kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(value_kind) or pa.types.is_large_string(value_kind)):
            raise ManifestError(
                f"{path}: found ids of type {kind}; expected strings, because numbers lose leading zeros. Write "
                "the column as strings."
            )
    rows = []
    for number, record in enumerate(table.to_pylist(), start=1):
        label = f"row {number}"
        cells = {name: _text(path, label, name, record[column]) for name, column in kept.items()}
        rows.append(Row(path, label, cells))
    return names, rows


def _text(path: Path, label: str, column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if column in RAW_COLUMNS:
        return ""
    raise ManifestError(f"{path}, {label}: found {column} {value!r}; expected text or a number.")


def _read_plain(path: Path) -> tuple[list[str], list[Row]]:
    rows = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) not in (2, 3):
            raise ManifestError(
                f"{path}, line {number}: found {len(fields)} fields; expected 'name mos' or 'name mos std'. Names "
                "with spaces need a CSV manifest with the columns id, mos."
            )
        rows.append(Row(path, f"line {number}", dict(zip(("id", "mos", "mos_std"), fields, strict=False))))
    return ["id", "mos", "mos_std"], rows

"""What a person sees of the files of many videos."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mdsvqa.videos.folder import plain_name

_COLUMNS = (
    *("id", "size", "fps", "seconds", "codec", "pix_fmt"),
    *("transfer", "primaries", "range", "sar", "interlaced", "rotation"),
)
_NUMBERS = ("size", "fps", "seconds", "rotation")


def print_probe(rows: Sequence[Mapping[str, Any]], found: Mapping[str, int]) -> None:
    """A line for each video that can be decoded, and how many are unusual in which way.

    Args:
        rows: as `videos.probe_table` makes them.
        found: counts by what is unusual.
    """
    decoded = [row for row in rows if row["status"] == "ok"]
    lines = [_cells(row) for row in decoded]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in _COLUMNS:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(Text(line[name]) for name in _COLUMNS))
    # As wide as it is: a table that is cut, or folded at every cell, is of no use in a file or behind a pipe.
    wide = sum(max(len(name), *(len(line[name]) for line in lines), 0) + 3 for name in _COLUMNS)
    console = Console(highlight=False)
    console = Console(highlight=False, width=max(console.width, wide))
    if decoded:
        console.print(table)
    said = ", ".join(f"{name} {count}" for name, count in found.items()) or "nothing unusual"
    console.print(f"{len(decoded)} of {len(rows)} videos can be decoded: {said}", markup=False, soft_wrap=True)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    def number(name: str) -> str:
        return "" if row[name] is None else f"{row[name]:.2f}".rstrip("0").rstrip(".")

    return {
        **{name: row[name] or "" for name in ("codec", "pix_fmt", "transfer", "primaries", "range", "sar")},
        "id": plain_name(row["id"]),
        "size": f"{row['width']}x{row['height']}",
        "fps": number("fps"),
        "seconds": number("seconds"),
        "interlaced": "yes" if row["interlaced"] else "",
        "rotation": str(row["rotation"] or ""),
    }

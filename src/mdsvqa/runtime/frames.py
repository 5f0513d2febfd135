"""Results as data frames, and as tables in a notebook."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pyarrow as pa

SHOWN = 10


class Rows:
    """Something that consists of rows; whoever inherits says which."""

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Its rows, with the same keys."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """A pandas data frame of them; needs pandas."""
        return pa.Table.from_pylist([dict(row) for row in self.rows()]).to_pandas()

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows, without columns that are empty in all of them."""
        rows = self.rows()
        names = [name for name in (rows[0] if rows else ()) if any(row[name] not in (None, "") for row in rows)]
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(row[name]))}</td>" for name in names) + "</tr>" for row in rows[:SHOWN]
        )
        more = f"<p>{len(rows)} rows, the first {SHOWN} shown</p>" if len(rows) > SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return f"{len(value)} numbers"
    return "" if value is None else str(value)

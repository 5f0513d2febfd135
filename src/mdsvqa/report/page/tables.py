"""Tables of figures as plain data: the page draws them, `export` writes them."""

from dataclasses import dataclass

from mdsvqa.evaluation.intervals import Interval

Cell = Interval | float | int | str | None


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        name: its heading.
        group: heading over several columns that stand side by side; empty for none.
        signed: its figures are differences and carry a sign.
        decimals: of its figures.
    """

    name: str
    group: str = ""
    signed: bool = False
    decimals: int = 3


@dataclass(frozen=True)
class Row:
    """A row: what it is about, and a cell for each column; `note` says more about it in small print."""

    label: str
    cells: tuple[Cell, ...]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files, without an ending; letters, digits and dashes.
        caption: what the figures are.
        first: heading of the column of labels.
        columns, rows: every row has a cell for each column.
    """

    name: str
    caption: str
    first: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Group headings from left to right, each with the number of columns below it."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans

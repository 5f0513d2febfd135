"""Tables of figures as text: cells for a reader, CSV, LaTeX for a paper."""

import csv
import io
import math
from collections.abc import Sequence

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.paper_tables import latex_escape
from mdsvqa.report.page.tables import Cell, Column, Row, Table
from mdsvqa.report.page.wording import MISSING, bounds, number


def cell_text(cell: Cell, column: Column) -> tuple[str, str]:
    """A cell for a reader: the figure, and the ends of its interval or nothing.

    >>> cell_text(Interval(0.5, 0.4, 0.6), Column("SRCC", signed=True))
    ('+0.500', '[+0.400, +0.600]')
    >>> cell_text(12, Column("videos")), cell_text(None, Column("SRCC"))
    (('12', ''), ('–', ''))
    """
    if isinstance(cell, Interval):
        value = number(cell.value, column.decimals, signed=column.signed)
        return value, bounds(cell, column.decimals, signed=column.signed)
    if cell is None:
        return MISSING, ""
    if isinstance(cell, float):
        return number(cell, column.decimals, signed=column.signed), ""
    return f"{cell:,}" if isinstance(cell, int) else cell, ""


def csv_text(table: Table) -> str:
    """The table as CSV: full precision, an interval as three columns, empty where there is no figure.

    >>> figure = Table("t", "", "rule", (Column("SRCC", "new"),), (Row("MDS", (Interval(0.5, 0.25, 0.75),)),))
    >>> print(csv_text(figure), end="")
    rule,new: SRCC,new: SRCC low,new: SRCC high
    MDS,0.5,0.25,0.75
    """
    ends = [any(isinstance(row.cells[i], Interval) for row in table.rows) for i in range(len(table.columns))]
    header = [table.first]
    for column, three in zip(table.columns, ends, strict=True):
        name = f"{column.group}: {column.name}" if column.group else column.name
        header += [name, f"{name} low", f"{name} high"] if three else [name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in table.rows:
        fields: list[str] = [row.label]
        for cell, three in zip(row.cells, ends, strict=True):
            fields += _fields(cell, three)
        writer.writerow(fields)
    return text.getvalue()


def _fields(cell: Cell, three: bool) -> list[str]:
    if isinstance(cell, Interval):
        return [_plain(value) for value in (cell.value, cell.low, cell.high)]
    return [_plain(cell), "", ""] if three else [_plain(cell)]


def _plain(value: float | int | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else str(value)


def latex_text(table: Table) -> str:
    """The table as LaTeX, for the packages booktabs and nothing else; intervals in small print."""
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escape(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        *_latex_groups(table.groups),
        " & ".join(latex_escape(name) for name in (table.first, *(column.name for column in table.columns))) + r" \\",
        r"\midrule",
        *(_latex_row(row, table.columns) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_groups(groups: Sequence[tuple[str, int]]) -> list[str]:
    if not any(name for name, _ in groups):
        return []
    heads, rules, at = [], [], 2
    for name, width in groups:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_escape(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [" & " + " & ".join(heads) + r" \\", "".join(rules)]


def _latex_row(row: Row, columns: Sequence[Column]) -> str:
    cells = []
    for cell, column in zip(row.cells, columns, strict=True):
        value, ends = cell_text(cell, column)
        small = rf" {{\scriptsize {latex_escape(ends)}}}" if ends else ""
        cells.append(latex_escape(value) + small)
    return " & ".join([latex_escape(row.label), *cells]) + r" \\"

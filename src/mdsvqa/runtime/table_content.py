"""A table as it stands in a file, before anyone asks what its columns mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdsvqa.runtime.errors import InputError


class ColumnError(InputError):
    """A table that cannot be used; the message names the file, the row and what to change."""


@dataclass(frozen=True)
class TableContent:
    """What a file holds.

    Attributes:
        cells: values by column name, all columns of one length; None for an empty cell.
        lines: of the file in which each row begins; None where a file has no lines.
        decimal_comma: 3,5 is a number here.
        named: the columns' names stand in the file.
    """

    cells: Mapping[str, Sequence[Any]]
    lines: Sequence[int] | None = None
    decimal_comma: bool = False
    named: bool = True

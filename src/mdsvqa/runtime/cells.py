"""What single cells of a table that someone hands in say: a column's name, an id, a number, or nothing."""

import math
import re
from typing import Any

# Of text columns other than ids.
MISSING = ("", "nan", "NaN", "NA", "null", "None", None)
# In place of a number, as R, pandas, Excel, MATLAB, SQL and people write it; capitals do not matter. Excel's other
# errors (#DIV/0!, #VALUE!) are mistakes in the sheet, and no number.
NO_NUMBER = frozenset(
    ("", "nan", "-nan", "na", "n/a", "#na", "#n/a", "#n/a n/a", "<na>", "null", "nil", "none", "-", "--", "–", "—")
)
# Beside what Python takes for white space: a byte order mark and what has no width, as copying from pages leaves them.
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
_WHITE = "".join(character for character in map(chr, range(0x3001)) if character.isspace()) + _UNSEEN
# Stricter than float(): that takes 1_000, digits of any script and infinities.
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# Up to which every whole number is a float, less one digit: what a spreadsheet keeps.
_MOST_EXACT = 10**15


def tidy(text: str) -> str:
    """Text without white space around it, of any kind.

    >>> tidy("\\ufeff p3\\u00a0 ")
    'p3'
    """
    return text.strip(_WHITE)


def folded(name: str) -> str:
    """A column's name without what people write in one way or another.

    >>> folded("MOS full"), folded("mos_full"), folded("MOSFull")
    ('mosfull', 'mosfull', 'mosfull')
    """
    return re.sub(r"[\s_\-]+", "", tidy(name).casefold())


def has_decimal_comma(cell: Any) -> bool:
    """Whether a cell is a number with a comma for a point, such as 3,5."""
    return isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(tidy(cell)) is not None


def is_empty(cell: Any) -> bool:
    """Whether nothing stands in a cell."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell)) or (isinstance(cell, str) and not tidy(cell))


def says_no_number(cell: Any) -> bool:
    """Whether a cell is empty or says that there is no number, such as NA.

    >>> [says_no_number(cell) for cell in (None, " ", "n/a", "-", 0, "nought")]
    [True, True, True, True, False, False]
    """
    return is_empty(cell) or (isinstance(cell, str) and tidy(cell).casefold() in NO_NUMBER)


def number_of(cell: Any, *, decimal_comma: bool = False) -> float:
    """The number in a cell, NaN where there is none.

    Args:
        cell: text, a number or None.
        decimal_comma: 3,5 is a number.

    Raises:
        ValueError: it is something else, or not finite.

    >>> number_of(" 3.5 "), number_of("n/a"), number_of("3,5", decimal_comma=True)
    (3.5, nan, 3.5)
    """
    if says_no_number(cell):
        return math.nan
    if isinstance(cell, bool):
        raise ValueError(f"{cell!r} is a truth value and no number")
    if isinstance(cell, str):
        text = tidy(cell)
        if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{cell!r} is no number")
        cell = text
    try:
        value = float(cell)
    except (TypeError, OverflowError):
        raise ValueError(f"{cell!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite")
    return value


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    try:
        return not math.isnan(number_of(cell, decimal_comma=True))
    except ValueError:
        return False


def text_of(cell: Any) -> str:
    """A cell as text without white space around it; empty where nothing stands there.

    Raises:
        ValueError: it is neither text nor a number that names one thing.

    >>> text_of(" 0012 "), text_of(8171831850), text_of(12.0), text_of(None), text_of("NA")
    ('0012', '8171831850', '12', '', 'NA')
    """
    if is_empty(cell):
        return ""
    if isinstance(cell, str):
        return tidy(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    # Spreadsheets and MATLAB know no whole numbers; beyond 15 digits they do not know which one it was.
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _MOST_EXACT:
        return str(int(cell))
    raise ValueError(f"{cell!r} is no text")

"""Do the ids of one table speak of the videos of another? Nothing that matches nothing goes by in silence."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import PurePath

from mdsvqa.runtime.places import Place
from mdsvqa.runtime.table_content import ColumnError

# Names that a mistaken one is compared with, at most: it takes a second then.
MOST_COMPARED = 50_000


def match_ids(table: Place | str, ids: Sequence[str], known: Collection[str], where: str) -> str:
    """Compares the ids of a table with those that they may be.

    Args:
        table: its path, or the option that named it.
        ids: that stand in it.
        known: that they may be.
        where: these are, such as "the pool".

    Returns:
        A sentence where some are none of the known ones, with their number and an example; empty where all are.

    Raises:
        ColumnError: none is.

    >>> match_ids("labels.csv", ["a", "b", "c"], ["a", "c", "d"], "the pool")
    "labels.csv: 1 of its 3 ids is not in the pool, such as 'b'."
    """
    there = set(known)
    strange = [video for video in ids if video not in there]
    if not strange:
        return ""
    if len(strange) < len(ids):
        verb = "is" if len(strange) == 1 else "are"
        example = f"such as {strange[0]!r}{nearest(strange[0], there)}"
        return f"{table}: {len(strange)} of its {len(ids)} ids {verb} not in {where}, {example}."
    expected = f"expected such as {next(iter(known))!r}" if known else f"and {where} has none"
    of = f"none of its {len(ids)} ids is" if len(ids) > 1 else "its one id is not"
    raise ColumnError(
        f"{table}: {of} in {where}; found such as {strange[0]!r}{nearest(strange[0], there)}, {expected}."
        f"{_hint(strange, there)} Ids must be spelled alike in both."
    )


def nearest(name: str, known: Collection[str]) -> str:
    """The known name that is most like another one, as a message adds it; empty where none is like it.

    >>> nearest("clip-7", ["clip-07", "b"]), nearest("x", ["clip-07"])
    (" (did you mean 'clip-07'?)", '')
    """
    same = [each for each in known if each.casefold() == name.casefold()]
    near = same or get_close_matches(name, sorted(known)[:MOST_COMPARED], 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _hint(strange: Sequence[str], known: Collection[str]) -> str:
    """What would make the ids match: no folder, no ending, no white space, or another case."""
    ways = {
        "the ending of the file name": lambda video: (
            str(PurePath(video).with_suffix("")) if PurePath(video).name else ""
        ),
        "the folder": lambda video: PurePath(video).name,
        "the folder and the ending of the file name": lambda video: PurePath(video).stem,
        "capital letters": str.casefold,
    }
    for what, simpler in ways.items():
        if {simpler(video) for video in strange} & {simpler(video) for video in known}:
            return f" They differ in {what}."
    return ""

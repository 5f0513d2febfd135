"""What columns are called in the label files of this field, and how a column is found whatever it is called there."""

from collections.abc import Sequence
from dataclasses import dataclass

from mdsvqa.runtime.cells import folded

# Names that are as good as the first, the better one first; as `folded` leaves them.
ALIASES = {
    "id": (
        *("id", "name", "filename", "file", "vid", "video", "videoname", "videoid", "flickrid"),
        *("videonames", "videolist", "filenames", "names"),
    ),
    "path": ("path", "videopath", "filepath"),
    "dataset": ("dataset",),
    "split": ("split",),
    "mos": ("mos", "mosfull", "realignmentmos", "meanopinionscore"),
    "mos_std": ("mosstd", "std", "sd", "stddev", "mossd", "stdfull", "mosstdfull"),
    "ratings": ("ratings",),
    "seconds": ("seconds", "duration"),
    "fps": ("fps",),
}
# In files of labels these too are MOS; elsewhere they are what a model says.
SCORES_AS_MOS = ("score", "scores")
# By which a first line is told from a row of values.
KNOWN = frozenset(name for names in ALIASES.values() for name in names) | frozenset(SCORES_AS_MOS)


@dataclass(frozen=True)
class Names:
    """Columns that are called by names of their own.

    Attributes:
        id, mos: as they stand in the file; None where the usual names are looked for.
    """

    id: str | None = None
    mos: str | None = None

    @property
    def folded(self) -> frozenset[str]:
        """The names that were given."""
        return frozenset(folded(name) for name in (self.id, self.mos) if name is not None)


def find_column(name: str, columns: Sequence[str], others: Sequence[str] = ()) -> str | None:
    """The column that is meant by a name: as it is written, else whatever the capitals, else by another name of it.

    Args:
        name: to look for.
        columns: that there are.
        others: names that are as good, after those of `ALIASES`.

    Returns:
        One of the columns; None where there is none.

    Raises:
        ValueError: two columns differ from the name by no more than how they are written.

    >>> find_column("mos", ["Video Name", "MOS full"]), find_column("id", ["Video Name", "MOS full"])
    ('MOS full', 'Video Name')
    """
    if name in columns:
        return name
    written: dict[str, list[str]] = {}
    for column in columns:
        written.setdefault(folded(column), []).append(column)
    for wanted in dict.fromkeys((folded(name), *ALIASES.get(name, ()), *others)):
        found = written.get(wanted, [])
        if len(found) > 1:
            raise ValueError(f"columns {found[0]!r} and {found[1]!r} could both be {name!r}")
        if found:
            return found[0]
    return None

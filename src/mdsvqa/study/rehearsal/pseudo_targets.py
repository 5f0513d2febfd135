"""Data sets of the labeled source that play the unlabeled target in a rehearsal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.runtime.arrays import Ints

# Videos that a pseudo-target needs, two thirds of them for its pool, and that must be left to train f.
FEWEST = 24
# Parts that are the source's data sets; any other name is that of a column.
DATASETS = "datasets"


@dataclass(frozen=True)
class PseudoTarget:
    """A part of the source.

    Attributes:
        name: of the part.
        members: indices of its videos.
        others: indices of those that f learns from.
    """

    name: str
    members: Ints
    others: Ints


def pseudo_targets(values: Sequence[str | None], column: str = "") -> list[PseudoTarget]:
    """The parts of the source that are large enough and leave enough; none where these are fewer than two.

    Args:
        values: what tells parts apart, one a video, such as its data set; None where nothing is said.
        column: goes before each name.

    >>> [each.name for each in pseudo_targets(["a"] * 30 + ["b"] * 24 + ["c"])]
    ['a', 'b']
    """
    found = []
    for name, members in _members(values).items():
        others = np.setdiff1d(np.arange(len(values)), members)
        if min(len(members), len(others)) >= FEWEST:
            found.append(PseudoTarget(f"{column} {name}".strip(), members, others))
    return found if len(found) > 1 else []


def nothing_to_rehearse(values: Sequence[str | None], column: str = "") -> str:
    """Why there are no pseudo-targets, in a sentence without its end."""
    found = ", ".join(f"{name} ({len(members)} videos)" for name, members in _members(values).items()) or "none"
    what = f"values of {column!r}" if column else "data sets"
    return (
        f"a rehearsal needs two or more {what} of at least {FEWEST} videos in the labeled source, each to play the "
        f"target of the others, and found {found}; parts of a single study do not foretell what rules are worth"
    )


def _members(values: Sequence[str | None]) -> Mapping[str, Ints]:
    names = sorted({value for value in values if value is not None})
    return {name: np.array([i for i, value in enumerate(values) if value == name], np.int64) for name in names}

"""What every selection rule gets and gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings


@dataclass(frozen=True)
class Limits:
    """What a choice must keep to beside its number of videos; everything may be left out.

    Attributes:
        group: code of each video's group, such as its uploader, shape (n,); negative for a video of none.
        most: videos of one group, earlier rounds included; None for any number.
        least: videos of each group, as far as it has them, earlier rounds included.
        apart: no two videos nearer than this Chamfer distance, those of earlier rounds included.
        seconds: that a rater needs for each video, shape (n,).
        most_seconds: over all videos that are chosen now; goes with `seconds`.
    """

    group: Ints | None = None
    most: int | None = None
    least: int = 0
    apart: float = 0.0
    seconds: Floats | None = None
    most_seconds: float | None = None

    def take(self, videos: Ints) -> "Limits":
        """The limits of some of the videos, in this order."""
        group = None if self.group is None else self.group[videos]
        return replace(self, group=group, seconds=None if self.seconds is None else self.seconds[videos])

    def record(self) -> dict[str, Any]:
        """The limits, JSON-able."""
        group = None if self.group is None else self.group.tolist()
        return {**vars(self), "group": group, "seconds": None if self.seconds is None else self.seconds.tolist()}


@dataclass(frozen=True)
class Pool:
    """The unlabeled videos to choose from, in the order in which ties are broken (the first wins).

    Attributes:
        ids: unique, n of them.
        difficulty: predicted, shape (n,), finite; higher is harder. Any scale.
        content: frame features of the same n videos.
        chosen: indices that earlier rounds chose; no rule chooses them again.
        limits: that a choice must keep to.
    """

    ids: Sequence[str]
    difficulty: Floats
    content: Content
    chosen: Sequence[int] = field(default_factory=tuple)
    limits: Limits = Limits()

    def __len__(self) -> int:
        return len(self.ids)

    def candidates(self) -> Ints:
        """The indices that may still be chosen, ascending."""
        return np.setdiff1d(np.arange(len(self)), np.asarray(self.chosen, np.int64))


@dataclass(frozen=True)
class Pick:
    """One chosen video.

    Attributes:
        index: into the pool.
        difficulty: of the video, as the rule used it.
        diversity: its mean distance to what was chosen before it, as the rule used it; None where the rule has none.
        utility: what the rule maximised at this step; None where the rule has none.
        rule: by which it was chosen, where that is not the one that was asked for: "audit".
    """

    index: int
    difficulty: float
    diversity: float | None = None
    utility: float | None = None
    rule: str = ""


class SelectionRule(Protocol):
    """The contract of a rule: a pure function of the pool, the budget, the settings and a seed."""

    def __call__(self, pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
        """Chooses different videos, the first chosen first, until an `Eligible` of pool and budget is empty."""
        ...


@dataclass(frozen=True)
class Rule:
    """A selection rule and what it needs; `selection.catalogue` has them all.

    Attributes:
        name: in a study.yaml and on the command line.
        choose: the function.
        label: as tables and charts call it.
        takes, use: which videos it takes, and when to use it, as docs/rules.md says it.
        difficulty: that it goes by: "predicted" (by g), "committee" (the spread of a committee of refitted models), or
            None.
        content: whether it compares videos, and so needs content features.
        settings: of `SelectionSettings` that it alone reads; a rehearsal tries them.
        steps: of a rule that goes by coverage, see `selection.parts`; a certificate can be made of what it chooses.
        every_pair: whether it compares every video with every chosen one.
    """

    name: str
    choose: SelectionRule
    label: str
    takes: str
    use: str
    difficulty: Literal["predicted", "committee"] | None = None
    content: bool = True
    settings: tuple[str, ...] = ()
    steps: Callable[..., list[Pick]] | None = None
    every_pair: bool = False

    @property
    def needs(self) -> str:
        """In words, for readers."""
        if self.difficulty == "committee":
            return "a model that can be refitted"
        found = ["difficulty"] * (self.difficulty is not None) + ["content"] * self.content
        return ", ".join(found) or "nothing"

"""What every selection rule gets and gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """The unlabeled videos to choose from, in the order in which ties are broken (the first wins).

    Attributes:
        ids: unique, n of them.
        difficulty: predicted, shape (n,), finite; higher is harder. Any scale.
        content: frame features of the same n videos.
        chosen: indices that earlier rounds chose; no rule chooses them again.
    """

    ids: Sequence[str]
    difficulty: Floats
    content: Content
    chosen: Sequence[int] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.ids)

    def candidates(self) -> NDArray[np.int64]:
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
    """

    index: int
    difficulty: float
    diversity: float | None = None
    utility: float | None = None


class SelectionRule(Protocol):
    """The contract of a rule: a pure function of the pool, the budget, the settings and a seed."""

    def __call__(self, pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
        """Chooses min(budget, candidates) different videos, the first chosen first."""
        ...

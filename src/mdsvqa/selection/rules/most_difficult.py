"""Difficulty alone: the most difficult videos, however alike they are."""

import numpy as np

from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.eligible import Eligible, in_order
from mdsvqa.selection.settings import SelectionSettings


def most_difficult(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Takes the candidates of highest difficulty; ties go to the first in the pool's order. `seed` is not used."""
    order = np.argsort(-pool.difficulty, kind="stable")
    return [
        Pick(index, float(pool.difficulty[index]), utility=float(pool.difficulty[index]))
        for index in in_order(Eligible(pool, budget), order)
    ]


RULES = (
    Rule(
        "difficulty",
        most_difficult,
        label="difficulty only",
        takes="the most difficult",
        use="to see what difficulty alone does",
        difficulty="predicted",
        content=False,
    ),
)

"""Random selection: what every rule has to beat."""

import numpy as np

from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.eligible import Eligible, in_order
from mdsvqa.selection.settings import SelectionSettings


def random_selection(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Draws candidates uniformly without replacement."""
    order = np.random.default_rng(seed).permutation(pool.candidates())
    return [Pick(index, float(pool.difficulty[index])) for index in in_order(Eligible(pool, budget), order)]


RULES = (
    Rule(
        "random",
        random_selection,
        label="random",
        takes="any",
        use="as the yardstick for all others",
        content=False,
    ),
)

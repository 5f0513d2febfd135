"""The rules by name, and the one function that applies one of them to a pool."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mdsvqa.config import SelectionSettings
from mdsvqa.content.chamfer import Content
from mdsvqa.errors import InputError
from mdsvqa.selection.base import Floats, Pick, Pool, SelectionRule
from mdsvqa.selection.core_set import core_set
from mdsvqa.selection.greedy import greedy
from mdsvqa.selection.hardest import hardest
from mdsvqa.selection.k_means import k_means
from mdsvqa.selection.uniform import uniform

RULES: dict[str, SelectionRule] = {
    "mds": greedy,
    "random": uniform,
    "difficulty": hardest,
    "core-set": core_set,
    "k-means": k_means,
}
# Rules that need no content features, so that a table of difficulties is enough.
WITHOUT_CONTENT = ("random", "difficulty")


def select(
    ids: Sequence[str],
    difficulty: Floats,
    content: Content | None,
    budget: int,
    settings: SelectionSettings,
    *,
    chosen: Sequence[str] = (),
    seed: int = 0,
) -> list[Pick]:
    """Chooses videos by `settings.rule`.

    Args:
        ids: of the pool's videos, unique.
        difficulty: predicted for each, shape (n,), finite.
        content: frame features of each; None is allowed for the rules `random` and `difficulty`.
        budget: how many videos to choose.
        settings: rule, lambda, scale and how ties are broken: by the smallest id, or at random.
        chosen: ids that earlier rounds chose.
        seed: of the rule, and of random ties.

    Returns:
        One `Pick` a chosen video, the first chosen first; `Pick.index` counts in `ids`.

    Raises:
        InputError: the rule needs content features and there are none, or a difficulty is not finite.
    """
    if not np.isfinite(difficulty).all():
        worst = ids[int(np.flatnonzero(~np.isfinite(difficulty))[0])]
        raise InputError(f"video {worst!r} has no finite difficulty; leave it out of the pool or score it first.")
    if content is None:
        if settings.rule not in WITHOUT_CONTENT:
            raise InputError(
                f"rule {settings.rule!r} needs content features: run `mdsvqa content` first, or choose one of "
                f"{', '.join(WITHOUT_CONTENT)}."
            )
        content = Content.stack([np.zeros((1, 1))] * len(ids))
    order = np.array(sorted(range(len(ids)), key=lambda i: ids[i]), np.int64)
    if settings.ties == "random":
        # Of the sorted videos: the order in which a manifest lists them decides nothing.
        order = np.random.default_rng([seed, 1]).permutation(order)
    position = {ids[int(index)]: place for place, index in enumerate(order)}
    pool = Pool(
        [ids[int(index)] for index in order],
        difficulty[order],
        content.take(order),
        tuple(position[video] for video in chosen if video in position),
    )
    picks = RULES[settings.rule](pool, budget, settings, seed)
    return [Pick(int(order[pick.index]), pick.difficulty, pick.diversity, pick.utility) for pick in picks]


def selection_rows(ids: Sequence[str], picks: Sequence[Pick], rule: str) -> list[dict[str, Any]]:
    """Picks as rows of a selection table, ranked from 1."""
    return [
        {
            "rank": rank,
            "id": ids[pick.index],
            "difficulty": pick.difficulty,
            "diversity": pick.diversity,
            "utility": pick.utility,
            "rule": rule,
        }
        for rank, pick in enumerate(picks, 1)
    ]

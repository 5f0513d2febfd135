"""The one function that applies a rule to a pool."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.audit import audit_sample
from mdsvqa.selection.base import Limits, Pick, Pool, Rule
from mdsvqa.selection.catalogue import RULES, rule_named
from mdsvqa.selection.certificate import Certificate, certify
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.parts import cover
from mdsvqa.selection.settings import SelectionSettings

FREE = Limits()


# Distances between videos and chosen ones that a rule may compute.
MOST_DISTANCES = 1 << 30


class Choice(list[Pick]):
    """What a rule chose, the first chosen first.

    Args:
        picks: of the choice.
        certify: measures it; None where the rule does not go by coverage, or nothing was chosen.
    """

    def __init__(self, picks: Iterable[Pick], certify: Callable[[], Certificate] | None = None) -> None:
        super().__init__(picks)
        self.certify = certify


def select(
    ids: Sequence[str],
    difficulty: Floats,
    content: Content | None,
    budget: int,
    settings: SelectionSettings,
    *,
    chosen: Sequence[str] = (),
    limits: Limits = FREE,
    audit: float = 0.0,
    seed: int = 0,
) -> Choice:
    """Chooses videos by `settings.rule`.

    Args:
        ids: of the pool's videos, unique.
        difficulty: predicted for each, shape (n,), finite.
        content: frame features of each; None is allowed for the rules that do not look at them.
        budget: how many videos to choose at most.
        settings: rule, lambda, scale, and how ties are broken: by the smallest id, or at random.
        chosen: ids that earlier rounds chose.
        limits: that the choice must keep to, in the order of `ids`.
        audit: videos to draw at random first, beside the budget; seconds, where the limits are in time. Uniform as long
            as nothing is chosen yet.
        seed: of the rule, of random ties, and of the audit.

    Returns:
        One `Pick` a chosen video, the audit's before all; `Pick.index` counts in `ids`.

    Raises:
        InputError: the rule or a limit needs content features and there are none, a difficulty is not finite, or the
            budget cannot pay the fewest videos of each group, or the pool is too large for the rule.
    """
    rule = rule_named(settings.rule)
    if not np.isfinite(difficulty).all():
        worst = ids[int(np.flatnonzero(~np.isfinite(difficulty))[0])]
        raise InputError(f"video {worst!r} has no finite difficulty; leave it out of the pool or score it first.")
    if content is None:
        if rule.content or limits.apart:
            what = f"rule {rule.name!r}" if rule.content else "a least distance (apart)"
            without = ", ".join(each.name for each in RULES.values() if not each.content)
            raise InputError(
                f"{what} needs content features: run `mdsvqa content` first (--content FOLDER); without them go the "
                f"rules {without}."
            )
        content = Content.stack([np.zeros((1, 1))] * len(ids))
    order = np.asarray(pc.array_sort_indices(pa.array(ids, pa.large_string())), np.int64)
    if settings.ties == "random":
        # Of the sorted videos: the order in which a manifest lists them decides nothing.
        order = np.random.default_rng([seed, 1]).permutation(order)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    known = {video: index for index, video in enumerate(ids)} if chosen else {}
    pool = Pool(
        [ids[index] for index in order.tolist()],
        difficulty[order],
        content.take(order),
        tuple(int(place[known[video]]) for video in chosen if video in known),
        limits.take(order),
    )
    picks: list[Pick] = []
    if audit > 0:
        by_id = np.array(sorted(pool.candidates().tolist(), key=lambda place: pool.ids[place]), np.int64)
        timed = pool.limits.most_seconds is not None
        picks = audit_sample(pool.difficulty, by_id, audit, pool.limits.seconds if timed else None, seed)
        pool = replace(pool, chosen=(*pool.chosen, *(pick.index for pick in picks)))
    certificate = None
    if rule.steps is None:
        _check_size(rule, len(ids), budget)
        own = rule.choose(pool, budget, settings, seed)
    else:
        own, coverage = cover(rule.steps, pool, budget, settings, seed)
        certificate = partial(certify, pool, own, coverage, settings.parts, seed) if own else None
    return Choice((replace(pick, index=int(order[pick.index])) for pick in [*picks, *own]), certificate)


def _check_size(rule: Rule, videos: int, budget: int) -> None:
    if rule.every_pair and videos * min(budget, videos) > MOST_DISTANCES:
        go = ", ".join(each.name for each in RULES.values() if each.content and not each.every_pair)
        raise InputError(
            f"rule {rule.name!r}: compares each of {videos} videos with each of {budget} chosen ones, and takes hours "
            f"above {MOST_DISTANCES:,} distances. From so large a pool go {go}."
        )


def selection_rows(ids: Sequence[str], picks: Sequence[Pick], rule: str) -> list[dict[str, Any]]:
    """Picks as rows of a selection table, ranked from 1."""
    return [
        {
            "rank": rank,
            "id": ids[pick.index],
            "difficulty": pick.difficulty,
            "diversity": pick.diversity,
            "utility": pick.utility,
            "rule": pick.rule or rule,
        }
        for rank, pick in enumerate(picks, 1)
    ]

"""Why a video was chosen, or was not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.runtime.arrays import Floats
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.mds import evenly, scaled
from mdsvqa.selection.settings import SelectionSettings

# Chosen videos that are shown as its nearest, and steps at which its rank is shown.
NEIGHBOURS, STEPS = 3, 8
# Videos that it is ranked among: all of them cost a distance to every chosen one.
RIVALS = 2000


@dataclass(frozen=True)
class Step:
    """How a video stood when one more was to be chosen.

    Attributes:
        step: which video was to be chosen, from 1.
        utility: of the video.
        best: utility of the one that was chosen.
        rank: of the video among the `rivals` that were still open, from 1.
        rivals: how many these were.
    """

    step: int
    utility: float
    best: float
    rank: int
    rivals: int


@dataclass(frozen=True)
class Explanation:
    """Why a video was chosen, or was not.

    Attributes:
        id: of the video.
        chosen: its place in the choice, from 1; None where it was not chosen.
        difficulty: predicted.
        difficulty_rank: from 1, the most difficult; of `of` videos.
        of: how many there were to choose from.
        neighbours: the nearest chosen videos and their Chamfer distances, the nearest first.
        steps: of the rule mds, how it stood over the steps; empty for other rules.
        reason: in a sentence.
    """

    id: str
    chosen: int | None
    difficulty: float
    difficulty_rank: int
    of: int
    neighbours: Sequence[tuple[str, float]]
    steps: Sequence[Step]
    reason: str


def explain(
    ids: Sequence[str],
    difficulty: Floats,
    content: Content | None,
    settings: SelectionSettings,
    limits: Limits,
    labeled: Sequence[int],
    chosen: Sequence[tuple[int, str]],
    video: int,
) -> Explanation:
    """Explains the place of one video in a choice.

    Args:
        ids: of n videos.
        difficulty: of each, shape (n,).
        content: of the same, None where the rule looked at none.
        settings: of the choice.
        limits: of the choice, in the order of `ids`.
        labeled: indices that were labeled before.
        chosen: indices in the order of their choice, each with its rule.
        video: index of the one to explain.
    """
    order = [index for index, _ in chosen]
    place = order.index(video) + 1 if video in order else None
    before = [*labeled, *(order if place is None else order[: place - 1])]
    neighbours: list[tuple[str, float]] = []
    if content is not None and before:
        distances = content.take(np.array(before)).distances_from(content.of(video))
        nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        neighbours = [(ids[before[int(near)]], float(distances[near])) for near in nearest]
    steps: list[Step] = []
    if settings.rule == "mds" and content is not None and (place is None or chosen[place - 1][1] != AUDIT):
        pool = Pool(ids, difficulty, content)
        steps = _steps(pool, settings, list(labeled), chosen, video, place)
    return Explanation(
        ids[video],
        place,
        float(difficulty[video]),
        int((difficulty > difficulty[video]).sum()) + 1,
        len(ids),
        neighbours,
        steps,
        _reason(settings, limits, labeled, chosen, video, place, neighbours, steps),
    )


def _steps(
    pool: Pool,
    settings: SelectionSettings,
    labeled: list[int],
    chosen: Sequence[tuple[int, str]],
    video: int,
    place: int | None,
) -> list[Step]:
    """Utilities at some of the steps, by distances to all that was chosen before them."""
    difficulty, unit = scaled(pool, settings)
    audit = sum(rule == AUDIT for _, rule in chosen)
    order = [index for index, _ in chosen]
    last = len(order) if place is None else place
    shown = {audit + int(step) for step in evenly(last - audit, STEPS)} if last > audit else set()
    rivals = np.union1d(evenly(len(pool), RIVALS), [video])
    open_ = ~np.isin(rivals, labeled)
    some = pool.content.take(rivals)
    own = int(np.flatnonzero(rivals == video)[0])
    total = np.zeros(len(rivals))
    steps = []
    for index in labeled:
        total += some.distances_from(pool.content.of(index)) / unit
    for step, index in enumerate(order[:last]):
        if step in shown:
            earlier = np.array([*labeled, *order[:step]], np.int64)
            share = settings.lambda_ / max(len(earlier), 1)
            utility = difficulty[rivals] + share * total
            best_total = pool.content.take(earlier).distances_from(pool.content.of(index)).sum() / unit
            best = float(difficulty[index] + share * best_total)
            ahead = int((utility[open_] > utility[own]).sum())
            steps.append(Step(step + 1, float(utility[own]), best, ahead + 1, int(open_.sum())))
        total += some.distances_from(pool.content.of(index)) / unit
        open_ &= rivals != index
    return steps


def _reason(
    settings: SelectionSettings,
    limits: Limits,
    labeled: Sequence[int],
    chosen: Sequence[tuple[int, str]],
    video: int,
    place: int | None,
    neighbours: Sequence[tuple[str, float]],
    steps: Sequence[Step],
) -> str:
    if video in labeled:
        return "It is labeled already."
    if place is not None:
        rule = chosen[place - 1][1]
        drawn = "It was drawn at random, for the audit."
        return drawn if rule == AUDIT else f"It was chosen by the rule {rule} at place {place} of {len(chosen)}."
    if limits.group is not None and limits.most is not None and limits.group[video] >= 0:
        before = [*labeled, *(index for index, _ in chosen)]
        if int((limits.group[before] == limits.group[video]).sum()) >= limits.most:
            return f"Its group has its {limits.most} videos already."
    if limits.apart > 0 and neighbours and neighbours[0][1] < limits.apart:
        return f"It is nearer than {limits.apart:g} to {neighbours[0][0]}, which was chosen."
    if steps:
        closest = min(steps, key=lambda step: step.best - step.utility)
        return (
            f"At the steps looked at, another was always ahead; it came nearest at step {closest.step}: utility "
            f"{closest.utility:.3f} against {closest.best:.3f}."
        )
    return f"The rule {settings.rule} preferred others."

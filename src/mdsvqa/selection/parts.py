"""A choice by coverage, at once or by parts that each propose as many videos as are wanted."""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mdsvqa.runtime.arrays import Flags
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.ray_tasks import map_by
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.coverage import Coverage, GraphCoverage, coverage_of
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.neighbors import Graph
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.settings import SelectionSettings

# A rule that goes by coverage: takes what is open until nothing is, and counts it in the coverage.
Steps = Callable[[Pool, Eligible, Coverage], list[Pick]]


def cover(steps: Steps, pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> tuple[list[Pick], Coverage]:
    """A choice by a rule, and the coverage that counts it.

    Raises:
        InputError: FAISS is needed and not installed, or the budget cannot pay the fewest videos of each group.
    """
    eligible = Eligible(pool, budget)
    coverage = coverage_of(pool, eligible.about_how_many(), settings)
    if settings.parts > 1 and isinstance(coverage, GraphCoverage):
        return by_parts(steps, pool, budget, settings, coverage, seed)
    return steps(pool, eligible, coverage), coverage


@dataclass(frozen=True)
class Part:
    """One part's work.

    Attributes:
        pool: all of it without its content and ids, under the limits that hold in a part.
        members: that may be proposed, shape (n,).
        graph: of what they cover, with distances to the nearest video of earlier rounds as radius.
    """

    pool: Pool
    members: Flags
    graph: Graph


def by_parts(
    steps: Steps, pool: Pool, budget: int, settings: SelectionSettings, coverage: GraphCoverage, seed: int
) -> tuple[list[Pick], Coverage]:
    """RandGreeDi: random parts of the pool each propose a whole choice, and the better of two is taken: the best of
    these, and what the rule chooses among all of them. Gains are over the whole pool.

    Limits by time and group hold in each part; `apart` and `least` in the choice among all proposals, which groups that
    are short of proposals join as a whole. Where these two are set, that choice is the one that is taken.

    Args:
        steps: the rule.
        pool, budget, settings: of the choice; `settings.parts` says how many.
        coverage: of the pool, before the choice.
        seed: of the parts.

    Source: Barbosa, Ene, Nguyen and Ward (2015), algorithm 1.
    """
    whose = np.random.default_rng([seed, 2]).integers(0, settings.parts, len(pool))
    # Read as there is room for them: the graph of a part is a copy.
    jobs = (_part(pool, whose == part, coverage) for part in range(settings.parts))
    work = partial(propose, steps, budget)
    engine = EngineSettings(name=settings.engine, address=settings.address or "auto")
    found = map_by(engine, work, jobs, min(settings.parts, cores(0)), crashed=_crashed)
    proposals, values = zip(*found, strict=True)
    among = _among(pool, {pick.index for picks in proposals for pick in picks})
    picks = steps(pool, Eligible(pool, budget).only(among), coverage)
    best = int(np.argmax(values))
    if pool.limits.apart or pool.limits.least or coverage.value() >= values[best]:
        return picks, coverage
    again = GraphCoverage(coverage.graph, pool.chosen)
    for pick in proposals[best]:
        again.add(pick.index)
    return proposals[best], again


def propose(steps: Steps, budget: int, part: Part) -> tuple[list[Pick], float]:
    """A part's choice and its value."""
    coverage = GraphCoverage(part.graph, ())
    picks = steps(part.pool, Eligible(part.pool, budget).only(part.members), coverage)
    return picks, coverage.value()


def _part(pool: Pool, members: Flags, coverage: GraphCoverage) -> Part:
    n = len(pool)
    none = Content(np.zeros((1, 1), np.float16), np.zeros(n, np.int64), np.ones(n, np.int64))
    free = members & ~np.isin(np.arange(n), pool.chosen)
    graph = replace(coverage.graph.among(np.flatnonzero(free)), radius=coverage.nearest.copy())
    limits = replace(pool.limits, apart=0.0, least=0)
    return Part(Pool([""] * n, pool.difficulty, none, pool.chosen, limits), free, graph)


def _among(pool: Pool, proposed: Set[int]) -> Flags:
    among = np.zeros(len(pool), bool)
    among[list(proposed)] = True
    group, least = pool.limits.group, pool.limits.least
    if group is not None and least:
        known = group >= 0
        counts = np.bincount(group[known & among], minlength=int(group.max(initial=-1)) + 1)
        among |= known & (counts[np.maximum(group, 0)] < least)
    return among


def _crashed(part: Part) -> tuple[list[Pick], float]:
    raise RuntimeError("a worker that chose from a part of the pool was killed twice or more; it may want more memory")

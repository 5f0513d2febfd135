"""How good a choice by coverage is: beside random selection, and beside the best that any choice could be."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.results import companion, json_text
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.coverage import Coverage, GraphCoverage
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.neighbors import half_means, nearest, pair_distances

FILE = "selection.json"
# Pairs of a video and a chosen one that are compared by mean frames; beyond that a sample of the videos is measured.
MOST_PAIRS = 1 << 30
# Chosen videos, the nearest by mean frame, among which the nearest by Chamfer distance is looked for.
CANDIDATES = 8


@dataclass(frozen=True)
class Certificate:
    """What is known of a choice.

    Attributes:
        chosen, pool: videos.
        mean_distance: from a video of the pool to the nearest chosen one, those of earlier rounds included.
        random_mean_distance: the same where as many were drawn at random.
        measured_on: videos, all or a uniform sample.
        value: by how much the choice lowers the mean distance, as the rule counts it.
        most_possible: what no choice of this size is worth more than.
        at_least: ratio of these two.
        neighbors: of each video, beyond which the rule counts nothing; None where it looks at all pairs.
        parts: random parts of the pool that the choice was made by.
    """

    chosen: int
    pool: int
    mean_distance: float
    random_mean_distance: float
    measured_on: int
    value: float
    most_possible: float
    at_least: float
    neighbors: int | None
    parts: int

    def sentence(self) -> str:
        """In words."""
        where = f" (measured on {self.measured_on} of {self.pool})" if self.measured_on < self.pool else ""
        counted = "" if self.neighbors is None else f", distances counted up to each video's {self.neighbors}th nearest"
        return (
            f"From a video of the pool to the nearest chosen one it is {self.mean_distance:.4f} in the mean, and "
            f"{self.random_mean_distance:.4f} with as many chosen at random{where}. The choice is worth at least "
            f"{100 * self.at_least:.1f}% of what any choice of this size could be{counted}."
        )

    def write(self, folder: Path) -> None:
        """Writes it as FILE beside a selection table."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(companion(folder, FILE), (json_text(self.record(), indent=2) + "\n").encode())

    def record(self) -> dict[str, Any]:
        """All of it and the sentence, JSON-able."""
        return {**asdict(self), "sentence": self.sentence()}


def read_certificate(folder: Path) -> Certificate | None:
    """That of the selection table in a folder; None where its rule has none."""
    path = companion(folder, FILE)
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return Certificate(**{name: kept[name] for name in Certificate.__dataclass_fields__})


def certify(pool: Pool, picks: Sequence[Pick], coverage: Coverage, parts: int, seed: int) -> Certificate:
    """Measures a choice.

    The bound: a choice of k videos more lowers the mean distance by at most the k largest gains that are left, so none
    of k is worth more than this one and these together.

    Args:
        pool: that was chosen from.
        picks: the choice.
        coverage: that counts it.
        parts: that it was made by.
        seed: of random selection, and of the sample where the pool is large.

    Source: Minoux (1978); Leskovec et al. (2007), section 3.2.
    """
    value, gains = coverage.value(), coverage.gains()
    left = np.partition(gains, len(gains) - len(picks))[len(gains) - len(picks) :] if picks else np.zeros(1)
    most = value + float(left.sum())
    rng = np.random.default_rng([seed, 3])
    earlier = np.asarray(pool.chosen, np.int64)
    own = np.array([pick.index for pick in picks], np.int64)
    by_chance = rng.choice(pool.candidates(), len(picks), replace=False)
    measured = min(len(pool), max(1, MOST_PAIRS // max(len(earlier) + len(own), 1)))
    asked = np.sort(rng.choice(len(pool), measured, replace=False))
    here, chance = (mean_distance(pool.content, asked, np.concatenate([earlier, some])) for some in (own, by_chance))
    neighbors = None
    if isinstance(coverage, GraphCoverage):
        neighbors = round(len(coverage.graph.covers) / len(pool))
    share = value / most if most > 0 else 1.0
    return Certificate(len(own), len(pool), here, chance, measured, value, most, share, neighbors, parts)


def mean_distance(content: Content, asked: Ints, chosen: Ints) -> float:
    """From some videos to the nearest of the chosen ones, in the mean.

    It is the nearest by Chamfer distance of the CANDIDATES that are nearest by mean frame.

    >>> line = Content.stack([np.array([[0.0]]), np.array([[1.0]]), np.array([[3.0]])])
    >>> mean_distance(line, np.arange(3), np.array([1]))
    1.0
    """
    means = half_means(content.take(np.concatenate([asked, chosen])))
    near = nearest(means[: len(asked)], means[len(asked) :], min(CANDIDATES, len(chosen)))
    found = pair_distances(content, asked, chosen[near]).min(1)
    found[np.isin(asked, chosen)] = 0
    return float(found.mean(dtype=np.float64))

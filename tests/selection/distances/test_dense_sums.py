"""Sums that are all kept up to date choose what the plain rule chooses, copies among the videos too."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances import dense_sums
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.dense_sums import DenseSums
from mdsvqa.selection.rules import mds as rule
from mdsvqa.selection.settings import SelectionSettings

COUNT, WEIGHT, BUDGET = 120, 0.25, 40
SETTINGS = SelectionSettings(**{"lambda": WEIGHT}, scale="raw", device="cpu")


def videos_of(copies: int) -> list[NDArray[np.float16]]:
    rng = np.random.default_rng(copies)
    centers = rng.normal(size=(7, 32))
    made = [centers[k % 7] + 0.4 * rng.normal(size=(3, 32)) for k in range(COUNT // copies)]
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in made]
    return [each.astype(np.float16) for each in units for _ in range(copies)]


def plain(videos: list[NDArray[np.float16]], difficulty: NDArray[np.float64]) -> list[int]:
    """The rule as it is written."""
    wide = [video.astype(np.float64) for video in videos]
    chosen = [int(np.argmax(difficulty))]
    total = np.zeros(len(videos))
    while len(chosen) < BUDGET:
        between = [cdist(video, wide[chosen[-1]]) for video in wide]
        total += [(d.min(1).mean() + d.min(0).mean()) / 2 for d in between]
        utility = difficulty + WEIGHT / len(chosen) * total
        utility[chosen] = -np.inf
        chosen.append(int(np.flatnonzero(utility >= utility.max() - 1e-10)[0]))
    return chosen


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("memory", [1 << 30, 300_000, 60_000])
def test_choices_are_those_of_the_plain_rule_also_where_not_all_fit(
    monkeypatch: pytest.MonkeyPatch, copies: int, memory: int
) -> None:
    videos = videos_of(copies)
    difficulty = np.random.default_rng(5).choice([1.0, 1.2, 2.0], len(videos))
    pool = Pool([str(k) for k in range(len(videos))], difficulty, Content.stack(videos))

    def dense(content: Content, hard: NDArray[np.float64], weight: float, _: SelectionSettings) -> DenseSums:
        return DenseSums(content, hard, weight, torch.device("cpu"), memory)

    monkeypatch.setattr(rule, "_sums", dense)
    monkeypatch.setattr(dense_sums, "GROWTH", 8)
    picks = rule.mds(pool, BUDGET, SETTINGS, 0)
    assert [pick.index for pick in picks] == plain(videos, difficulty)

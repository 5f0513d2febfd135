"""Random selection is uniform, in who is chosen and in which order."""

import numpy as np
from scipy.stats import chisquare

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.random_selection import random_selection
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="random")


def picked(size: int, budget: int, seed: int, chosen: tuple[int, ...] = ()) -> list[int]:
    content = Content.stack([np.zeros((1, 1))] * size)
    pool = Pool([str(i) for i in range(size)], np.zeros(size), content, chosen)
    return [pick.index for pick in random_selection(pool, budget, SETTINGS, seed)]


def test_every_ordered_pair_is_as_likely() -> None:
    counts = np.zeros((5, 5))
    for seed in range(4000):
        first, second = picked(5, 2, seed)
        counts[first, second] += 1
    assert np.diag(counts).sum() == 0
    assert chisquare(counts[~np.eye(5, dtype=bool)]).pvalue > 1e-3


def test_candidates_of_a_later_round_are_as_likely() -> None:
    counts = np.bincount([picked(6, 1, seed, chosen=(1, 4))[0] for seed in range(2000)], minlength=6)
    assert counts[[1, 4]].tolist() == [0, 0]
    assert chisquare(counts[[0, 2, 3, 5]]).pvalue > 1e-3


def test_a_large_budget_takes_everything() -> None:
    assert sorted(picked(7, 99, 0)) == list(range(7))

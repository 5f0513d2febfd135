"""Difficulty alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.most_difficult import most_difficult
from mdsvqa.selection.settings import SelectionSettings


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 25), st.sets(st.integers(0, 19)))
def test_descending_and_the_first_among_equals(values: list[int], budget: int, earlier: set[int]) -> None:
    chosen = tuple(i for i in earlier if i < len(values))
    content = Content.stack([np.zeros((1, 1))] * len(values))
    pool = Pool([str(i) for i in range(len(values))], np.array(values, float), content, chosen)
    picks = most_difficult(pool, budget, SelectionSettings(rule="difficulty"), 0)
    left = [i for i in range(len(values)) if i not in chosen]
    assert [pick.index for pick in picks] == sorted(left, key=lambda i: (-values[i], i))[:budget]
    assert all(pick.difficulty == pick.utility == values[pick.index] and pick.diversity is None for pick in picks)

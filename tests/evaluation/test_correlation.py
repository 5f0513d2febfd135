"""Correlations against scipy's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, spearmanr

from mdsvqa.evaluation.correlation import krcc, pearson, srcc, srcc_within

VALUE = st.integers(-5, 5).map(float)


@settings(deadline=None)
@given(st.lists(st.tuples(VALUE, VALUE), min_size=5, max_size=20))
def test_correlations_are_scipy_s(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.ascontiguousarray(side) for side in np.array(pairs).T)
    for ours, theirs in ((srcc, spearmanr), (pearson, pearsonr), (krcc, kendalltau)):
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            assert math.isnan(ours(x, y))
        else:
            assert ours(x, y) == pytest.approx(theirs(x, y).statistic, abs=1e-9)


def test_one_value_or_none_has_no_correlation() -> None:
    assert math.isnan(srcc(np.array([]), np.array([])))
    assert math.isnan(srcc(np.array([1.0]), np.array([2.0])))


def test_within_groups_weighs_by_their_sizes_and_leaves_out_what_cannot_be_said() -> None:
    score, mos = np.array([1.0, 2, 3, 9, 8, 4, 4]), np.array([1.0, 2, 3, 1, 2, 1, 5])
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    assert srcc_within(score, mos, groups) == pytest.approx((3 * 1 + 2 * -1) / 5)
    assert math.isnan(srcc_within(score[5:], mos[5:], groups[5:]))

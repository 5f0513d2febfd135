import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import zscore

from mdsvqa.models.statistical.standardise import LARGEST_Z, Standardiser


def test_is_the_z_score() -> None:
    features = np.random.default_rng(0).normal(5, 3, size=(50, 4))
    np.testing.assert_allclose(Standardiser.fit(features)(features), zscore(features), atol=1e-12)


def test_missing_values_are_left_out_and_count_as_average() -> None:
    features = np.random.default_rng(1).normal(5, 3, size=(30, 3))
    features[[2, 7], 1] = np.nan
    found = Standardiser.fit(features)(features)
    np.testing.assert_allclose(found[~np.isnan(features)], zscore(features, nan_policy="omit")[~np.isnan(features)])
    assert found[[2, 7], 1].tolist() == [0, 0]


def test_limited_to_four() -> None:
    standardise = Standardiser(np.zeros(2), np.ones(2))
    assert standardise(np.array([[1e300, -np.inf], [3.9, np.inf]])).tolist() == [[4, -4], [3.9, 4]]
    assert LARGEST_Z == 4


def test_a_feature_that_nobody_has_is_zero() -> None:
    standardise = Standardiser.fit(np.array([[np.nan, 1.0], [np.nan, 3.0]]))
    assert standardise(np.array([[np.nan, 2.0], [0.0, 1.0]])).tolist() == [[0, 0], [0, -1]]


@given(st.floats(-1e12, 1e12), st.integers(1, 20))
def test_a_constant_feature_is_zero_whatever_its_size(value: float, count: int) -> None:
    features = np.full((count, 1), value)
    standardise = Standardiser.fit(features)
    assert standardise.scale.tolist() == [1]
    assert np.abs(standardise(features)).max() <= 1e-12 * max(1, abs(value))


@given(st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_units_do_not_matter(slope: float, offset: float) -> None:
    features = np.random.default_rng(2).normal(size=(12, 3))
    moved = offset + slope * features
    np.testing.assert_allclose(Standardiser.fit(moved)(moved), Standardiser.fit(features)(features), atol=1e-6)

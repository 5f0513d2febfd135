import numpy as np
import pytest

from mdsvqa.labeling.agreement import correlation_with_others, krippendorff_alpha, rater_figures, sos
from mdsvqa.labeling.votes import Votes
from votes_made_up import of_table, study

NAN = np.nan


def test_correlation_leaves_the_own_vote_out():
    values = study(25, 6)
    values[np.random.default_rng(0).random(values.shape) < 0.3] = NAN
    found = correlation_with_others(of_table(values))
    for i in range(6):
        others = np.nanmean(np.delete(values, i, 1), 1)
        both = ~np.isnan(values[:, i]) & ~np.isnan(others)
        assert found[i] == pytest.approx(np.corrcoef(values[both, i], others[both])[0, 1])


def test_no_correlation_of_too_few_or_constant_votes():
    values = np.column_stack([study(6, 3), np.full(6, 3.0), [4, 5, NAN, NAN, NAN, NAN]])
    found = correlation_with_others(of_table(values))
    assert np.isfinite(found[:3]).all()
    assert np.isnan(found[3:]).all()


def test_alpha_is_that_of_krippendorffs_example():
    # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section D: interval alpha 0.849.
    nan = NAN
    observers = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
            [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
        ]
    )
    assert krippendorff_alpha(of_table(observers.T)) == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_nothing_to_compare_is_undefined():
    assert np.isnan(krippendorff_alpha(of_table(np.array([[3.0, NAN], [NAN, 2.0]]))))
    assert np.isnan(krippendorff_alpha(of_table(np.full((3, 3), 2.0))))


def test_sos_finds_its_parameter():
    # Votes at the two ends only: the variance is (MOS - 1)(5 - MOS), times n / (n - 1).
    values = np.array([[1, 1, 1, 5], [1, 1, 5, 5], [5, 5, 5, 1.0]])
    found = sos(of_table(values))
    np.testing.assert_allclose(found.mos, values.mean(1))
    np.testing.assert_allclose(found.std, values.std(1, ddof=1))
    assert found.a == pytest.approx(4 / 3)


def test_figures_of_raters_by_hand():
    votes = Votes.of(
        ["a", "b", "c", "a", "b", "t", "t", "k", "k", "c"],
        ["x"] * 9 + ["y"],
        [1, 3, 5, 2, 5, 2, 4, 3, 5, 4],
        kind=["video"] * 3 + ["repeat"] * 2 + ["trap"] * 2 + ["anchor"] * 2 + ["video"],
        expected=[NAN] * 5 + [2, 2, 4, 3, NAN],
        disturbed=[False, False, True] + [False] * 7,
    )
    found = rater_figures(votes)
    assert found.votes.tolist() == [2, 1]
    assert found.spread[0] == pytest.approx(np.std([1, 3], ddof=1))
    assert found.repeats.tolist() == [2, 0]
    assert found.repeat_difference[0] == pytest.approx((1 + 2) / 2)
    assert np.isnan(found.repeat_difference[1])
    assert (found.traps.tolist(), found.traps_wrong.tolist()) == ([2, 0], [1, 0])
    # One anchor is off by one level, which is right; the other by two.
    assert (found.anchors.tolist(), found.anchors_off.tolist()) == ([2, 0], [1, 0])
    assert found.disturbed.tolist() == [1 / 9, 0]


def test_corrected_votes_tell_nothing():
    votes = Votes.of(["t", "t"], ["x", "x"], [5, 2], kind="trap", expected=2, excluded=["corrected", ""])
    assert rater_figures(votes).traps_wrong.tolist() == [0]

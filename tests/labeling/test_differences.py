import numpy as np

from mdsvqa.labeling.differences import crush, differences
from mdsvqa.labeling.models import estimate_mos
from mdsvqa.labeling.votes import Votes


def test_differences_are_each_raters_own():
    votes = Votes.of(
        ["ref", "a", "b", "ref", "a", "other", "b"], ["x", "x", "x", "y", "y", "y", "z"], [5, 3, 5, 2, 3, 1, 4]
    )
    reference = np.array([-1, 0, 0, -1])
    found = differences(votes, reference)
    # z never saw the reference; y finds the video better than it.
    names = zip(found.video.tolist(), found.rater.tolist(), found.vote.tolist(), strict=True)
    assert [(found.videos[j], found.raters[i], v) for j, i, v in names] == [("a", "x", 3), ("b", "x", 5), ("a", "y", 6)]
    assert (found.low, found.high) == (1, 9)
    assert estimate_mos(found, "mos").mos.tolist()[1:3] == [4.5, 5.0]
    assert np.isnan(estimate_mos(found, "mos").mos[0])


def test_crushing_is_the_formula_of_the_recommendation():
    votes = Votes.of(["ref", "a"], ["x", "x"], [2, 4])
    assert differences(votes, np.array([-1, 0]), crushed=True).vote[0] == 7 * 7 / (2 + 7)
    d = np.linspace(1, 9, 17)
    assert (np.diff(crush(d)) > 0).all()
    np.testing.assert_array_equal(crush(d)[d <= 5], d[d <= 5])

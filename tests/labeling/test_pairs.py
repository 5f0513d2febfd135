import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from mdsvqa.labeling.pair_assignment import asked, expected_information, next_pairs, random_pairs
from mdsvqa.labeling.pairs import Posterior, posterior, thurstone
from mdsvqa.labeling.vote_tables import read_votes
from mdsvqa.labeling.votes import PairVotes
from places import DATA

LUKAS = DATA / "ratings" / "lukas_pairs.csv"


def answers(videos=8, n=60, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, videos, n)
    second = (first + rng.integers(1, videos, n)) % videos
    return first, second, rng.choice([0.0, 0.5, 1.0], n)


def test_scores_are_those_of_a_general_optimiser():
    first, second, preference = answers()

    def loss(q):
        d = (q[first] - q[second]) / np.sqrt(2)
        likelihood = preference * norm.logcdf(d) + (1 - preference) * norm.logcdf(-d)
        return -likelihood.sum() + (q**2).sum() / (2 * 9)

    expected = minimize(loss, np.zeros(8), tol=1e-10)
    found = posterior(first, second, preference, 8)
    np.testing.assert_allclose(found.score, expected.x, atol=1e-4)
    step, hessian = 1e-3, np.zeros((8, 8))
    for i in range(8):
        for j in range(8):
            e, f = np.eye(8)[i] * step, np.eye(8)[j] * step
            around = loss(found.score + e + f) - loss(found.score + e - f)
            hessian[i, j] = (around - loss(found.score - e + f) + loss(found.score - e - f)) / (4 * step**2)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(hessian), rtol=1e-3, atol=1e-4)


def test_many_answers_to_one_pair_give_the_distance_by_hand():
    # 84.134% prefer the first: a distance of sqrt(2) in units of one reading.
    n = 100_000
    preference = np.full(n, norm.cdf(1))
    found = posterior(np.zeros(n, int), np.ones(n, int), preference, 2)
    assert found.score[0] - found.score[1] == pytest.approx(np.sqrt(2), abs=1e-3)
    assert found.score.sum() == pytest.approx(0, abs=1e-9)


def test_the_unbeaten_and_the_unconnected_are_finite_with_wide_intervals():
    votes = PairVotes.of(["a"] * 9 + ["b"] * 3 + ["x"], ["b"] * 9 + ["c"] * 3 + ["y"], ["r"] * 13, [1] * 13)
    found = thurstone(votes)
    assert found.scale == "pairs"
    assert np.isfinite(found.mos).all()
    assert np.isfinite(found.se).all()
    assert found.mos[0] > found.mos[1] > found.mos[2]
    assert (found.high - found.low > 3).all()
    assert found.part.tolist() == [0, 0, 0, 1, 1]
    assert found.mos[3:].sum() == pytest.approx(0, abs=1e-9)


def test_cannot_tell_counts_half_each_way():
    tie = posterior(np.array([0, 0]), np.array([1, 1]), np.array([0.5, 0.5]), 2)
    each = posterior(np.array([0, 0]), np.array([1, 1]), np.array([1.0, 0.0]), 2)
    np.testing.assert_allclose(tie.score, each.score, atol=1e-12)
    np.testing.assert_allclose(tie.covariance, each.covariance)


@pytest.mark.skipif(not LUKAS.is_file(), reason=f"real pairs are not there: {LUKAS}")
def test_real_pairs_agree_with_how_often_each_won():
    votes = read_votes(LUKAS)
    found = thurstone(votes)
    assert found.parts == 5
    won = np.bincount(votes.first, minlength=len(votes.videos)) / votes.per_video()
    for part in range(5):
        inside = found.part == part
        assert np.corrcoef(found.mos[inside], norm.ppf(won[inside]))[0, 1] > 0.99


def test_the_information_of_an_answer_is_that_of_the_probit():
    d = np.linspace(-2, 2, 9)
    exact = norm.pdf(d) ** 2 / (norm.cdf(d) * norm.cdf(-d))
    np.testing.assert_allclose(expected_information(d**2, np.zeros(9)), exact, atol=0.02)
    rng = np.random.default_rng(0)
    draws = 0.8 + np.sqrt(0.5) * rng.normal(size=200_000)
    mean = (norm.pdf(draws) ** 2 / (norm.cdf(draws) * norm.cdf(-draws))).mean()
    assert expected_information(np.array([0.64]), np.array([0.5]))[0] == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize("choose", [next_pairs, random_pairs])
@pytest.mark.parametrize("videos", [2, 9, 30])
def test_a_round_shows_every_video_once(choose, videos):
    known = posterior(np.array([0]), np.array([1]), np.array([1.0]), videos)
    first, second = choose(known, np.random.default_rng(0))
    shown = np.concatenate([first, second])
    assert len(first) == len(second) == videos // 2
    assert len(set(shown.tolist())) == len(shown)


def test_a_known_order_is_asked_between_neighbours():
    # Scores that are known well but for their neighbours' order.
    known = Posterior(np.array([0.0, 10, 0.1, 10.1, 20, 20.1]), np.eye(6))
    first, second = next_pairs(known, np.random.default_rng(0))
    assert {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)} == {
        frozenset({0, 2}),
        frozenset({1, 3}),
        frozenset({4, 5}),
    }


def test_the_first_pair_of_a_round_lowers_the_summed_variance_most():
    first, second, preference = answers(seed=3)
    known = posterior(first, second, preference, 8)
    one, other = next_pairs(known, np.random.default_rng(0))

    def trace_after(i, j):
        e = (np.eye(8)[i] - np.eye(8)[j]) / np.sqrt(2)
        d = (known.score[i] - known.score[j]) / np.sqrt(2)
        information = expected_information(np.array(d**2), np.array(e @ known.covariance @ e))
        return np.trace(np.linalg.inv(np.linalg.inv(known.covariance) + information * np.outer(e, e)))

    best = min(trace_after(i, j) for i in range(8) for j in range(i))
    assert trace_after(one[0], other[0]) == pytest.approx(best, rel=1e-5)


def test_pairs_that_are_on_their_way_count_by_their_expected_information():
    known = posterior(*answers(seed=4), 8)
    first, second = np.array([0, 3]), np.array([5, 1])
    precision = np.linalg.inv(known.covariance)
    for i, j in zip(first, second, strict=True):
        e = (np.eye(8)[i] - np.eye(8)[j]) / np.sqrt(2)
        d = (known.score[i] - known.score[j]) / np.sqrt(2)
        information = expected_information(np.array(d**2), np.array(e @ known.covariance @ e))
        precision += information * np.outer(e, e)
    found = asked(known, first, second)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(precision), rtol=1e-8)
    assert found.score is known.score


def test_pairs_that_are_shut_are_not_asked_and_the_first_ones_tell_most():
    known = posterior(*answers(seed=5), 8)
    rng = np.random.default_rng(0)
    one, other = next_pairs(known, rng)
    shut = np.zeros((8, 8), bool)
    shut[one, other] = shut[other, one] = True
    again = next_pairs(known, rng, shut=shut)
    assert not {frozenset(pair) for pair in zip(*again, strict=True)} & {
        frozenset(p) for p in zip(one, other, strict=True)
    }
    few = next_pairs(known, rng, most=2)
    assert [frozenset(pair) for pair in zip(*few, strict=True)] == [
        frozenset(pair) for pair in zip(one[:2], other[:2], strict=True)
    ]
    assert len(next_pairs(known, rng, shut=np.ones((8, 8), bool))[0]) == 0

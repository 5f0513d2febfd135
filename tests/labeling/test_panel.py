import warnings

import numpy as np
import pytest

from mdsvqa.labeling.panel import BIAS_STD, expected_precision, joint_information, panel
from mdsvqa.labeling.vote_tables import read_votes
from mdsvqa.labeling.votes import Votes
from places import DATA
from votes_made_up import of_table, study

RATINGS = DATA / "ratings"
needs_ratings = pytest.mark.skipif(not RATINGS.is_dir(), reason=f"real votes are not there: {RATINGS}")


@pytest.mark.parametrize(("videos", "raters"), [(7, 5), (4, 9)])
def test_joint_information_is_the_inverse_of_the_whole_system(videos, raters):
    rng = np.random.default_rng(0)
    n = 25
    video = np.concatenate([np.arange(videos), rng.integers(0, videos, n)])
    rater = np.concatenate([np.arange(videos) % raters, rng.integers(0, raters, n)])
    rater[:raters] = np.arange(raters) if len(rater) >= raters else rater[:raters]
    vote, precision, spread = rng.normal(3, 1, len(video)), rng.uniform(0.5, 4, raters), 0.3
    design = np.zeros((len(video), videos + raters))
    design[np.arange(len(video)), video] = 1
    design[np.arange(len(video)), videos + rater] = 1
    weight = precision[rater]
    system = design.T @ (design * weight[:, None]) + np.diag([0] * videos + [1 / spread] * raters)
    inverse = np.linalg.inv(system)
    solution = inverse @ design.T @ (weight * vote)
    found = joint_information(video, rater, vote, precision, spread, videos, raters)
    np.testing.assert_allclose(np.concatenate([found.quality, found.bias]), solution, atol=1e-9)
    np.testing.assert_allclose(np.concatenate([found.of_quality, found.of_bias]), np.diag(inverse))
    np.testing.assert_allclose(found.of_sum, [row @ inverse @ row for row in design])


def test_a_sparse_design_is_solved_as_a_dense_one():
    rng = np.random.default_rng(1)
    video, rater = np.repeat(np.arange(60), 2), rng.integers(0, 40, 120)
    rater[:40] = np.arange(40)
    precision, vote = rng.uniform(0.5, 4, 40), rng.normal(3, 1, 120)
    design = np.zeros((120, 100))
    design[np.arange(120), video] = design[np.arange(120), 60 + rater] = 1
    system = design.T @ (design * precision[rater][:, None]) + np.diag([0] * 60 + [1 / 0.2] * 40)
    found = joint_information(video, rater, vote, precision, 0.2, 60, 40)
    inverse = np.linalg.inv(system)
    np.testing.assert_allclose(found.of_quality, np.diag(inverse)[:60])
    np.testing.assert_allclose(found.quality, (inverse @ design.T @ (precision[rater] * vote))[:60])


def test_expected_precision_integrates_the_prior():
    # A scaled inverse chi-square of the variance is a gamma of the precision: by sums over a fine grid.
    squares, n, scale = np.array([1.0, 30.0]), np.array([6, 12]), 0.5
    grid = np.linspace(1e-4, 40, 400_000)
    evidence, mean = [], []
    for v in (4.0, 8.0, 16.0, 32.0):
        log_prior = (v / 2 - 1) * np.log(grid) - v * scale / 2 * grid
        prior = np.exp(log_prior - log_prior.max())
        prior /= prior.sum()
        each = [prior * np.exp(m / 2 * np.log(grid) - s / 2 * grid) for s, m in zip(squares, n, strict=True)]
        evidence.append(np.prod([part.sum() for part in each]))
        mean.append([(part * grid).sum() / part.sum() for part in each])
    chance = np.array(evidence) / np.sum(evidence)
    found, worth = expected_precision(squares, n, scale)
    np.testing.assert_allclose(found, chance @ np.array(mean), rtol=1e-4)
    assert worth == pytest.approx(chance @ np.array([4, 8, 16, 32]), rel=1e-4)


def test_scores_come_back_from_clean_votes():
    rng = np.random.default_rng(0)
    quality, bias, noise = rng.uniform(20, 80, 60), rng.normal(0, 8, 20), rng.uniform(4, 12, 20)
    bias -= bias.mean()
    values = quality[:, None] + bias + noise * rng.normal(size=(60, 20))
    found = panel(of_table(values, scale=(0.0, 100.0)))
    assert np.sqrt(np.mean((found.mos - quality) ** 2)) < np.sqrt(np.mean((values.mean(1) - quality) ** 2))
    np.testing.assert_allclose(found.bias, bias, atol=3.5)
    np.testing.assert_allclose(found.inconsistency, noise, rtol=0.35)
    assert found.settings[BIAS_STD] == pytest.approx(8, rel=0.35)
    assert found.weight.sum() == pytest.approx(1)
    assert np.mean(np.abs(found.mos - quality) <= found.high - found.mos) > 0.9


def test_another_unit_gives_the_same_in_that_unit():
    values = study(20, 9)
    values[np.random.default_rng(0).random(values.shape) < 0.4] = np.nan
    one, other = panel(of_table(values)), panel(of_table(10 * values, scale=(10.0, 50.0)))
    np.testing.assert_allclose(other.mos, 10 * one.mos, rtol=1e-6)
    np.testing.assert_allclose(other.se, 10 * one.se, rtol=1e-6)
    np.testing.assert_allclose(other.weight, one.weight, rtol=1e-6)


@needs_ratings
def test_raters_whose_votes_are_not_of_these_videos_weigh_little():
    found = panel(read_votes(RATINGS / "nflx_public_4_random_raters.csv"))
    assert (found.weight[-4:] < np.median(found.weight) / 3).all()


NAN = np.nan
EDGES = {
    "one vote": np.array([[3.0]]),
    "one rater": np.array([[3.0], [4], [1]]),
    "one video": np.array([[3.0, 4, 1]]),
    "constant votes": np.full((5, 6), 4.0),
    "constant for each video": np.tile(np.arange(1.0, 6)[:, None], (1, 4)),
    "constant rater": np.column_stack([study(12, 5), np.full(12, 3.0)]),
    "a rater with one vote": np.array([[3.0, 4, 2], [4, 4, NAN], [1, 2, NAN]]),
    "two panels": np.array([[3.0, 4, NAN, NAN], [4, 5, NAN, NAN], [NAN, NAN, 1, 2], [NAN, NAN, 2, 2]]),
    "who votes the mean": np.column_stack([study(30, 15), np.round(study(30, 15).mean(1))]),
}


@pytest.mark.parametrize("name", EDGES)
def test_at_the_edges_all_is_finite_and_nothing_is_said(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = panel(of_table(EDGES[name]))
    for values in (found.mos, found.low, found.high, found.se, found.bias, found.inconsistency, found.weight):
        assert np.isfinite(values).all()
    assert (found.se > 0).all()
    assert (found.high - found.low < 8).all()


def test_two_panels_without_a_common_video_are_two_parts_each_centred():
    found = panel(of_table(EDGES["two panels"]))
    assert found.part.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.mos, [3.5, 4.5, 1.5, 2.0], atol=1e-6)
    assert found.bias[:2].sum() == pytest.approx(0, abs=1e-9)


def test_videos_and_raters_without_votes_have_nothing():
    votes = Votes.of(["a"] * 3, ["x", "y", "z"], [3, 4, 4], videos=["b", "a"], raters=["w"])
    found = panel(votes)
    assert np.isnan(found.mos[0])
    assert np.isfinite(found.mos[1])
    assert found.votes.tolist() == [0, 3]
    assert np.isnan(found.bias[0])
    assert np.nansum(found.weight) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_the_single_vote_of_a_newcomer_moves_little(seed):
    values = study(40, 15, seed)
    values[0] = [3, 4, 4, 4, 3, 4, 4, 3, 4, 4, 3, 4, 4, 3, 3]
    assert values[0].mean() == pytest.approx(3.6)
    newcomer = np.full((40, 1), NAN)
    newcomer[0] = 1
    before, after = panel(of_table(values)), panel(of_table(np.column_stack([values, newcomer])))
    moved = np.abs(after.mos - before.mos)
    assert moved[0] <= 0.15
    assert moved[1:].max() <= 0.02
    assert ((after.high - after.low) / (before.high - before.low))[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_who_always_votes_the_rounded_mean_does_not_get_all_of_the_weight(seed):
    values = study(50, 15, seed)
    found = panel(of_table(np.column_stack([values, np.round(values.mean(1))])))
    assert found.weight[-1] < 0.5


def test_fewer_votes_make_wider_intervals():
    values = study(40, 20)
    wide = values.copy()
    wide[:20, 6:] = NAN
    found = panel(of_table(wide))
    assert found.se[:20].min() > found.se[20:].max()


def test_intervals_hold_the_mean_vote_of_the_kind_of_raters():
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        quality = rng.uniform(2, 4, 40)
        values = quality[:, None] + rng.normal(0, 0.4, 20) + rng.normal(0, 0.6, (40, 20))
        values[np.argsort(np.argsort(rng.random(values.shape), 1), 1) >= 7] = NAN
        found = panel(of_table(values))
        covered.append(np.mean((found.low <= quality) & (quality <= found.high)))
    assert 0.92 <= np.mean(covered) <= 0.97


def test_a_large_study_is_done_in_seconds():
    # 5,000 videos by 300 raters; what a machine needs is measured in the benchmark.
    rng = np.random.default_rng(0)
    video, rater = np.repeat(np.arange(5000), 12), rng.integers(0, 300, 60_000)
    vote = np.clip(np.round(rng.uniform(1.5, 4.5, 5000)[video] + rng.normal(0, 0.7, 60_000)), 1, 5)
    found = panel(Votes.of([str(j) for j in video], [str(i) for i in rater], vote))
    assert np.isfinite(found.se).all()

"""What the models are worth where votes are few, on real studies and on simulated ones."""

import numpy as np
import pytest

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.labeling.assignment import EVEN, INFORMATION, UnderWay, next_videos, panelists
from mdsvqa.labeling.models import estimate_mos
from mdsvqa.labeling.pair_assignment import next_pairs, random_pairs
from mdsvqa.labeling.pairs import posterior
from mdsvqa.labeling.panel import panel
from mdsvqa.labeling.vote_tables import read_votes
from places import DATA
from votes_made_up import of_table

RATINGS = DATA / "ratings"
needs_ratings = pytest.mark.skipif(not RATINGS.is_dir(), reason=f"real votes are not there: {RATINGS}")
MODELS = ("mos", "p913", "p910", "panel")


def rmse(found, truth):
    return np.sqrt(np.mean((found - truth) ** 2))


def real(name):
    votes = read_votes(RATINGS / f"{name}.csv")
    values = np.full((len(votes.videos), len(votes.raters)), np.nan)
    values[votes.video, votes.rater] = votes.vote
    return values


@needs_ratings
@pytest.mark.parametrize("name", ["nflx_public", "nflx_public_4_random_raters", "vqeg_hd3"])
def test_of_six_votes_a_video_panel_makes_more_than_the_others(name):
    values, rng = real(name), np.random.default_rng(0)
    errors, covered = {model: [] for model in MODELS}, []
    for _ in range(12):
        kept = np.argsort(np.argsort(np.where(np.isnan(values), 2, rng.random(values.shape)), 1), 1) < 6
        rest = np.where(kept, np.nan, values)
        truth, noise = np.nanmean(rest, 1), np.nanstd(rest, 1, ddof=1) / np.sqrt((~np.isnan(rest)).sum(1))
        found = {model: estimate_mos(of_table(np.where(kept, values, np.nan)), model) for model in MODELS}
        for model, estimate in found.items():
            errors[model].append(rmse(estimate.mos, truth))
        half = (found["panel"].high - found["panel"].low) / 2
        covered.append(np.mean(np.abs(found["panel"].mos - truth) <= np.sqrt(half**2 + (1.96 * noise) ** 2)))
    mean = {model: np.mean(values) for model, values in errors.items()}
    assert mean["panel"] <= 0.95 * mean["mos"]
    assert mean["panel"] <= 1.02 * min(mean["mos"], mean["p913"], mean["p910"])
    assert 0.92 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(("votes", "share"), [(40, 0.75), (8, 0.85)])
def test_careless_raters_lose_their_weight(votes, share):
    levels = np.array([1.5, 2.5, 3.5, 4.5])
    errors, covered = {"mos": [], "panel": []}, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        quality, bias = rng.uniform(1.3, 4.7, 80), rng.normal(0, 0.45, 40)
        values = np.clip(np.round(quality[:, None] + bias + rng.normal(0, 0.6, (80, 40))), 1, 5)
        values[:, :3] = rng.integers(1, 6, (80, 3))
        values[:, 3:5] = rng.choice([2, 3, 3, 3, 4], (80, 2))
        # The mean vote of attentive raters, by their votes on as good a video.
        many = quality[:, None] + rng.normal(0, np.hypot(0.45, 0.6), (80, 20_000))
        truth = 1 + (many[..., None] > levels).mean(1).sum(-1)
        values[np.argsort(np.argsort(rng.random(values.shape), 1), 1) >= votes] = np.nan
        found = {model: estimate_mos(of_table(values), model) for model in errors}
        for model, estimate in found.items():
            errors[model].append(np.mean((estimate.mos - truth) ** 2))
        covered.append(np.mean((found["panel"].low <= truth) & (truth <= found["panel"].high)))
    assert np.sqrt(np.mean(errors["panel"])) <= share * np.sqrt(np.mean(errors["mos"]))
    assert 0.92 <= np.mean(covered) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.65, 0.325])
def test_chosen_pairs_beat_random_ones(noise):
    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        quality, reached = rng.uniform(1.3, 4.7, 100), []
        for choose in (next_pairs, random_pairs):
            first, second, preference = np.zeros(0, int), np.zeros(0, int), np.zeros(0)
            for _ in range(8):
                one, other = choose(posterior(first, second, preference, 100), rng)
                first, second = np.append(first, one), np.append(second, other)
                judged = quality[one] - quality[other] + noise * rng.normal(size=50)
                preference = np.append(preference, judged > 0)
            reached.append(srcc(posterior(first, second, preference, 100).score, quality))
        gains.append(reached[0] - reached[1])
    assert np.mean(gains) >= 0.02


@needs_ratings
@pytest.mark.slow
def test_least_information_narrows_the_widest_interval_at_the_same_error():
    values = real("agh_tv_2017")
    figures = {EVEN: [], INFORMATION: []}
    for rule, found in figures.items():
        for seed in range(12):
            rng = np.random.default_rng(seed)
            kept, order = np.zeros(values.shape, bool), rng.permutation(values.shape[1])
            for start in range(0, len(order), 10):
                before = of_table(np.where(kept, values, np.nan))
                known, pending = panelists(before), UnderWay.none()
                for rater in order[start : start + 10].tolist():
                    open_ = ~np.isnan(values[:, rater])
                    places = next_videos(before, rater, 32, rng, rule=rule, under_way=pending, known=known, open_=open_)
                    video, who = np.append(pending.video, places), np.full(len(places), rater)
                    pending = UnderWay(video, np.append(pending.rater, who))
                kept[pending.video, pending.rater] = True
            estimate = panel(of_table(np.where(kept, values, np.nan)))
            error = rmse(estimate.mos, np.nanmean(np.where(kept, np.nan, values), 1))
            found.append((error, (estimate.high - estimate.low).max()))
    even, least = (np.mean(figures[rule], 0) for rule in (EVEN, INFORMATION))
    # One percent, and what twelve replays leave to chance.
    assert least[0] <= 1.03 * even[0]
    assert least[1] < even[1]

"""How good are MOS from few votes, do their intervals hold, and what does choosing who rates what next gain?

    python benchmarks/labels.py FOLDER [--parts few simulated assignment pairs] [--draws 30] [--json build/labels.json]

FOLDER holds votes of real studies, a CSV each with video, rater, rating: nflx_public, nflx_public_4_random_raters,
vqeg_hd3, agh_tv_2017.

few: 6, 10 and 15 votes a video drawn at random, against the mean of the votes left out. Coverage counts the noise of
    that mean in: a video is covered where the difference is within 1.96 standard errors of both.
simulated: 80 videos, 40 raters, of whom 5 are careless (random, or always near 3, or some of each), biases of 0.45,
    noise of about 0.6, rounded to 1-5. Truth is the mean vote of attentive raters of the kind, of whom the panel is a
    sample: the intervals hold what the sample leaves unknown. The third design stops by the rule of studies.
assignment: agh_tv_2017 replayed at 10 votes a video: raters come in waves and get a session of the videos that they
    rated in truth.
pairs: 100 simulated videos, 8 views a video in pairs, chosen or random, and ACR with as many views.

Prints JSON.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.labeling.assignment import EVEN, INFORMATION, WIDEST, UnderWay, next_videos, panelists
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.models import estimate_mos
from mdsvqa.labeling.pair_assignment import next_pairs, random_pairs
from mdsvqa.labeling.pairs import posterior
from mdsvqa.labeling.panel import panel
from mdsvqa.labeling.stopping import StoppingSettings, standing
from mdsvqa.labeling.vote_tables import read_votes
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Flags, Floats, Ints

FILES = ("nflx_public", "nflx_public_4_random_raters", "vqeg_hd3", "agh_tv_2017")
MODELS = ("mos", "p913", "p910", "panel")
VIDEOS, RATERS, CARELESS = 80, 40, 5
BIAS, NOISE = 0.45, 0.6
LEVELS = np.array([1.5, 2.5, 3.5, 4.5])
SLOTS, TOGETHER = 20, 4


def read(folder: Path, name: str) -> Votes:
    votes = read_votes(folder / f"{name}.csv")
    assert isinstance(votes, Votes)
    return votes


def rmse(found: Floats, truth: Floats) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2)))


def table(votes: Votes) -> Floats:
    """Votes by (video, rater), NaN where there is none."""
    found = np.full((len(votes.videos), len(votes.raters)), np.nan)
    found[votes.video, votes.rater] = votes.vote
    return found


def votes_of(values: Floats, videos: Sequence[str], raters: Sequence[str]) -> Votes:
    j, i = np.nonzero(~np.isnan(values))
    return Votes.of(
        [videos[k] for k in j.tolist()], [raters[k] for k in i.tolist()], values[j, i], videos=videos, raters=raters
    )


def drawn(whole: Floats, count: int, rng: np.random.Generator) -> Flags:
    """Which votes are kept: `count` of every video at random."""
    key = np.where(np.isnan(whole), 2.0, rng.random(whole.shape))
    kept: Flags = np.argsort(np.argsort(key, 1), 1) < count
    return kept


def few_votes(votes: Votes, count: int, draws: int) -> dict[str, float]:
    """RMSE of every model over plain MOS, and the coverage of the panel's intervals."""
    whole, rng = table(votes), np.random.default_rng(0)
    errors: dict[str, list[float]] = {model: [] for model in MODELS}
    covered: list[float] = []
    for _ in range(draws):
        kept = drawn(whole, count, rng)
        some = votes_of(np.where(kept, whole, np.nan), votes.videos, votes.raters)
        rest = np.where(kept, np.nan, whole)
        truth = np.nanmean(rest, 1)
        noise = np.nanstd(rest, 1, ddof=1) / np.sqrt((~np.isnan(rest)).sum(1))
        found = {model: estimate_mos(some, model) for model in MODELS}
        for model, estimate in found.items():
            errors[model].append(rmse(np.where(np.isnan(estimate.mos), found["mos"].mos, estimate.mos), truth))
        half = (found["panel"].high - found["panel"].low) / 2
        covered.append(float(np.mean(np.abs(found["panel"].mos - truth) <= np.sqrt(half**2 + (1.96 * noise) ** 2))))
    mean = {model: float(np.mean(values)) for model, values in errors.items()}
    best = min(value for model, value in mean.items() if model != "panel")
    return {
        "rmse_mos": mean["mos"],
        **{f"{model}_over_mos": mean[model] / mean["mos"] for model in MODELS[1:]},
        "panel_over_best_other": mean["panel"] / best,
        "coverage": float(np.mean(covered)),
    }


def made_up_panel(careless: str, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Votes of all raters on all videos, the mean vote of the kind of attentive raters, and that of those here."""
    quality, bias = rng.uniform(1.3, 4.7, VIDEOS), rng.normal(0, BIAS, RATERS)
    noise = NOISE * np.exp(rng.normal(0, 0.2, RATERS))
    votes = np.clip(np.round(quality[:, None] + bias + noise * rng.normal(size=(VIDEOS, RATERS))), 1, 5)
    anything, middle = {"random": (5, 0), "near 3": (0, 5), "both": (3, 2), "none": (0, 0)}[careless]
    votes[:, :anything] = rng.integers(1, 6, (VIDEOS, anything))
    near = slice(anything, anything + middle)
    votes[:, near] = np.clip(np.round(3 + rng.normal(0, 0.5, (VIDEOS, middle))), 1, 5)
    those = slice(anything + middle, None)
    kind = NOISE * np.exp(0.2 * norm.ppf((np.arange(200) + 0.5) / 200))
    truth = expected_vote(quality, np.sqrt(BIAS**2 + kind**2), np.zeros(200))
    return votes, truth, expected_vote(quality, noise[those], bias[those])


def expected_vote(quality: Floats, std: Floats, bias: Floats) -> Floats:
    """Mean vote of raters of these biases and deviations, rounded to 1-5."""
    above = norm.cdf((quality[:, None, None] + bias[:, None] - LEVELS) / std[:, None])
    mean: Floats = 1 + above.sum(-1).mean(-1)
    return mean


def evenly(whole: Floats, count: int, rng: np.random.Generator) -> Flags:
    """`count` raters of every video, each with as many videos as the others."""
    kept, load = np.zeros(whole.shape, np.bool_), np.zeros(whole.shape[1])
    for j in rng.permutation(len(whole)):
        chosen = np.argsort(load + rng.random(len(load)) / 2)[:count]
        kept[j, chosen] = True
        load[chosen] += 1
    return kept


def until_enough(whole: Floats, rng: np.random.Generator) -> Flags:
    """Sessions by the rule of assignment, until the rule of studies ends them."""
    names, raters = [str(j) for j in range(len(whole))], [str(i) for i in range(whole.shape[1])]
    kept = np.zeros(whole.shape, np.bool_)
    for start in range(0, 4 * whole.shape[1], TOGETHER):
        if start % whole.shape[1] == 0:
            order = rng.permutation(whole.shape[1])
        before = votes_of(np.where(kept, whole, np.nan), names, raters)
        known, pending = panelists(before), UnderWay.none()
        for i in order[start % whole.shape[1] : start % whole.shape[1] + TOGETHER].tolist():
            places = next_videos(before, i, SLOTS, rng, under_way=pending, known=known)
            pending = joined(pending, places, i)
        kept[pending.video, pending.rater] = True
        votes = votes_of(np.where(kept, whole, np.nan), names, raters)
        if standing(panel(votes), StoppingSettings()).ended:
            break
    return kept


def joined(pending: UnderWay, places: Ints, rater: int) -> UnderWay:
    of_rater = np.full(len(places), rater, np.int64)
    return UnderWay(np.concatenate([pending.video, places]), np.concatenate([pending.rater, of_rater]))


DESIGNS: dict[str, Callable[[Floats, np.random.Generator], Flags]] = {
    "all by all": lambda whole, _: np.ones(whole.shape, np.bool_),
    "8 votes a video": lambda whole, rng: evenly(whole, 8, rng),
    "stopped by its own rule": until_enough,
}


def simulated(design: str, careless: str, draws: int) -> dict[str, float]:
    """RMSE over plain MOS, and coverage, against the mean vote of attentive raters."""
    rng = np.random.default_rng(1)
    errors: dict[str, list[float]] = {model: [] for model in ("mos", "p910", "panel", "panel_of_those", "mos_of_those")}
    covered, of_those, count = [], [], []
    for _ in range(draws):
        whole, truth, those = made_up_panel(careless, rng)
        kept = DESIGNS[design](whole, rng)
        votes = votes_of(
            np.where(kept, whole, np.nan), [str(j) for j in range(VIDEOS)], [str(i) for i in range(RATERS)]
        )
        found = {model: estimate_mos(votes, model) for model in ("mos", "p910", "panel")}
        for model, estimate in found.items():
            errors[model].append(float(np.mean((estimate.mos - truth) ** 2)))
        for model in ("mos", "panel"):
            errors[f"{model}_of_those"].append(float(np.mean((found[model].mos - those) ** 2)))
        covered.append(inside(found["panel"], truth))
        of_those.append(inside(found["panel"], those))
        count.append(kept.sum() / VIDEOS)
    root = {model: float(np.sqrt(np.mean(values))) for model, values in errors.items()}
    return {
        "votes_a_video": float(np.mean(count)),
        "rmse_mos": root["mos"],
        "panel_over_mos": root["panel"] / root["mos"],
        "p910_over_mos": root["p910"] / root["mos"],
        "panel_over_mos_against_those_raters": root["panel_of_those"] / root["mos_of_those"],
        "coverage": float(np.mean(covered)),
        "coverage_against_those_raters": float(np.mean(of_those)),
    }


def inside(found: Estimate, truth: Floats) -> float:
    return float(np.mean((truth >= found.low) & (truth <= found.high)))


def replayed(votes: Votes, rule: str, rng: np.random.Generator, *, drop_out: float = 0.0) -> Flags:
    """Who rates what: waves of raters with one session each, of videos that they rated in truth.

    Args:
        votes: of the study.
        rule: of assignment.
        rng: of the order of raters, of ties, and of who leaves.
        drop_out: share of raters who leave at a random place of their session.
    """
    whole = table(votes)
    slots, together = round(10 * len(whole) / whole.shape[1]), 10
    kept = np.zeros(whole.shape, np.bool_)
    order = rng.permutation(whole.shape[1])
    for start in range(0, len(order), together):
        before = votes_of(np.where(kept, whole, np.nan), votes.videos, votes.raters)
        known, pending = panelists(before), UnderWay.none()
        sessions: list[tuple[int, Ints]] = []
        for i in order[start : start + together].tolist():
            places = next_videos(
                before, i, slots, rng, rule=rule, under_way=pending, known=known, open_=~np.isnan(whole[:, i])
            )
            pending = joined(pending, places, i)
            sessions.append((i, places))
        for i, places in sessions:
            stays = rng.random() >= drop_out
            seen = len(places) if stays else rng.integers(0, len(places))
            kept[rng.permutation(places)[:seen], i] = True
    return kept


def assignment(votes: Votes, draws: int) -> dict[str, Any]:
    """Every rule against even spreading on the same waves of raters, and after half of the raters left."""
    whole = table(votes)
    found: dict[str, dict[str, list[float]]] = {}
    for rule in (EVEN, INFORMATION, WIDEST):
        figures = found.setdefault(
            rule, {"rmse": [], "widest": [], "least_under_mean": [], "least_under_mean_left": []}
        )
        for seed in range(draws):
            kept = replayed(votes, rule, np.random.default_rng(seed))
            estimate = panel(votes_of(np.where(kept, whole, np.nan), votes.videos, votes.raters))
            truth = np.nanmean(np.where(kept, np.nan, whole), 1)
            figures["rmse"].append(rmse(estimate.mos, truth))
            figures["widest"].append(float(((estimate.high - estimate.low) / 2).max()))
            figures["least_under_mean"].append(float(kept.sum(1).mean() - kept.sum(1).min()))
            left = replayed(votes, rule, np.random.default_rng(seed), drop_out=0.5).sum(1)
            figures["least_under_mean_left"].append(float(left.mean() - left.min()))
    means = {
        rule: {name: float(np.mean(values)) for name, values in figures.items()} for rule, figures in found.items()
    }
    for rule in (INFORMATION, WIDEST):
        means[rule]["rmse_over_even"] = means[rule]["rmse"] / means[EVEN]["rmse"]
        means[rule]["widest_over_even"] = means[rule]["widest"] / means[EVEN]["widest"]
        means[rule]["most_under_mean_left"] = float(np.max(found[rule]["least_under_mean_left"]))
    return means


def pairs(noise_share: float, seeds: int, videos: int = 100, views: int = 8) -> dict[str, float]:
    """SRCC with true quality of chosen pairs, random pairs and ACR at the same number of views a video.

    Args:
        noise_share: noise of the judgement of a pair over that of an ACR vote.
        seeds: repeats.
        videos, views: of the study.
    """
    figures: dict[str, list[float]] = {"chosen": [], "random": [], "acr": []}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        quality = rng.uniform(1.3, 4.7, videos)
        noise = NOISE_OF_ACR * noise_share
        for how, choose in (("chosen", next_pairs), ("random", random_pairs)):
            first, second, preference = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
            for _ in range(views):
                known = posterior(first, second, preference, videos)
                one, other = choose(known, rng)
                first, second = np.concatenate([first, one]), np.concatenate([second, other])
                difference = quality[one] - quality[other] + noise * rng.normal(size=len(one))
                preference = np.concatenate([preference, (difference > 0).astype(np.float64)])
            figures[how].append(float(srcc(posterior(first, second, preference, videos).score, quality)))
        votes = np.clip(np.round(quality[:, None] + NOISE_OF_ACR * rng.normal(size=(videos, views))), 1, 5)
        figures["acr"].append(float(srcc(votes.mean(1), quality)))
    means = {how: float(np.mean(values)) for how, values in figures.items()}
    return {**means, "chosen_minus_random": means["chosen"] - means["random"]}


# Of a vote with what is left of biases; ACR then has the SRCC of 0.966 that real studies have at 8 votes.
NOISE_OF_ACR = 0.65


def parts(folder: Path, wanted: Sequence[str], draws: int) -> Iterator[tuple[str, Any]]:
    if "few" in wanted:
        yield (
            "few",
            {name: {str(n): few_votes(read(folder, name), n, draws) for n in (6, 10, 15)} for name in FILES},
        )
    if "simulated" in wanted:
        kinds = ("random", "near 3", "both", "none")
        yield "simulated", {design: {kind: simulated(design, kind, 2 * draws) for kind in kinds} for design in DESIGNS}
    if "assignment" in wanted:
        yield "assignment", assignment(read(folder, "agh_tv_2017"), max(draws // 3, 1))
    if "pairs" in wanted:
        yield "pairs", {f"noise of ACR times {share:.2f}": pairs(share, 20) for share in (1.0, 0.5, 1 / 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", default=["few", "simulated", "assignment", "pairs"])
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    text = json.dumps(dict(parts(options.folder, options.parts, options.draws)), indent=1)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

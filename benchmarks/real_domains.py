"""The loop on real pools: features and MOS of real YouTube-UGC and KoNViD-1k videos, each the other's target.

    python benchmarks/real_domains.py [--seeds 20] [--data ../shared/data/videval]

Departs from a real study in one thing: the features were computed by others (VIDEVAL), so nothing is decoded. Each seed
draws the source's and the target's test parts (20%) anew; 5% of the target's pool is labeled. Content distance is
Euclidean on the standardised features, one "frame" a video.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.difficulty.settings import DifficultySettings, ErrorName
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.statistical.kernel_model import fit_statistical
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Limits
from mdsvqa.selection.catalogue import EVERYTHING
from mdsvqa.selection.catalogue import RULES as EVERY_RULE
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import ComparisonSettings, StudyConfig
from mdsvqa.study.data import PoolArrays, StudyData
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.result import RuleRun
from mdsvqa.study.rule_comparison import ComparisonPlan, runs_of_seed
from mdsvqa.videos.video import Split, Video

Floats = NDArray[np.float64]
RULES = ("random", *(rule for rule in EVERY_RULE if rule != "random"), EVERYTHING)
NAMES = {"youtube_ugc": "YouTube-UGC", "konvid_1k": "KoNViD-1k"}
TEST_SHARE = 0.2


def load(data: Path, name: str) -> tuple[list[str], Floats, Floats]:
    """Ids, VIDEVAL features (n, 60) and MOS (n,) of one data set."""
    table = read_columns(data / f"{name}.csv")
    columns = [column for column in table.cells if column.startswith("videval_")]
    return table.ids(), np.stack([table.numbers(column) for column in columns], axis=1), table.numbers("mos")


def one_seed(
    job: tuple[str, str, int], data: Path, config: StudyConfig, rules: Sequence[str]
) -> list[tuple[str, float, float]]:
    """Target and source SRCC of each rule for one (source, target, seed)."""
    source_name, target_name, seed = job
    rng = np.random.default_rng(seed)
    _, source, source_mos = load(data, source_name)
    ids, target, target_mos = load(data, target_name)
    train, held_out = divided(len(source), rng)
    pool, test = divided(len(target), rng)
    parts: list[tuple[str, Split, Floats, NDArray[np.int64]]] = [
        ("old", "train", source_mos, train),
        ("old", "test", source_mos, held_out),
        ("new", "pool", target_mos, pool),
        ("new", "test", target_mos, test),
    ]
    videos = [
        Video(f"{name}/{i}", None, name, split, float(mos[i])) for name, split, mos, index in parts for i in index
    ]
    features = np.concatenate([source[train], source[held_out], target[pool], target[test]])
    nothing = Content.stack([np.zeros((1, 1))] * len(videos))
    there = StudyData.of_videos(videos, features, nothing)
    standardised = Standardiser.fit(target[pool])(target[pool])
    content = Content.stack([row[None, :] for row in standardised])
    places = PoolArrays([ids[i] for i in pool], there.pool, content)
    base = fit_statistical(there.labeled_source(), seed=seed)
    f = StatisticalModel.start(base, there.labeled_source(), config.finetuning)
    plan = ComparisonPlan(f, there, places, Budget(round(0.05 * len(pool)), Limits()), config)
    before = RuleRun("base", seed, (), base.predict(target[test]), base.predict(source[held_out]))
    trials = [before, *runs_of_seed(plan, rules, seed)]
    return [
        (trial.rule, srcc(trial.target_scores, target_mos[test]), srcc(trial.source_scores, source_mos[held_out]))
        for trial in trials
    ]


def divided(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A random 80% and the rest, as indices."""
    order = rng.permutation(n)
    cut = round((1 - TEST_SHARE) * n)
    return order[:cut], order[cut:]


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean and its 95% bootstrap interval over seeds."""
    drawn = np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def crashed(job: tuple[str, str, int]) -> list[tuple[str, float, float]]:
    raise RuntimeError(f"the worker of {job} died")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/videval"))
    parser.add_argument("--lambda", dest="lambda_", type=float, default=SelectionSettings().lambda_)
    parser.add_argument("--scale", default=SelectionSettings().scale, choices=("standard", "rank", "raw"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--predictor", default=DifficultySettings().predictor, choices=("auto", *PREDICTORS))
    parser.add_argument("--error", default=DifficultySettings().error, choices=get_args(ErrorName))
    parser.add_argument("--rules", nargs="+", default=RULES, choices=RULES, help="random is among them in any case")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc.csv and konvid_1k.csv by --data")
    config = StudyConfig(
        videos=Path(),
        rounds=arguments.rounds,
        difficulty=DifficultySettings(predictor=arguments.predictor, error=arguments.error),
        selection=SelectionSettings(lambda_=arguments.lambda_, scale=arguments.scale),
        comparison=ComparisonSettings(pool_share=1.0),
    )
    pairs = [("youtube_ugc", "konvid_1k"), ("konvid_1k", "youtube_ugc")]
    jobs = [(source, target, seed) for source, target in pairs for seed in range(arguments.seeds)]
    rules = list(dict.fromkeys(["random", *arguments.rules]))
    results: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    run = partial(one_seed, data=arguments.data, config=config, rules=rules)
    done = map_in_workers(run, jobs, arguments.workers, crashed=crashed)
    console = Console(width=110)
    progress = track(zip(jobs, done, strict=True), "seeds", total=len(jobs), console=Console(stderr=True))
    for (source, target, _), rows in progress:
        for rule, on_target, on_source in rows:
            results[source, target][rule].append((on_target, on_source))
    figures = {}
    for (source, target), by_rule in results.items():
        title = f"{NAMES[source]} to {NAMES[target]}, {arguments.seeds} seeds"
        table = Table("rule", "target SRCC", "against random", "source SRCC", title=title)
        random = np.array(by_rule["random"])[:, 0]
        for rule, values in by_rule.items():
            on_target, on_source = np.array(values).T
            mean, low, high = interval(on_target)
            gain, gain_low, gain_high = interval(on_target - random)
            against = "" if rule == "random" else f"{gain:+.3f} [{gain_low:+.3f}, {gain_high:+.3f}]"
            table.add_row(rule, f"{mean:.3f} [{low:.3f}, {high:.3f}]", against, f"{on_source.mean():.3f}")
            key = f"{source}_to_{target}_{rule.replace('-', '_')}"
            figures[f"{key}_srcc"] = round(mean, 4)
            figures[f"{key}_gain"] = round(gain, 4)
        console.print(table)
    print(json.dumps({"seeds": arguments.seeds, "lambda": arguments.lambda_, "rounds": arguments.rounds, **figures}))


if __name__ == "__main__":
    main()

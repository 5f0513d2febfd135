"""The loop on real pools: features and MOS of YouTube-UGC, KoNViD-1k and LIVE-VQC, each the target of each other.

    python benchmarks/real_domains.py [--seeds 20] [--first-seed 0] [--data ../shared/data/videval]

Departs from a real study in one thing: the features were computed by others (VIDEVAL), so nothing is decoded. Each seed
draws the source's and the target's test parts (20%) anew. Content distance is Euclidean on the standardised features,
one "frame" a video. Every rule spends 5% of the target's pool, random selection and facility location also 2.5, 10 and
20%; on the same labels f is fine-tuned three times: by the Gaussian process over both domains, by ranking with 0.8 of
the weight on new pairs, and by ranking with half of it ("ranking"), as it was before there was the process.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
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
from mdsvqa.evaluation.coverage import label_intervals
from mdsvqa.models.settings import FinetuningSettings
from mdsvqa.models.statistical.kernel_model import KernelModel, fit_statistical
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.selection.catalogue import BASE, EVERYTHING, rule_named
from mdsvqa.selection.catalogue import RULES as EVERY_RULE
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.select import select
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels
from mdsvqa.study.data import StudyData
from mdsvqa.study.failure_predictors import FromFeatures
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.videos.video import Split, Video

Floats = NDArray[np.float64]
RANDOM, COVERING = "random", "facility-location"
RULES = (RANDOM, *(rule for rule in EVERY_RULE if rule != RANDOM))
NAMES = {"youtube_ugc": "YouTube-UGC", "konvid_1k": "KoNViD-1k", "live_vqc": "LIVE-VQC"}
DIRECTIONS = tuple(permutations(NAMES, 2))
TEST_SHARE = 0.2
BUDGET, OTHER_BUDGETS = 0.05, (0.025, 0.1, 0.2)
METHODS = {
    "two-domain-gp": FinetuningSettings(),
    "ranking 0.8": FinetuningSettings(method="ranking"),
    "ranking": FinetuningSettings(method="ranking", target_weight=0.5),
}
GP, TODAY = "two-domain-gp", "ranking"


@dataclass(frozen=True)
class Reached:
    """What f reached after one rule's choice, learned by one method.

    Attributes:
        budget: share of the pool; 1 for everything, 0 for no new label.
        target, source: SRCC on the test parts.
        covered: share of target test videos in the 90% interval; NaN where the method knows no uncertainty.
    """

    direction: tuple[str, str]
    seed: int
    rule: str
    method: str
    budget: float
    target: float
    source: float
    covered: float = float("nan")


def load(data: Path, name: str, prefix: str = "videval_") -> tuple[list[str], Floats, Floats]:
    """Ids, features (n, 60 of VIDEVAL or 36 of BRISQUE) and MOS (n,) of one data set."""
    table = read_columns(data / f"{name}.csv")
    columns = [column for column in table.cells if column.startswith(prefix)]
    return table.ids(), np.stack([table.numbers(column) for column in columns], axis=1), table.numbers("mos")


def divided(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A random 80% and the rest, as indices."""
    order = rng.permutation(n)
    cut = round((1 - TEST_SHARE) * n)
    return order[:cut], order[cut:]


def study(data: Path, source: str, target: str, seed: int) -> StudyData:
    """The study of one direction and seed: source and target, each with its test part."""
    rng = np.random.default_rng(seed)
    _, there, mos = load(data, source)
    ids, here, new_mos = load(data, target)
    train, held_out = divided(len(there), rng)
    pool, test = divided(len(here), rng)
    parts: list[tuple[str, Split, Floats, NDArray[np.int64]]] = [
        ("old", "train", mos, train),
        ("old", "test", mos, held_out),
        ("new", "pool", new_mos, pool),
        ("new", "test", new_mos, test),
    ]
    videos = [
        Video(ids[i] if name == "new" else f"old/{i}", None, name, split, float(values[i]))
        for name, split, values, index in parts
        for i in index
    ]
    features = np.concatenate([there[train], there[held_out], here[pool], here[test]])
    return StudyData.of_videos(videos, features, Content.stack([np.zeros((1, 1))] * len(videos)))


def one_seed(
    job: tuple[str, int],
    data: Path,
    config: StudyConfig,
    rules: Sequence[str],
    budgets: Sequence[float] = OTHER_BUDGETS,
    methods: Sequence[str] = tuple(METHODS),
) -> list[Reached]:
    """Everything of one source and seed, on all targets: f is trained once."""
    source, seed = job
    base: KernelModel | None = None
    found = []
    for target in NAMES:
        if target != source:
            there = study(data, source, target, seed)
            base = base or fit_statistical(there.labeled_source(), seed=seed)
            found += one_target((source, target), seed, there, base, config, rules, budgets, methods)
    return found


def one_target(
    direction: tuple[str, str],
    seed: int,
    there: StudyData,
    base: KernelModel,
    config: StudyConfig,
    rules: Sequence[str],
    budgets: Sequence[float],
    methods: Sequence[str],
) -> list[Reached]:
    """Every rule and method, and the bounds."""
    mos, pool = there.mos(there.target_test), there.pool
    tests = {"target": (there.target_test, mos), "source": (there.source_test, there.mos(there.source_test))}
    fs = {name: StatisticalModel.start(base, there.labeled_source(), METHODS[name]) for name in methods}

    def measured(model: KernelModel, rule: str, method: str, budget: float, labeled: NDArray[np.int64]) -> Reached:
        on = {side: srcc(model.predict(there.features[index]), truth) for side, (index, truth) in tests.items()}
        reached = Reached(direction, seed, rule, method, budget, on["target"], on["source"])
        if model.uncertainty is None:
            return reached
        known = there.features[labeled]
        intervals = label_intervals(
            model.predict(there.features[there.target_test]),
            model.spread(there.features[there.target_test]),
            model.predict(known),
            there.mos(labeled),
            model.uncertainty.unit,
        )
        return replace(reached, covered=intervals.coverage(mos))

    def learned(rule: str, budget: float, labeled: NDArray[np.int64]) -> list[Reached]:
        labels = NewLabels(labeled, there.mos(labeled))
        models = {name: f.finetuned(there, labels, 1, seed).model for name, f in fs.items()}
        return [measured(model, rule, name, budget, labeled) for name, model in models.items()]

    g = FromFeatures(config.difficulty)
    difficulty = g.every([rule_named(rule) for rule in rules], fs[GP], there, pool, seed)
    content = there.space("quality", pool)
    found = [measured(base, BASE, name, 0.0, pool) for name in methods]
    for rule in rules:
        for budget in (BUDGET, *(budgets if rule in (RANDOM, COVERING) else ())):
            settings = config.selection.model_copy(update={"rule": rule})
            hard = difficulty.get(rule_named(rule).difficulty, np.zeros(len(pool)))
            picks = select(there.ids(pool), hard, content, round(budget * len(pool)), settings, seed=seed)
            found += learned(rule, budget, pool[[pick.index for pick in picks]])
    return [*found, *learned(EVERYTHING, 1.0, pool)]


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean and its 95% bootstrap interval over the seeds that have a value; NaN where none has."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return (float("nan"),) * 3
    drawn = np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


class Results:
    """Target SRCC by rule, method and budget, each of shape (directions, seeds)."""

    def __init__(self, found: Sequence[Reached]) -> None:
        self.directions = list(dict.fromkeys(each.direction for each in found))
        seeds = sorted({each.seed for each in found})
        shape = (len(self.directions), len(seeds))
        self.of: dict[str, dict[tuple[str, str, float], Floats]] = {
            side: defaultdict(lambda: np.full(shape, np.nan)) for side in ("target", "source", "covered")
        }
        for each in found:
            place = self.directions.index(each.direction), seeds.index(each.seed)
            for side, table in self.of.items():
                table[each.rule, each.method, each.budget][place] = getattr(each, side)

    def target(self, rule: str, method: str, budget: float = BUDGET) -> Floats:
        """Shape (directions, seeds)."""
        return self.of["target"][rule, method, budget]

    def gain(self, one: tuple[str, str], other: tuple[str, str], budget: float = BUDGET) -> tuple[float, float, float]:
        """Mean over directions of the difference of two (rule, method), with its interval over seeds."""
        return interval((self.target(*one, budget) - self.target(*other, budget)).mean(0))


def figures(results: Results, rules: Sequence[str]) -> dict[str, float | list[float]]:
    """What the benchmark is about, for machines."""
    on_random = results.gain((RANDOM, GP), (RANDOM, TODAY))
    on_covering = results.gain((COVERING, GP), (COVERING, TODAY))
    combined = results.target(COVERING, GP) - results.target(RANDOM, TODAY)
    both = interval(combined.mean(0))
    covered = results.of["covered"][COVERING, GP, BUDGET]
    found: dict[str, float | list[float]] = {
        "gp_over_ranking_random": on_random[0],
        "gp_over_ranking_random_low": on_random[1],
        "gp_over_ranking_facility": on_covering[0],
        "gp_over_ranking_facility_low": on_covering[1],
        "combined_gain": both[0],
        "combined_low": both[1],
        "combined_directions_above_zero": int((combined.mean(1) > 0).sum()),
        "combined_directions_beyond_doubt": int(sum(interval(row)[1] > 0 for row in combined)),
        "everything_srcc": float(np.nanmean(results.target(EVERYTHING, GP, 1.0))),
        "everything_srcc_ranking": float(np.nanmean(results.target(EVERYTHING, TODAY, 1.0))),
        "interval_coverage": float(covered.mean()),
        "interval_coverage_by_direction": [round(float(row.mean()), 3) for row in covered],
        "source_srcc_base": float(results.of["source"][BASE, GP, 0.0].mean()),
        **{f"source_srcc_{m}": float(np.nanmean(results.of["source"][COVERING, m, BUDGET])) for m in METHODS},
    }
    for rule in rules:
        found |= {f"{rule}_over_random_{m}": results.gain((rule, m), (RANDOM, m))[0] for m in (GP, TODAY)}
    for budget in (BUDGET, *OTHER_BUDGETS):
        found[f"facility_over_random_at_{budget:g}"] = results.gain((COVERING, GP), (RANDOM, GP), budget)[0]
        found[f"gp_over_ranking_random_at_{budget:g}"] = results.gain((RANDOM, GP), (RANDOM, TODAY), budget)[0]
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}
    return {name.replace("-", "_").replace(" ", "_"): value for name, value in rounded.items()}


def show(results: Results, rules: Sequence[str], seeds: int, console: Console) -> None:
    """Rules by method; facility location and methods by direction; budgets."""
    table = Table(
        "rule", *METHODS, "against random", "facility location", title=f"Mean of the directions, {seeds} seeds"
    )
    for rule, budget in ((BASE, 0.0), *((rule, BUDGET) for rule in rules), (EVERYTHING, 1.0)):
        cells = [f"{np.nanmean(results.target(rule, method, budget)):.3f}" for method in METHODS]
        inside = budget == BUDGET
        against = [said(results.gain((rule, GP), (other, GP))) if inside else "" for other in (RANDOM, COVERING)]
        table.add_row(rule, *cells, *against)
    console.print(table)
    table = Table("direction", "random, ranking", "facility, ranking", "random, GP", "facility, GP", "gain", "covered")
    for row, (source, target) in enumerate(results.directions):
        four = ((RANDOM, TODAY), (COVERING, TODAY), (RANDOM, GP), (COVERING, GP))
        cells = [f"{results.target(*pair)[row].mean():.3f}" for pair in four]
        gain = said(interval((results.target(*four[3]) - results.target(*four[0]))[row]))
        covered = results.of["covered"][COVERING, GP, BUDGET][row].mean()
        table.add_row(f"{NAMES[source]} to {NAMES[target]}", *cells, gain, f"{covered:.0%}")
    console.print(table)
    table = Table(
        "labels", "GP - ranking, random", "GP - ranking, facility", "facility - random, GP", "the same, ranking"
    )
    for budget in sorted((BUDGET, *OTHER_BUDGETS)):
        pairs = [((r, GP), (r, TODAY)) for r in (RANDOM, COVERING)] + [
            ((COVERING, m), (RANDOM, m)) for m in (GP, TODAY)
        ]
        table.add_row(f"{budget:.1%}", *(said(results.gain(*pair, budget)) for pair in pairs))
    console.print(table)


def said(gain: tuple[float, float, float]) -> str:
    return f"{gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}]"


def kept(path: Path | None) -> list[Reached]:
    """What an earlier run wrote."""
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Reached(**{**row, "direction": tuple(row["direction"])}) for row in rows]


def crashed(job: tuple[str, int]) -> list[Reached]:
    raise RuntimeError(f"the worker of {job} died")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/videval"))
    parser.add_argument("--lambda", dest="lambda_", type=float, default=SelectionSettings().lambda_)
    parser.add_argument("--scale", default=SelectionSettings().scale, choices=("standard", "rank", "raw"))
    parser.add_argument("--predictor", default=DifficultySettings().predictor, choices=("auto", *PREDICTORS))
    parser.add_argument("--error", default=DifficultySettings().error, choices=get_args(ErrorName))
    parser.add_argument("--rules", nargs="+", default=RULES, choices=RULES, help=f"{RANDOM} and {COVERING} in any case")
    parser.add_argument("--short", action="store_true", help="two rules, two methods, 5%%: what is claimed and no more")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="JSONL of what is done: a run that was killed goes on")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc.csv and the others by --data")
    config = StudyConfig(
        videos=Path(),
        difficulty=DifficultySettings(predictor=arguments.predictor, error=arguments.error),
        selection=SelectionSettings(lambda_=arguments.lambda_, scale=arguments.scale),
    )
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rules = list(dict.fromkeys([RANDOM, COVERING, *arguments.rules]))
    found = kept(arguments.keep)
    there = {(each.direction[0], each.seed) for each in found}
    jobs = [job for seed in seeds for source in NAMES if (job := (source, seed)) not in there]
    run = partial(one_seed, data=arguments.data, config=config, rules=rules)
    if arguments.short:
        run = partial(run, rules=[RANDOM, COVERING], budgets=(), methods=(GP, TODAY))
    done = map_in_workers(run, jobs, arguments.workers, crashed=crashed)
    for reached in track(done, "seeds", total=len(jobs), console=Console(stderr=True)):
        found += reached
        if arguments.keep is not None:
            with arguments.keep.open("a") as file:
                file.writelines(json.dumps(vars(each)) + "\n" for each in reached)
    results = Results([each for each in found if each.seed in seeds])
    show(results, rules, arguments.seeds, Console(width=150))
    print(json.dumps({"first_seed": arguments.first_seed, "seeds": arguments.seeds, **figures(results, rules)}))


if __name__ == "__main__":
    main()

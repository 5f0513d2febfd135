"""Does a failure predictor of the embedded model transfer? SRCC with its true errors on another data set.

    python benchmarks/failure_transfer.py [--seeds 3] [--data ../shared/data/videval]

YouTube-UGC and KoNViD-1k, VIDEVAL features, each the other's target. The regression is fitted to a random 80% of the
source; g learns from its cross-fitted errors, and is measured on the whole target. Departs from a study in one thing:
the regression's cost and width are fixed (10, 0.1 / features) instead of searched for.
"""

import argparse
import json
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.difficulty.catalogue import BASELINES, PREDICTORS
from mdsvqa.difficulty.choice import best_predictor, cross_validate
from mdsvqa.difficulty.errors import measured_errors
from mdsvqa.difficulty.prediction import refitted_source
from mdsvqa.difficulty.settings import DifficultySettings, ErrorName
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.statistical.kernel_model import LabeledFeatures, fit_statistical
from real_domains import NAMES, divided, load

KINDS: tuple[ErrorName, ...] = ("raw", "calibrated")
COST, WIDTH = 10.0, 0.1


def refit(data: LabeledFeatures, seed: int) -> "partial[NDArray[np.float64]]":
    """f, trained anew."""
    return partial(fit_statistical(data, cost=COST, gamma=WIDTH / data.features.shape[1], seed=seed).predict)


def one_seed(data: Path, source_name: str, target_name: str, seed: int) -> tuple[dict[str, list[float]], str]:
    """SRCC of each predictor and rule with the target's errors of each kind, and what would be chosen."""
    _, features, mos = load(data, source_name)
    _, target, target_mos = load(data, target_name)
    known, _ = divided(len(mos), np.random.default_rng(seed))
    labeled = LabeledFeatures(features[known], mos[known], np.zeros(len(known), np.int64), np.zeros(len(known), bool))
    settings = DifficultySettings(error="raw")
    score = refit(labeled, seed)(target)
    source, pool = refitted_source(labeled, target, score, partial(refit, seed=seed), settings, seed)
    one_study = np.zeros(len(target), np.int64)
    errors = [measured_errors(kind, score, target_mos, one_study) for kind in KINDS]
    found = {}
    for name, rule in {**PREDICTORS, **BASELINES}.items():
        difficulty = rule.predict(source, pool, settings, seed)
        found[name] = [srcc(difficulty, error) for error in errors]
    return found, best_predictor(cross_validate(source, settings, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/videval"))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc.csv and konvid_1k.csv by --data")
    torch.set_num_threads(1)
    threadpool_limits(1)
    figures: dict[str, object] = {"seeds": arguments.seeds}
    for source, target in (("youtube_ugc", "konvid_1k"), ("konvid_1k", "youtube_ugc")):
        results: dict[str, list[list[float]]] = defaultdict(list)
        chosen = []
        for seed in track(range(arguments.seeds), source, console=Console(stderr=True)):
            found, choice = one_seed(arguments.data, source, target, seed)
            chosen.append(choice)
            for name, values in found.items():
                results[name].append(values)
        table = Table("predictor", *(f"{kind} errors" for kind in KINDS), title=f"{NAMES[source]} to {NAMES[target]}")
        for name, rows in results.items():
            mean = np.mean(rows, axis=0)
            table.add_row(name, *(f"{value:.3f}" for value in mean))
            figures[f"{source}_to_{target}_{name.replace('-', '_')}_raw_srcc"] = round(float(mean[0]), 4)
        Console(width=110).print(table)
        figures[f"{source}_to_{target}_chosen"] = chosen
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""Which rule serves a vision-language model that is itself fine-tuned? Rules x seeds x fine-tunings, on a GPU.

    python benchmarks/vlm_rules.py MANIFEST --model hollow404/VQR1-7B-YouTubeUGC --folder runs/
    python benchmarks/vlm_rules.py --folder build/vlm-rules      # a tiny model on simulated videos, on the CPU

MANIFEST is a study's: the source (split train, and test), and a target whose pool (split pool) and test part (split
test) have MOS. The base model is read once. Then every rule chooses its share of the pool, an adapter learns from it
for each target weight (the share of newly labeled pairs in what it learns from), and target and source SRCC are
measured, over seeds that each offer another 80% of the pool. Everything is kept in the folder: a run that is killed, or
asked for more seeds, goes on. With R rules, S seeds and W weights that is R x S x W fine-tunings.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.settings import ContentSettings, FinetuningSettings, QualitySettings, VlmSettings
from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.progress import Show, terminal
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.catalogue import label_of, rule_named
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import ComparisonSettings, StudyConfig
from mdsvqa.study.data import StudyData, gather
from mdsvqa.study.demo import make_demo_vlm
from mdsvqa.study.failure_predictors import failure_predictor
from mdsvqa.study.kept import Tables
from mdsvqa.study.participants.checkpoint import CheckpointModel
from mdsvqa.study.result import RuleRun
from mdsvqa.study.rule_comparison import check_comparison, compare_rules
from mdsvqa.videos.simulated.corpus import make_corpus

Floats = NDArray[np.float64]
RANDOM = "random"
# Of the tiny model, whose 0.6 million weights want another pace than 7 billion.
TINY = {"learning_rate": 5e-4, "steps": 60, "evaluations": 6}


def compared(config: StudyConfig, weights: list[float], show: Show) -> tuple[StudyData, dict[float, list[RuleRun]]]:
    """The study's videos, and the runs of every rule and seed by target weight."""
    run = Run(config.out, show, cores(config.workers))
    f = CheckpointModel(config, run)
    data = gather(config, run)
    check_comparison(config, data)
    data = data.only(np.isfinite(f.scores(data).score), "the quality model gave no score")
    pool, g = data.pool_arrays(config), failure_predictor(config.difficulty)
    mds = rule_named("mds")
    difficulty = Tables(config, data, pool, run).difficulty(
        1, mds, f, partial(g, mds, f, data, pool.index, config.seed)
    )
    found = {}
    for weight in weights:
        vlm = config.finetuning.vlm.model_copy(update={"target_weight": weight})
        weighed = config.model_copy(update={"finetuning": config.finetuning.model_copy(update={"vlm": vlm})})
        # The base model's scores are one and the same; what is trained has a folder of its own.
        place = run.within(f"target-weight-{weight:g}")
        found[weight] = compare_rules(weighed, data, pool, CheckpointModel(weighed, run), difficulty, place)
    return data, found


def reached(data: StudyData, runs: list[RuleRun], rule: str) -> Floats:
    """Target and source SRCC of a rule by seed, shape (2, seeds)."""
    own = [run for run in runs if run.rule == rule]
    sides = ((data.target_test, "target_scores"), (data.source_test, "source_scores"))
    return np.array([[_srcc(data, index, getattr(run, name)) for run in own] for index, name in sides])


def _srcc(data: StudyData, index: Ints, scores: Floats) -> float:
    known = np.isfinite(scores)
    return srcc_within(scores[known], data.mos(index)[known], data.dataset[index][known]) if known.any() else np.nan


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean and its 95% bootstrap interval over seeds."""
    drawn = np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def tiny(folder: Path, seed: int, show: Show, sizes: dict[str, int]) -> tuple[Path, Path]:
    """A corpus and a tiny model that has learned its source: made, or found in the folder."""
    drawing = partial(show.progress, "Writing simulated videos")
    manifest = make_corpus(
        folder / "corpus", seed=seed, **sizes, seconds=(2.0, 2.4), workers=cores(0), progress=drawing
    )
    model = folder / "tiny-vlm"
    if not (model / "config.json").is_file():
        make_demo_vlm(model, manifest, show, seed=seed, workers=cores(0))
    return manifest, model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="?", help="without one: simulated videos and a tiny model")
    parser.add_argument("--model", help="checkpoint: a folder or a Hub name")
    parser.add_argument("--adapter", help="PEFT adapter of the base model")
    parser.add_argument("--folder", type=Path, default=Path("build/vlm-rules"), help="for all results")
    parser.add_argument("--rules", nargs="+", default=["facility-location", "difficulty-facility", "mds"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--weights", nargs="+", type=float, default=[0.5, 0.8])
    parser.add_argument("--budget", default="5%")
    parser.add_argument("--encoder", default="handcrafted", help="of content; a CLIP or SigLIP checkpoint is better")
    parser.add_argument("--steps", type=int, help="of each fine-tuning, in place of ten epochs")
    parser.add_argument("--videos", nargs=3, type=int, default=(300, 400, 150), help="simulated: source, pool, test")
    arguments = parser.parse_args()
    if (arguments.manifest is None) != (arguments.model is None):
        parser.error("a manifest goes with --model, and simulated videos go with neither")
    with terminal() as show:
        manifest, model = arguments.manifest, arguments.model
        training: dict[str, object] = {} if arguments.steps is None else {"steps": arguments.steps}
        if manifest is None:
            sizes = dict(zip(("source", "pool", "test"), arguments.videos, strict=True))
            manifest, model = tiny(arguments.folder, 0, show, sizes)
            training = TINY | training
        config = StudyConfig(
            videos=manifest,
            out=arguments.folder / "study",
            quality=QualitySettings(model=str(model), vlm=VlmSettings(reading="expected", adapter=arguments.adapter)),
            content=ContentSettings(encoder=arguments.encoder),
            selection=SelectionSettings(budget=arguments.budget),
            finetuning=FinetuningSettings.model_validate({"vlm": training}),
            comparison=ComparisonSettings(rules=tuple(arguments.rules), seeds=arguments.seeds),
        )
        data, runs = compared(config, arguments.weights, show)
    figures: dict[str, object] = {"seeds": arguments.seeds, "model": str(model), "budget": arguments.budget}
    table = Table("target weight", "rule", "target SRCC", "against random", "source SRCC")
    for weight, of_weight in runs.items():
        yardstick = reached(data, of_weight, RANDOM)[0]
        for rule in dict.fromkeys(run.rule for run in of_weight):
            target, source = reached(data, of_weight, rule)
            gain = interval(target - yardstick)
            against = "" if rule == RANDOM else f"{gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}]"
            table.add_row(f"{weight:g}", label_of(rule), f"{target.mean():.3f}", against, f"{source.mean():.3f}")
            name = f"{rule.replace('-', '_')}_at_{weight:g}"
            figures |= {f"{name}_srcc": round(float(target.mean()), 4), f"{name}_gain": round(gain[0], 4)}
    Console(width=110).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

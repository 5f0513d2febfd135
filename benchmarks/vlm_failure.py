"""Does a tiny vision-language model learn to predict its own failures, better than rules that learn nothing?

    python benchmarks/vlm_failure.py [--seeds 0 1 2] [--folder build/vlm-failure] [--steps 250]

For each seed: 700 simulated videos of the source domain; f is a tiny Qwen2.5-VL taught on the first half of the
training videos; g is an adapter on f that learns from f's errors |f - MOS| on all of the training videos, once by the
fidelity loss on the expected answer, once by the published REINFORCE in the same time. Both, and every rule of
comparison, predict f's errors on the 140 held-out videos. f cannot be refitted ten times, so the committee and the
distance are those of the statistical model's features.

SRCC with f's true errors; its standard error is 0.085. All is kept in the folder, and a rerun goes on.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.cli.printing.study import progress
from mdsvqa.difficulty.catalogue import BASELINES
from mdsvqa.difficulty.prediction import refitted_source
from mdsvqa.difficulty.settings import DifficultySettings, FailureTraining
from mdsvqa.difficulty.vlm.predict import instability_of_vlm, predict_with_vlm
from mdsvqa.difficulty.vlm.train import train_failure_predictor
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.settings import FinetuningSettings, VlmSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.models.statistical.finetune import train
from mdsvqa.models.statistical.kernel_model import LabeledFeatures, fit_statistical
from mdsvqa.models.vlm.load import score_with_vlm
from mdsvqa.models.vlm.tiny.making import make_tiny_vlm
from mdsvqa.models.vlm.tiny.training import TinyTraining
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.simulated.corpus import make_corpus
from mdsvqa.videos.video import Video

Floats = NDArray[np.float64]
VIDEOS, TINY_STEPS, FRAMES = 700, 110, 24
SETTINGS = DifficultySettings(error="raw")
# For a model of 0.6 million weights that was never asked the question.
TRAINING = FailureTraining(
    error="raw", learning_rate=3e-4, warmup=0.2, batch_size=32, evaluations=10, patience=10, format_weight=0.1
)
# Steps of REINFORCE by which its time a step is measured.
TIMED = 6


def figures_of(seed: int, folder: Path, steps: int, show: Show) -> dict[str, Any]:
    """SRCC with f's errors on held-out videos, by predictor and rule, and seconds of training."""
    workers = cores(0)
    drawing = partial(show.progress, "Writing simulated videos")
    sizes = {"source": VIDEOS, "pool": 0, "test": 0}
    manifest = make_corpus(folder / "corpus", seed=seed, **sizes, seconds=(2.0, 2.4), workers=workers, progress=drawing)
    videos = load_videos(manifest)
    learned = [video for video in videos if video.split == "train"]
    held_out = [video for video in videos if video.split == "test"]
    model = folder / "f"
    if not (model / "config.json").is_file():
        half = learned[: len(learned) // 2]
        make_tiny_vlm(model, half, held_out, TinyTraining(steps=TINY_STEPS, seed=seed), workers, show)
    f = VlmSettings(reading="expected")
    table = score_with_vlm(videos, str(model), f, Run(folder / "scores", show, workers))
    scores = dict(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True))
    difficulties = rules_of(learned, held_out, scores, folder, model, seed, workers, show)
    training = TRAINING.model_copy(update={"steps": steps, "seed": seed})
    seconds: dict[str, float] = {}
    for objective in ("fidelity", "reinforce"):
        if objective == "reinforce":
            training = training.model_copy(update={"objective": "reinforce", "steps": TIMED, "evaluations": 1})
            log = train_failure_predictor(
                learned, scores, str(model), f, training, Run(folder / "timing", show, workers, overwrite=True)
            )
            allowed = seconds["fidelity"] / log[-1]["seconds"]
            training = training.model_copy(update={"steps": round(allowed), "evaluations": TRAINING.evaluations})
        out = folder / objective
        log = train_failure_predictor(learned, scores, str(model), f, training, Run(out, show, workers, overwrite=True))
        # Of the steps, without the evaluations.
        every = np.diff([line["step"] for line in log])
        seconds[objective] = float(sum(n * line["seconds"] for n, line in zip(every, log[1:], strict=True)))
        found = predict_with_vlm(
            held_out, str(model), str(out), f, Run(folder / f"by-{objective}", show, workers, overwrite=True)
        )
        difficulties[objective] = values_of(found.to_pylist(), "difficulty", held_out)
    score = np.array([scores[video.id] for video in held_out], np.float64)
    mos = np.array([video.mos for video in held_out], np.float64)
    errors = np.abs(score - mos)
    found = {name: agreement(values, errors) for name, values in difficulties.items()}
    return {"seed": seed, "f": srcc(score, mos), "srcc": found, "seconds": seconds}


def agreement(difficulty: Floats, errors: Floats) -> float:
    """SRCC where there is a difficulty; one that is constant predicts nothing."""
    given = np.isfinite(difficulty)
    return float(np.nan_to_num(srcc(difficulty[given], errors[given])))


def values_of(rows: Sequence[Mapping[str, Any]], column: str, videos: Sequence[Video]) -> Floats:
    """A column in the order of the videos, NaN where there is no value."""
    known = {row["id"]: row[column] for row in rows}
    return np.array([known.get(video.id) for video in videos], np.float64)


def labeled_features(videos: Sequence[Video], features: Mapping[str, Sequence[float]]) -> LabeledFeatures:
    """Videos of one data set as arrays."""
    none = np.zeros(len(videos), np.int64)
    rows = np.array([features[video.id] for video in videos], np.float64)
    return LabeledFeatures(rows, np.array([video.mos for video in videos], np.float64), none, none > 0)


def rules_of(
    learned: Sequence[Video],
    held_out: Sequence[Video],
    scores: Mapping[str, float],
    folder: Path,
    model: Path,
    seed: int,
    workers: int,
    show: Show,
) -> dict[str, Floats]:
    """Difficulty of the held-out videos by every rule."""
    extract_features([*learned, *held_out], FRAMES, Run(folder / "features", show, workers))
    features = dict(
        zip(*(read_table(folder / "features")[name].to_pylist() for name in ("id", "features")), strict=True)
    )
    labeled, others = (labeled_features(videos, features) for videos in (learned, held_out))
    kernel_model = fit_statistical(labeled, seed=seed)

    def refit(data: LabeledFeatures) -> Any:
        return train(kernel_model, data, FinetuningSettings(), seed).predict

    own = np.array([scores[video.id] for video in held_out], np.float64)
    source, pool = refitted_source(labeled, others.features, own, refit, SETTINGS, seed)
    found = {
        name: rule.predict(source, pool, SETTINGS, seed)
        for name, rule in BASELINES.items()
        if name != "noise-stability"
    }
    for name in ("mc-dropout", "noise-stability"):
        rated = instability_of_vlm(
            name, held_out, str(model), VlmSettings(), SETTINGS, Run(folder / name, show, workers, overwrite=True)
        )
        found[name] = values_of(rated.to_pylist(), "difficulty", held_out)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("build/vlm-failure"))
    parser.add_argument("--steps", type=int, default=250, help="of the fidelity training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    with progress() as show:
        results = [
            figures_of(seed, arguments.folder / f"seed-{seed}", arguments.steps, show) for seed in arguments.seeds
        ]
    rules = [name for name in results[0]["srcc"] if name not in ("fidelity", "reinforce")]
    table = Table("SRCC with f's errors", *(f"seed {result['seed']}" for result in results))
    for name in ("fidelity", "reinforce", *rules):
        table.add_row(name, *(f"{result['srcc'][name]:+.3f}" for result in results))
    Console().print(table)
    ahead = [all(result["srcc"]["fidelity"] > result["srcc"][rule] for rule in rules) for result in results]
    print(json.dumps({"fidelity_above_every_rule": sum(ahead), "seeds": len(results), "results": results}))


if __name__ == "__main__":
    main()

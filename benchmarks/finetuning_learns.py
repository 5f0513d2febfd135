"""Does active fine-tuning make a tiny vision-language model better on a new domain, and which objective does?

    python benchmarks/finetuning_learns.py [--seeds 0 1 2] [--folder build/finetuning-learns] [--labels 300]

For each seed: a tiny Qwen2.5-VL learns to rate 240 simulated videos of the source domain. Then it is fine-tuned on
these and on the labeled videos of a target domain: other content, other distortions, another scale. SRCC with MOS on
150 videos of the target and 60 of the source that nobody learned from, read as the expected score and as the parsed
answer of a generated reply; the share of replies that are well-formed. `grpo` gets the same videos and the same time.
Everything is kept in the folder; a rerun goes on.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.cli.printing.study import progress
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.finetune import finetune_vlm
from mdsvqa.models.vlm.load import score_with_vlm
from mdsvqa.models.vlm.tiny.making import make_tiny_vlm
from mdsvqa.models.vlm.tiny.training import TinyTraining
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.simulated.corpus import make_corpus
from mdsvqa.videos.video import Video

TINY_STEPS = 110
# For a model of 0.6 million weights; the defaults are for one of 7 billion.
TRAINING = VlmFinetuning(
    learning_rate=5e-4, steps=180, evaluations=6, patience=6, warmup=0.1, weight_decay=0.05, target_weight=0.7
)


def read_again(videos: Sequence[Video], folder: Path, base: Path, adapter: Path | None, show: Show) -> dict[str, float]:
    """SRCC by data set and reading, and the share of well-formed replies."""
    figures = {}
    for reading in ("expected", "generate"):
        settings = VlmSettings(reading=reading, adapter=str(adapter) if adapter else None, max_new_tokens=64)
        table = score_with_vlm(videos, str(base), settings, Run(folder / reading, show, cores(0)))
        rows = {row["id"]: row for row in table.to_pylist()}
        for name in ("source", "target"):
            some = [video for video in videos if name in video.dataset]
            values = np.array([rows[video.id]["score"] for video in some], np.float64)
            mos = np.array([video.mos for video in some], np.float64)
            given = np.isfinite(values)
            figures[f"{name} {reading}"] = srcc(values[given], mos[given])
        if reading == "generate":
            figures["formed"] = sum(row["status"] == "ok" for row in rows.values()) / len(rows)
    return figures


def figures_of(seed: int, folder: Path, labels: int, show: Show) -> dict[str, Any]:
    """Figures before fine-tuning and after each objective, and how long each took."""
    drawing = partial(show.progress, "Writing simulated videos")
    manifest = make_corpus(
        folder / "corpus", seed=seed, source=300, pool=300, test=150, seconds=(2.0, 2.4), progress=drawing
    )
    videos = load_videos(manifest)
    source = [video for video in videos if video.split == "train"]
    new = [video for video in videos if video.split == "pool"][:labels]
    test = [video for video in videos if video.split == "test"]
    base = folder / "base"
    if not (base / "config.json").is_file():
        seen = [video for video in test if "source" in video.dataset]
        make_tiny_vlm(base, source, seen, TinyTraining(steps=TINY_STEPS, seed=seed), cores(0), show)
    found: dict[str, Any] = {"seed": seed, "base": read_again(test, folder / "by-base", base, None, show)}
    training = TRAINING.model_copy(update={"seed": seed})
    seconds = 0.0
    for objective in ("fidelity", "grpo"):
        if objective == "grpo":
            training = training.model_copy(update={"objective": "grpo", "max_new_tokens": 48})
            timing = training.model_copy(update={"steps": 2, "evaluations": 1})
            course = finetune_vlm(
                source, new, [], str(base), VlmSettings(), timing, Run(folder / "timing", show, cores(0))
            )[0]
            steps = max(2, round(seconds / course.log[-1]["grpo_step_time"]))
            training = training.model_copy(update={"steps": steps})
        out = folder / objective
        course, _ = finetune_vlm(source, new, [], str(base), VlmSettings(), training, Run(out, show, cores(0)))
        if objective == "fidelity":
            every = np.diff([line["step"] for line in course.log])
            seconds = float(sum(n * line["seconds"] for n, line in zip(every, course.log[1:], strict=True)))
        after = read_again(test, folder / f"by-{objective}", base, out, show)
        found[objective] = {**after, "steps": course.log[-1]["step"], "best_step": course.best_step, "seconds": seconds}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("build/finetuning-learns"))
    parser.add_argument("--labels", type=int, default=300, help="of the target")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    with progress() as show:
        results = [
            figures_of(seed, arguments.folder / f"seed-{seed}", arguments.labels, show) for seed in arguments.seeds
        ]
    table = Table("SRCC", *(f"{r['seed']}: {when}" for r in results for when in ("base", "fidelity", "grpo")))
    for name in results[0]["base"]:
        table.add_row(name, *(f"{r[when][name]:.3f}" for r in results for when in ("base", "fidelity", "grpo")))
    Console(width=150).print(table)

    def change(objective: str, name: str) -> list[float]:
        return [r[objective][name] - r["base"][name] for r in results]

    print(
        json.dumps(
            {
                "fidelity_gain_mean": float(np.mean(change("fidelity", "target expected"))),
                "fidelity_gain_parsed_mean": float(np.mean(change("fidelity", "target generate"))),
                "fidelity_wellformed_min": min(r["fidelity"]["formed"] for r in results),
                "fidelity_source_drop_mean": -float(np.mean(change("fidelity", "source expected"))),
                "fidelity_seconds_max": max(r["fidelity"]["seconds"] for r in results),
                "grpo_gain_mean": float(np.mean(change("grpo", "target expected"))),
                "grpo_gain_parsed_mean": float(np.mean(change("grpo", "target generate"))),
                "grpo_wellformed_min": min(r["grpo"]["formed"] for r in results),
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()

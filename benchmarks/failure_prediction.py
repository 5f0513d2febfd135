"""Is failure predicted? The released failure scores, and predictors of a real VLM's real errors.

    python benchmarks/failure_prediction.py [--data ../shared/data] [--draws 500]

Two parts. The released failure scores of the paper's authors on YouTube-SFV SDR: what `mdsvqa difficulty evaluate`
makes of them. And YouTube-UGC: scores of the released VQR1-7B-YouTubeUGC, MOS, and VIDEVAL features of the same videos;
every predictor in ten-fold cross-validation, and with each category of content left out in turn.

No label of a held-out video is used: not by the predictor, not by the calibration inside it, and not by the calibration
that its own calibrated error is measured by, which is fitted to the other folds. f itself was trained by its authors on
the videos of their split `train`; the SRCC on the others stands in a column of its own.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.catalogue import BASELINES, PREDICTORS
from mdsvqa.difficulty.choice import Validated, best_predictor, cross_validate
from mdsvqa.difficulty.errors import place_scores
from mdsvqa.difficulty.settings import DifficultySettings, ErrorName
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.failure import FailureEvaluation, draw_subsets, evaluate_difficulty, subset_figures
from mdsvqa.runtime.user_tables import read_columns

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
FOLDS, CHOSEN = 10, 64
KINDS: tuple[ErrorName, ...] = ("raw", "calibrated")
# The VLM cannot be refitted here and reads no features: no committee, no noise stability.
COMPARED = ("lowest-score", "distance", "random")
# FINDINGS: value and, where it was recorded, the spread over draws.
RECORDED = {
    "pool_error": "0.42",
    "chosen_error": "1.41",
    "matched_error": "1.11",
    "lowest_error": "1.57",
    "pool_srcc": "0.665",
    "chosen_srcc": "0.28 +- 0.05",
    "matched_srcc": "0.22 +- 0.07",
    "lowest_srcc": "0.19",
}


@dataclass(frozen=True)
class Corpus:
    """YouTube-UGC: what f and raters said of each video.

    Attributes:
        videos: features of VIDEVAL and f's scores, n of them.
        mos: shape (n,), 1-5.
        unseen: f was not trained on it, shape (n,).
        category: integer code of its content, shape (n,).
    """

    videos: Unlabeled
    mos: Floats
    unseen: NDArray[np.bool_]
    category: Codes


def load(data: Path) -> Corpus:
    """The videos that have scores of f and features."""
    scored = read_columns(data / "youtube_ugc" / "videos.csv")
    described = read_columns(data / "videval" / "youtube_ugc.csv")
    place = {video: row for row, video in enumerate(described.ids())}
    kept = [row for row, video in enumerate(scored.ids()) if video in place]
    there = [place[scored.ids()[row]] for row in kept]
    names = [name for name in described.cells if name.startswith("videval_")]
    features = np.stack([described.numbers(name)[there] for name in names], axis=1)
    category = np.unique([str(described.column("category")[row]) for row in there], return_inverse=True)[1]
    return Corpus(
        Unlabeled.of(features, scored.numbers("base_score")[kept]),
        scored.numbers("mos")[kept],
        np.array([scored.column("split")[row] == "test" for row in kept]),
        category.astype(np.int64),
    )


def out_of_fold(corpus: Corpus, fold: Codes, kind: ErrorName, names: Sequence[str]) -> tuple[dict[str, Floats], Floats]:
    """Difficulty of each video by predictors that learned from the other folds, and its true error."""
    settings = DifficultySettings(error=kind)
    n = len(corpus.mos)
    one_study = np.zeros(n, np.int64)
    difficulty = {name: np.empty(n) for name in names}
    error = np.empty(n)
    for code in track(np.unique(fold), f"{kind} errors", console=Console(stderr=True)):
        known, held_out = np.flatnonzero(fold != code), np.flatnonzero(fold == code)
        videos = corpus.videos.take(held_out)
        source = KnownErrors.of(corpus.videos.take(known), corpus.mos[known], one_study[known], settings, seed=0)
        for name in names:
            difficulty[name][held_out] = {**PREDICTORS, **BASELINES}[name].predict(source, videos, settings, int(code))
        placed = place_scores(kind, videos.score, source.videos.score, source.mos, source.dataset)
        error[held_out] = np.abs(placed - corpus.mos[held_out])
    return difficulty, error


def within(groups: Codes, x: Floats, y: Floats) -> float:
    """SRCC within each group, averaged by size."""
    parts = [groups == code for code in np.unique(groups)]
    return float(np.average([srcc(x[part], y[part]) for part in parts], weights=[part.sum() for part in parts]))


def released(data: Path, draws: int) -> tuple[Table, FailureEvaluation]:
    """The released failure scores, measured."""
    table = read_columns(data / "youtube_sfv_sdr" / "pool.csv")
    score, mos, failure = (table.numbers(name) for name in ("base_score", "mos", "failure_score"))
    error = np.abs(score - mos)
    result = evaluate_difficulty(score, mos, error, failure, CHOSEN, draws=draws)
    everyone = [np.arange(len(score))] * draws
    subsets = draw_subsets(score, error, failure, CHOSEN, everyone, np.random.default_rng(1))
    spread = {name: float(np.nanstd(values)) for name, values in subset_figures(score, mos, error, subsets).items()}
    shown = Table("figure", "here, +- over draws", "95% over videos", "FINDINGS", title="Released failure scores")
    for name, interval in result.figures.items():
        over = f" +- {spread[name]:.2f}" if spread.get(name, 0) > 0 else ""
        between = f"{interval.low:.3f} to {interval.high:.3f}"
        shown.add_row(name, f"{interval.value:.3f}{over}", between, RECORDED.get(name, ""))
    return shown, result


def choices(corpus: Corpus) -> tuple[Table, dict[str, str]]:
    """What the predictor would be chosen by, on all videos."""
    shown = Table("predictor", *(f"{kind} errors" for kind in KINDS), title="SRCC on clusters left out: the choice")
    found: dict[str, list[Validated]] = {}
    for kind in KINDS:
        settings = DifficultySettings(error=kind)
        one_study = np.zeros(len(corpus.mos), np.int64)
        found[kind] = cross_validate(KnownErrors.of(corpus.videos, corpus.mos, one_study, settings, 0), settings, 0)
    for row, name in enumerate(PREDICTORS):
        shown.add_row(name, *(f"{found[kind][row].mean:.3f}" for kind in KINDS))
    return shown, {kind: best_predictor(found[kind]) for kind in KINDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--draws", type=int, default=500)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc, youtube_sfv_sdr and videval")
    torch.set_num_threads(1)
    threadpool_limits(1)
    console = Console(width=120)
    shown, on_released = released(arguments.data, arguments.draws)
    console.print(shown)
    corpus = load(arguments.data)
    n = len(corpus.mos)
    shown, chosen = choices(corpus)
    console.print(shown)
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    names = [*PREDICTORS, *COMPARED]
    figures: dict[str, float] = {}
    errors, predicted = {}, {}
    for kind in KINDS:
        predicted[kind], errors[kind] = out_of_fold(corpus, fold, kind, names)
        elsewhere, error_elsewhere = out_of_fold(corpus, corpus.category, kind, names)
        shown = Table("predictor", "SRCC", "f unseen", "partial", "lift over matched", "nearest", "category left out")
        shown.title = f"YouTube-UGC, {n} videos, {kind} errors"
        for name in names:
            d, e = predicted[kind][name], errors[kind]
            result = evaluate_difficulty(
                corpus.videos.score, corpus.mos, e, d, round(0.05 * n), draws=arguments.draws
            ).figures
            shown.add_row(
                name,
                f"{result['srcc']:.3f}",
                f"{srcc(d[corpus.unseen], e[corpus.unseen]):.3f}",
                f"{result['partial_srcc']:.2f}",
                f"{result['lift_over_matched']:.2f}",
                f"{result['lift_over_nearest']:.2f}",
                f"{within(corpus.category, elsewhere[name], error_elsewhere):.3f}",
            )
            if name == chosen[kind]:
                figures[f"{kind}_srcc"] = round(result["srcc"].value, 4)
                if kind == "raw":
                    figures["lift_over_matched"] = round(result["lift_over_matched"].value, 4)
        console.print(shown)
    cross = {
        f"learned_{learned}_measured_{kind}_srcc": round(srcc(predicted[learned][chosen[learned]], errors[kind]), 4)
        for learned in KINDS
        for kind in KINDS
    }
    on_pool = {f"released_{name}": round(value.value, 4) for name, value in on_released.figures.items()}
    print(json.dumps({**figures, "predictor": chosen, **cross, **on_pool}))


if __name__ == "__main__":
    main()

"""The commands `mdsvqa difficulty`: predict where f fails, and measure whether that was predicted."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import typer
from typer.core import TyperGroup

import mdsvqa
from mdsvqa.cli.options import (
    MANIFEST,
    SIGHT,
    TRAINING,
    VLM,
    WHERE,
    Limit,
    MirrorTo,
    Out,
    Overwrite,
    PartOf,
    Scale,
    Seed,
    Table,
    Videos,
    Workers,
    finish_table,
    print_course,
    with_settings,
    with_spool,
)
from mdsvqa.cli.plain import AsJson, choice, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.difficulty.catalogue import BASELINES, PREDICTORS
from mdsvqa.difficulty.held_out import LearnFrom, videos_to_learn_from
from mdsvqa.difficulty.settings import AUTO, DifficultySettings, ErrorName, FailureTraining
from mdsvqa.evaluation.score_tables import check_ids
from mdsvqa.models.open import kind_of
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.load import need_vlm_packages
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.ray_cluster import joined
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.runtime.words import counted
from mdsvqa.runtime.workers import cores
from mdsvqa.videos.files import check_files
from mdsvqa.videos.manifest import read_videos
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.settings import ManifestSettings
from mdsvqa.videos.video import Video

# Of a vision-language model's score; the second one has a form for features too.
VLM_RULES = ("mc-dropout", "noise-stability")
EVERY_RULE = ("mc-dropout", *BASELINES)
MACHINE = ("device", "dtype", "attention")


class PredictByDefault(TyperGroup):
    """`mdsvqa difficulty VIDEOS ...` is `mdsvqa difficulty predict VIDEOS ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the default in front where the first argument names no command and asks for no help."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["predict", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=PredictByDefault,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predict where f will be wrong (g), and measure how well that was predicted.\n\n"
    "[bold]mdsvqa difficulty VIDEOS --scores SCORES --out OUT[/bold] is short for "
    "[bold]mdsvqa difficulty predict[/bold] with the same arguments.",
)


@app.command()
@with_spool
@with_settings("manifest", ManifestSettings, panel=MANIFEST)
@with_settings("settings", DifficultySettings, only=("predictor", "error", "passes"))
@with_settings("vlm", VlmSettings, only=("base_adapter", *SIGHT, "max_pixels", "batch_tokens", *MACHINE), panel=VLM)
@with_settings("engine", EngineSettings, panel=WHERE)
def predict(
    videos: Videos,
    out: Out,
    settings: DifficultySettings,
    vlm: VlmSettings,
    manifest: ManifestSettings,
    engine: EngineSettings,
    scores: Annotated[
        Path | None,
        typer.Option(help="Read the scores of these videos, as `mdsvqa score` wrote them; not needed with --adapter."),
    ] = None,
    features: Annotated[Path | None, typer.Option(help="Read these features; by default SCORES/_features.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Name f: the statistical model behind the scores (SCORES/_model.safetensors if it is there), or a "
            "vision-language checkpoint, for --adapter and for the rules mc-dropout and noise-stability.",
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            "-a",
            help="Ask g, a PEFT adapter on --model as `mdsvqa difficulty train` makes one: a folder or a Hub name.",
            rich_help_panel=VLM,
        ),
    ] = None,
    predictor: Annotated[str, typer.Option(help=f"Predict by {AUTO}, {', '.join(PREDICTORS)}.")] = AUTO,
    rule: Annotated[
        str | None, typer.Option(help=f"Rank by this in place of g, for comparison: {', '.join(EVERY_RULE)}.")
    ] = None,
    mos_scale: Scale = "1-5",
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 0,
    part: PartOf = None,
    mirror: MirrorTo = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Predict where f will be wrong: train g on its errors on labeled videos, apply it to the pool.

    Which predictor was used, and how every candidate did in cross-validation, is in OUT/_predictor.json.
    """
    if rule is not None and rule not in EVERY_RULE:
        raise InputError(f"--rule: there is no rule {rule!r}; expected one of {', '.join(EVERY_RULE)}.")
    choice("--predictor", predictor, (AUTO, *PREDICTORS))
    listed = read_videos(videos, mos_scale, manifest, terminal.say)[:limit]
    if model is not None and kind_of(model) == "checkpoint" and (adapter is not None or rule in VLM_RULES):
        seen = vlm.model_copy(update={"seed": seed})
        # The pool, where the manifest says which videos that is.
        pool = in_role(listed, "pool") or listed
        with terminal.progress() as show:
            run = Run(out, show, cores(workers), overwrite, engine)
            run = run.parted(part, [video.id for video in pool]).mirrored(mirror)
            check_files(videos, run.share(pool), show)
            with joined(engine):
                table = _by_vlm(run.share(pool), model, adapter, rule, seen, settings, run)
            run.end()
        finish_table("rated", [{**row, "text": None} for row in table], run.out, False, as_json)
        return
    if part is not None or mirror is not None or engine.name != "local":
        raise InputError(
            "--part, --mirror and --engine: go with a vision-language model; what reads tables takes minutes at most."
        )
    if adapter is not None or rule == "mc-dropout":
        what = "--adapter" if adapter is not None else f"--rule {rule}"
        raise InputError(f"{what}: goes with --model, a vision-language checkpoint (a folder or a Hub name).")
    if scores is None:
        raise InputError("--scores: name the table of f's scores, as `mdsvqa score` wrote it.")
    options: dict[str, Any] = {
        "features": features,
        "settings": settings,
        "rule": rule,
        "seed": seed,
        "overwrite": overwrite,
    }
    with terminal.progress() as show:
        rated = mdsvqa.predict_difficulty(model, listed, scores, out=out, show=show, **options)
    finish_table("rated", rated.rows(), out, False, as_json)


def _by_vlm(
    pool: Sequence[Video],
    model: str,
    adapter: str | None,
    rule: str | None,
    vlm: VlmSettings,
    settings: DifficultySettings,
    run: Run,
) -> list[dict[str, Any]]:
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.difficulty.vlm.predict import instability_of_vlm, predict_with_vlm

    if adapter is not None:
        table = predict_with_vlm(pool, model, adapter, vlm, run)
    else:
        assert rule is not None
        table = instability_of_vlm(rule, pool, model, vlm, settings, run)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@app.command()
@with_spool
@with_settings("manifest", ManifestSettings, panel=MANIFEST)
@with_settings("training", FailureTraining, without=("batch_tokens",), panel=TRAINING)
@with_settings("vlm", VlmSettings, only=("base_adapter", *SIGHT, *MACHINE), panel=VLM)
def train(
    videos: Videos,
    scores: Annotated[Path, typer.Option(help="Read f's scores of these videos, as `mdsvqa score` wrote them.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name f: a vision-language checkpoint, a folder or a Hub name.")
    ],
    out: Out,
    training: FailureTraining,
    vlm: VlmSettings,
    manifest: ManifestSettings,
    learn_from: Annotated[
        str,
        typer.Option(
            help="Learn from this split of the source: train, test, or auto, which is test where it has enough."
        ),
    ] = "auto",
    mos_scale: Scale = "1-5",
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a vision-language model to predict its own failures: an adapter on the frozen f.

    It learns on labeled videos to rank f's errors; a fifth of them says when to stop. A rerun goes on where a killed
    one stopped. OUT is a PEFT adapter with a model card; OUT/log.csv says how training went.
    """
    listed = read_videos(videos, mos_scale, manifest, terminal.say)[:limit]
    split: LearnFrom = choice("--learn-from", learn_from, get_args(LearnFrom))
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.difficulty.vlm.train import train_failure_predictor

    found = read_table(scores).select(["id", "score"]).to_pylist()
    known = {row["id"]: row["score"] for row in found if row["score"] is not None}
    match_ids(scores, list(known), [video.id for video in listed], str(videos))
    labeled, sentence = videos_to_learn_from(listed, DifficultySettings(), split)
    with terminal.progress() as show:
        show.note(sentence)
        check_files(videos, labeled, show)
        course = train_failure_predictor(
            labeled, known, model, vlm, training, Run(out, show, cores(workers), overwrite=overwrite)
        )
    print_course(course, out, as_json)


@app.command()
def evaluate(
    table: Table,
    mos: Annotated[str, typer.Option(help="Name the column of the MOS.")] = "mos",
    score: Annotated[str, typer.Option(help="Name the column of f's scores.")] = "score",
    difficulty: Annotated[
        str, typer.Option(help="Name the column of the difficulties; higher is harder.")
    ] = "difficulty",
    dataset: Annotated[
        str | None,
        typer.Option(help="Name the column of the data set, where there are several: errors stay within each."),
    ] = None,
    k: Annotated[str, typer.Option("--k", "-k", help="Choose so many videos: 64, or 5%.")] = "5%",
    error: Annotated[str, typer.Option(help=f"Measure this error: {', '.join(get_args(ErrorName))}.")] = "raw",
    draws: Annotated[int, typer.Option(min=2, help="Draw ties, controls and the bootstrap so often.")] = 500,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure whether failure was predicted, beside controls with the same scores of f.

    A subset with a narrow range of f has a low correlation with MOS whatever its errors; look at the lift over the
    matched control and beside it that of the lowest f, not at the SRCC of the subset alone.

    With --json one object: "n" videos, "k" chosen, "left_out" rows, "error" (its kind), "warnings", and for each figure
    {"value", "low", "high"}:
    srcc, partial_srcc (of difficulty with the errors; the second given f);
    pool_, chosen_, matched_, nearest_, lowest_, lowest_matched_error (mean error: of all, of the chosen, of the control
    matched on f, of the nearer control that may repeat videos, of the lowest f, of the control matched on these);
    lift_over_pool, lift_over_matched, lift_over_nearest (chosen_error divided by theirs);
    lowest_lift_over_matched, lift_beyond_lowest (that of the lowest f, and how many times as large that of the chosen);
    worst_precision (share of the chosen among the true worst 10%);
    chosen_, matched_, nearest_, lowest_score (mean f);
    pool_, chosen_, matched_, lowest_srcc and _plcc (of f with MOS, the paper's measure).
    """
    kind: ErrorName = choice("--error", error, get_args(ErrorName))
    columns = read_columns(table)
    check_ids(columns, dataset)
    x, y, d = (columns.numbers(name) for name in (score, mos, difficulty))
    kept = np.isfinite(x) & np.isfinite(y) & np.isfinite(d)
    sets = None if dataset is None else [str(columns.column(dataset)[int(place)]) for place in np.flatnonzero(kept)]
    x, y, d = x[kept], y[kept], d[kept]
    with terminal.progress() as show, show.working(f"Bootstrapping {counted(len(x), 'video')}"):
        result = mdsvqa.evaluate_difficulty(d, x, y, k, error=kind, dataset=sets, draws=draws, seed=seed)
    if as_json:
        figures = {name: asdict(interval) for name, interval in result.figures.items()}
        counts = {"n": result.n, "k": result.k, "left_out": int((~kept).sum()), "error": error}
        print_json({**counts, **figures, "warnings": list(result.warnings)})
        return
    terminal.print_failure(difficulty, error, result, int((~kept).sum()))

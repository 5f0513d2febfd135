"""The commands `mdsvqa difficulty`: predict where f fails, and measure whether that was predicted."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import typer
from typer.core import TyperGroup

from mdsvqa.cli.options import (
    TRAINING,
    VLM,
    AsJson,
    Limit,
    Out,
    Overwrite,
    Scale,
    Seed,
    Table,
    Videos,
    Workers,
    checked,
    choice,
    finish_table,
    print_course,
    print_json,
    with_settings,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.difficulty.catalogue import BASELINES, PREDICTORS
from mdsvqa.difficulty.errors import measured_errors
from mdsvqa.difficulty.held_out import LearnFrom, videos_to_learn_from
from mdsvqa.difficulty.settings import AUTO, DifficultySettings, ErrorName, FailureTraining
from mdsvqa.evaluation.failure import evaluate_difficulty
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.models.vlm.load import is_vlm, need_vlm_packages
from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.user_tables import Columns, read_columns
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.settings import budget_count
from mdsvqa.study import steps
from mdsvqa.videos.manifest import read_videos
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import ViewSettings

# Of a vision-language model's score; the second one has a form for features too.
VLM_RULES = ("mc-dropout", "noise-stability")
EVERY_RULE = ("mc-dropout", *BASELINES)
SIGHT = ("base_adapter", "sampling", "fps", "frames", *ViewSettings.model_fields)
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
@with_settings("settings", DifficultySettings, only=("predictor", "error", "passes"))
@with_settings("vlm", VlmSettings, only=(*SIGHT, "max_pixels", "batch_tokens", *MACHINE), panel=VLM)
def predict(
    videos: Videos,
    out: Out,
    settings: DifficultySettings,
    vlm: VlmSettings,
    scores: Annotated[
        Path | None,
        typer.Option(help="Scores of these videos, as `mdsvqa score` wrote them; not needed with --adapter."),
    ] = None,
    features: Annotated[Path | None, typer.Option(help="Features table; by default SCORES/features.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="f: the statistical model behind the scores (by default SCORES/model.safetensors if there), or a "
            "vision-language checkpoint, for --adapter and for the rules mc-dropout and noise-stability.",
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            "-a",
            help="g as a PEFT adapter on --model, as `mdsvqa difficulty train` makes one: a folder or a Hub name.",
            rich_help_panel=VLM,
        ),
    ] = None,
    predictor: Annotated[str, typer.Option(help=f"One of {AUTO}, {', '.join(PREDICTORS)}.")] = AUTO,
    rule: Annotated[str | None, typer.Option(help=f"In place of g, for comparison: {', '.join(EVERY_RULE)}.")] = None,
    mos_scale: Scale = "1-5",
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Predict where f will be wrong: train g on its errors on labeled videos, apply it to the pool.

    Which predictor was used, and how every candidate did in cross-validation, is in OUT/predictor.json.
    """
    if rule is not None and rule not in EVERY_RULE:
        raise InputError(f"--rule: there is no rule {rule!r}; expected one of {', '.join(EVERY_RULE)}.")
    choice("--predictor", predictor, (AUTO, *PREDICTORS))
    listed = read_videos(videos, mos_scale, terminal.say)[:limit]
    if model is not None and is_vlm(model) and (adapter is not None or rule in VLM_RULES):
        seen = vlm.model_copy(update={"seed": seed})
        table = _by_vlm(listed, out, model, adapter, rule, seen, settings, cores(workers), overwrite=overwrite)
        finish_table("rated", [{**row, "text": None} for row in table], out, False, as_json)
        return
    if adapter is not None or rule == "mc-dropout":
        what = "--adapter" if adapter is not None else f"--rule {rule}"
        raise InputError(f"{what}: goes with --model, a vision-language checkpoint (a folder or a Hub name).")
    if scores is None:
        raise InputError("--scores: name the table of f's scores, as `mdsvqa score` wrote it.")
    saved = Path(model) if model else scores / "model.safetensors"
    kernel_model = KernelModel.load(saved) if model or saved.exists() else None
    found = features or scores / "features"
    with terminal.progress() as show:
        run = Run(out, show, overwrite=overwrite)
        rated = steps.difficulty(listed, scores, found, settings, kernel_model, run, rule=rule, seed=seed)
    finish_table("rated", rated.to_pylist(), out, False, as_json)


def _by_vlm(
    listed: Sequence[Video],
    out: Path,
    model: str,
    adapter: str | None,
    rule: str | None,
    vlm: VlmSettings,
    settings: DifficultySettings,
    workers: int,
    *,
    overwrite: bool,
) -> list[dict[str, Any]]:
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.difficulty.vlm.predict import instability_of_vlm, predict_with_vlm  # noqa: PLC0415

    # The pool, where the manifest says which videos that is.
    pool = in_role(listed, "pool") or listed
    with terminal.progress() as show:
        if adapter is not None:
            table = predict_with_vlm(pool, model, adapter, vlm, Run(out, show, workers, overwrite=overwrite))
        else:
            assert rule is not None
            table = instability_of_vlm(rule, pool, model, vlm, settings, Run(out, show, workers, overwrite=overwrite))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@app.command()
@with_settings("training", FailureTraining, without=("batch_tokens",), panel=TRAINING)
@with_settings("vlm", VlmSettings, only=(*SIGHT, *MACHINE), panel=VLM)
def train(
    videos: Videos,
    scores: Annotated[Path, typer.Option(help="f's scores of these videos, as `mdsvqa score` wrote them.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="f: a vision-language checkpoint, a folder or a Hub name.")
    ],
    out: Out,
    training: FailureTraining,
    vlm: VlmSettings,
    learn_from: Annotated[
        str, typer.Option(help="Split of the source: train, test, or auto: test where it has enough.")
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
    listed = read_videos(videos, mos_scale, terminal.say)[:limit]
    split: LearnFrom = choice("--learn-from", learn_from, get_args(LearnFrom))
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.difficulty.vlm.train import train_failure_predictor  # noqa: PLC0415

    found = read_table(scores).select(["id", "score"]).to_pylist()
    known = {row["id"]: row["score"] for row in found if row["score"] is not None}
    labeled, sentence = videos_to_learn_from(listed, DifficultySettings(), split)
    with terminal.progress() as show:
        show.note(sentence)
        course = train_failure_predictor(
            labeled, known, model, vlm, training, Run(out, show, cores(workers), overwrite=overwrite)
        )
    print_course(course, out, as_json)


@app.command()
def evaluate(
    table: Table,
    mos: Annotated[str, typer.Option(help="Column of the MOS.")] = "mos",
    score: Annotated[str, typer.Option(help="Column of f's scores.")] = "score",
    difficulty: Annotated[str, typer.Option(help="Column of the difficulties; higher is harder.")] = "difficulty",
    dataset: Annotated[
        str | None, typer.Option(help="Column of the data set, where there are several: errors stay within each.")
    ] = None,
    k: Annotated[str, typer.Option("--k", "-k", help="Videos to choose: 64, or 5%.")] = "5%",
    error: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(ErrorName))}.")] = "raw",
    draws: Annotated[int, typer.Option(min=2, help="Of ties and controls, and of the bootstrap.")] = 500,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure whether failure was predicted, beside controls with the same scores of f.

    A subset with a narrow range of f has a low correlation with MOS whatever its errors; look at the lift over the
    matched control, not at the SRCC of the subset alone.

    With --json one object: "n" videos, "k" chosen, "error" (its kind), and for each figure {"value", "low", "high"}:
    srcc, partial_srcc (of difficulty with the errors; the second given f);
    pool_, chosen_, matched_, nearest_, lowest_error (mean error: of all, of the chosen, of the control matched on f, of
    the nearer control that may repeat videos, of the lowest f);
    lift_over_pool, lift_over_matched, lift_over_nearest (chosen_error divided by theirs);
    worst_precision (share of the chosen among the true worst 10%);
    chosen_, matched_, nearest_score (mean f);
    pool_, chosen_, matched_, lowest_srcc and _plcc (of f with MOS, the paper's measure).
    """
    settings = checked(DifficultySettings, {"error": error})
    columns = read_columns(table)
    x, y, d = (columns.numbers(name) for name in (score, mos, difficulty))
    kept = np.isfinite(x) & np.isfinite(y) & np.isfinite(d)
    try:
        count = budget_count(k, max(1, int(kept.sum())))
    except ValueError as wrong:
        raise InputError(f"--k: {wrong}") from None
    x, y, d, codes = x[kept], y[kept], d[kept], _codes(columns, dataset)[kept]
    with terminal.progress() as show, show.working(f"Bootstrapping {len(x)} videos"):
        errors = measured_errors(settings.error, x, y, codes, settings.folds, seed)
        result = evaluate_difficulty(x, y, errors, d, count, draws=draws, seed=seed)
    if as_json:
        figures = {name: asdict(interval) for name, interval in result.figures.items()}
        print_json({"n": result.n, "k": result.k, "error": error, **figures})
        return
    terminal.print_failure(difficulty, error, result, int((~kept).sum()))


def _codes(columns: Columns, dataset: str | None) -> Ints:
    if dataset is None:
        return np.zeros(len(columns), np.int64)
    names = [str(name) for name in columns.column(dataset)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)

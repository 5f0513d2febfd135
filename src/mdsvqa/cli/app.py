"""Every command: parses, calls, prints.

Exit codes: 0 done; 1 something handed in cannot be used; 2 wrong usage; 3 labels are needed before the loop can go on;
4 (with --strict) some videos could not be decoded; 130 interrupted.
"""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import mdsvqa
from mdsvqa.cli import evaluate as cli_evaluate
from mdsvqa.cli import finetune as cli_finetune
from mdsvqa.cli import rehearse as cli_rehearse
from mdsvqa.cli import score as cli_score
from mdsvqa.cli import select as cli_select
from mdsvqa.cli.difficulty import app as difficulty_app
from mdsvqa.cli.gmad import app as gmad_app
from mdsvqa.cli.options import (
    UNDECODABLE,
    AsJson,
    Limit,
    Out,
    Overwrite,
    Seed,
    Strict,
    Videos,
    Workers,
    finish_table,
    print_json,
    rows_of,
    with_settings,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.settings import HANDCRAFTED, ContentSettings
from mdsvqa.report.figures import Figures, measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import is_table, write_atomically
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.study.demo import prepare_demo
from mdsvqa.study.rehearsal.run import rehearse_study
from mdsvqa.study.result import StudyResult
from mdsvqa.study.run import run_study
from mdsvqa.videos.manifest import load_videos

NEEDS_LABELS = 3
VLM_QUALITY = """\
  model: hollow404/VQR1-7B-YouTubeUGC
  vlm:
    # The paper's model after active fine-tuning on short-form video; leave it out for the base model.
    # adapter: hollow404/MDS-VQA-Active-Finetuning
    # generate: the model thinks and answers; expected: one pass, no ties.
    reading: generate
"""

app = typer.Typer(
    name="mdsvqa",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Choose which videos to label next, fine-tune a video quality model on them, and see whether it helped.\n\n"
    "New here? [bold]mdsvqa demo[/bold] shows the whole loop; [bold]mdsvqa init[/bold] starts a study of your own.",
    epilog="Exit codes: 0 done, 1 unusable input, 2 wrong usage, 3 labels needed, 4 undecodable videos (--strict).",
)
LOOP, STEPS, HELP = "The loop", "Each step alone", "Models and machines"

HANDCRAFTED_LINE, VLM_ENCODER = "  encoder: handcrafted\n", "  encoder: google/siglip2-base-patch16-224\n"

CHECKPOINT = "Encoders that are checkpoints"

StudyFile = Annotated[Path, typer.Argument(help="The study, as `mdsvqa init` writes it.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mdsvqa {mdsvqa.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


@app.command(rich_help_panel=LOOP)
def demo(
    out: Out = Path("mdsvqa-demo"),
    seeds: Annotated[int, typer.Option(min=2, help="Repeats of selection and fine-tuning for each rule.")] = 10,
    source: Annotated[int, typer.Option(min=40, help="Simulated source videos.")] = 300,
    pool: Annotated[int, typer.Option(min=20, help="Simulated pool videos.")] = 400,
    test: Annotated[int, typer.Option(min=10, help="Simulated target test videos.")] = 150,
    vlm: Annotated[
        bool, typer.Option("--vlm", help="Score with a tiny vision-language model, trained on the spot.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Run the whole loop on simulated videos: no data, no download, about two minutes."""
    with terminal.progress() as show:
        sizes = {"source": source, "pool": pool, "test": test}
        config = prepare_demo(out, show, vlm=vlm, seed=seed, seeds=seeds, **sizes)
        if not vlm:
            rehearse_study(config, show, overwrite=True)
        result = run_study(config, show, overwrite=True)
        config = result.config
        with show.working("Bootstrapping intervals"):
            figures = measure(config, result)
        summary, page = write_results(config, result, figures, ["mdsvqa demo --vlm" if vlm else "mdsvqa demo"])
    if as_json:
        print_json({**summary, "report": str(page)})
        return
    terminal.print_study(config, result, figures, page)
    Console().print("\nNow your own videos: [bold]mdsvqa init[/bold]", highlight=False)


@app.command(rich_help_panel=LOOP)
def init(
    path: Annotated[Path, typer.Argument(help="Where to write the study file.")] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    vlm: Annotated[
        bool, typer.Option("--vlm", help="For a vision-language model: the paper's, to begin with.")
    ] = False,
) -> None:
    """Write a commented study file to fill in."""
    if path.exists() and not force:
        raise InputError(f"{path}: is there already; name another file, or replace it by --force.")
    template = files("mdsvqa.study").joinpath("study_template.yaml").read_text(encoding="utf-8")
    if vlm:
        template = template.replace("  model: statistical\n", VLM_QUALITY).replace(HANDCRAFTED_LINE, VLM_ENCODER)
    write_atomically(path, template.encode())
    Console().print(f"Wrote {path}. Name your manifest in it, then: mdsvqa run {path}", highlight=False, markup=False)


@app.command(rich_help_panel=LOOP)
def run(study: StudyFile, overwrite: Overwrite = False, strict: Strict = False, as_json: AsJson = False) -> None:
    """Run a study, or go on with it: what is done is reused, what is missing is made."""
    config, result, figures = _run_study(study, overwrite)
    summary, page = write_results(config, result, figures, [f"mdsvqa run {study}"])
    if as_json:
        print_json({**summary, "report": str(page)})
    else:
        terminal.print_study(config, result, figures, page)
    terminal.print_failures(result.data.failures)
    if strict and result.data.failures:
        raise typer.Exit(UNDECODABLE)
    if result.waiting_for:
        raise typer.Exit(NEEDS_LABELS)


@app.command(rich_help_panel=LOOP)
def report(study: StudyFile, as_json: AsJson = False) -> None:
    """Write the page of a study that was run before, from its tables."""
    config = read_study(study)
    if not is_table(config.out / "scores"):
        raise InputError(f"{config.out}: has no results yet. Run it first: mdsvqa run {study}")
    config, result, figures = _run_study(study, overwrite=False)
    summary, page = write_results(config, result, figures, [f"mdsvqa run {study}"])
    if as_json:
        print_json({**summary, "report": str(page)})
    else:
        Console().print(str(page), soft_wrap=True, highlight=False, markup=False)


app.command(rich_help_panel=LOOP)(cli_rehearse.rehearse)


def _run_study(study: Path, overwrite: bool) -> tuple[StudyConfig, StudyResult, Figures]:
    config = read_study(study)
    with terminal.progress() as show:
        result = run_study(config, show, overwrite=overwrite)
        with show.working("Bootstrapping intervals"):
            return result.config, result, measure(result.config, result)


app.command(rich_help_panel=STEPS)(cli_score.score)


@app.command(rich_help_panel=STEPS)
@with_settings("settings", ContentSettings, panels={CHECKPOINT: ("batch_size", "device", "dtype")})
def content(
    videos: Videos,
    out: Out,
    settings: ContentSettings,
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help=ContentSettings.model_fields["encoder"].description)
    ] = HANDCRAFTED,
    limit: Limit = None,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Encode what videos show, for diversity.

    The embedded encoder tells scenes apart, not meanings. For real pools name a checkpoint, for example:

    mdsvqa content FOLDER --encoder google/siglip2-base-patch16-224 --out content/
    """
    listed = load_videos(videos)[:limit]
    with terminal.progress() as show:
        table = encode_content(listed, settings, Run(out, show, cores(workers), overwrite=overwrite))
    finish_table("encoded", rows_of(listed, table), out, strict, as_json)


app.add_typer(difficulty_app, name="difficulty", rich_help_panel=STEPS)


app.command(rich_help_panel=STEPS)(cli_select.select)
app.command(rich_help_panel=STEPS)(cli_finetune.finetune)


app.command(rich_help_panel=STEPS)(cli_evaluate.evaluate)
app.command(rich_help_panel=STEPS)(cli_evaluate.compare)
app.command("study-size", rich_help_panel=STEPS)(cli_evaluate.study_size)
app.add_typer(gmad_app, name="gmad", rich_help_panel=STEPS)


app.command(rich_help_panel=HELP)(cli_score.merge)
app.command("tiny-vlm", rich_help_panel=HELP)(cli_score.tiny_vlm)
app.command(rich_help_panel=HELP)(cli_score.doctor)


def main() -> None:
    """The `mdsvqa` command."""
    # The problems here are small: more threads wait for each other, badly so on a busy machine.
    torch.set_num_threads(1)
    threadpool_limits(1)
    try:
        app(prog_name="mdsvqa")
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was done is safe, run it again to go on\n")
        sys.exit(130)

"""The commands of the loop: `mdsvqa demo`, `mdsvqa init`, `mdsvqa run`, `mdsvqa report`."""

from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import mdsvqa
from mdsvqa.cli.options import UNDECODABLE, Out, Overwrite, Seed, Strict, need_label_packages, with_spool
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.report.figures import Figures, measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import is_table
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.study.demo import prepare_demo
from mdsvqa.study.result import StudyResult

if TYPE_CHECKING:
    from mdsvqa.labeling.demo import Rated

NEEDS_LABELS = 3
VLM_QUALITY = """\
  model: hollow404/VQR1-7B-YouTubeUGC
  vlm:
    # The paper's model after active fine-tuning on short-form video; leave it out for the base model.
    # adapter: hollow404/MDS-VQA-Active-Finetuning
    # generate: the model thinks and answers; expected: one pass, no ties.
    reading: generate
"""

HANDCRAFTED_LINE, VLM_ENCODER = "  encoder: handcrafted\n", "  encoder: google/siglip2-base-patch16-224\n"

StudyFile = Annotated[Path, typer.Argument(help="Read this study, as `mdsvqa init` writes it.")]


def demo(
    out: Out = Path("mdsvqa-demo"),
    seeds: Annotated[int, typer.Option(min=2, help="Repeat selection and fine-tuning so often for each rule.")] = 10,
    source: Annotated[int, typer.Option(min=40, help="Simulate so many source videos.")] = 300,
    pool: Annotated[int, typer.Option(min=20, help="Simulate so many pool videos.")] = 400,
    test: Annotated[int, typer.Option(min=10, help="Simulate so many target test videos.")] = 150,
    vlm: Annotated[
        bool, typer.Option("--vlm", help="Score with a tiny vision-language model, trained on the spot.")
    ] = False,
    label: Annotated[
        bool,
        typer.Option(
            "--label",
            help="Have the MOS of the chosen videos found by a rating study, with simulated raters over HTTP.",
        ),
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Run the whole loop on simulated videos: no data, no download, about two minutes."""
    if vlm and label:
        raise InputError("--vlm and --label: one at a time.")
    with terminal.progress() as show:
        sizes = {"source": source, "pool": pool, "test": test}
        config = prepare_demo(out, show, vlm=vlm, label=label, seed=seed, seeds=seeds, **sizes)
        result = mdsvqa.run(config, overwrite=True, show=show)
        rated = None
        if label:
            result, rated = _label_demo(result, out, show, seed)
        config = result.config
        with show.working("Bootstrapping intervals"):
            figures = measure(config, result)
        command = "mdsvqa demo" + (" --vlm" if vlm else " --label" if label else "")
        summary, page = write_results(config, result, figures, [command])
    if as_json:
        print_json({**summary, "report": str(page), **({} if rated is None else {"labels": asdict(rated)})})
        return
    terminal.print_study(config, result, figures, page)
    if rated is not None:
        Console().print(
            f"MOS of {rated.videos} videos from {rated.votes} votes of simulated raters: RMSE {rated.rmse:.2f} against "
            "the mean opinion of endlessly many of them.",
            highlight=False,
        )
    Console().print("\nNow your own videos: [bold]mdsvqa init[/bold]", highlight=False)


def _label_demo(result: StudyResult, out: Path, show: Show, seed: int) -> "tuple[StudyResult, Rated]":
    """Has the videos that a demonstration waits for rated, and goes on with their MOS."""
    need_label_packages()
    from mdsvqa.labeling.demo import rate_demo, rated

    manifest, study = out / "corpus" / "manifest.csv", result.config.file
    assert study is not None
    if result.waiting_for:
        rate_demo(study, manifest, show, seed=seed)
        result = mdsvqa.run(result.config, overwrite=True, show=show)
    return result, rated(study, manifest)


def init(
    path: Annotated[Path, typer.Argument(help="Write the study to this file.")] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    vlm: Annotated[
        bool, typer.Option("--vlm", help="Write a study of a vision-language model: the paper's, to begin with.")
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


@with_spool
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


@with_spool
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


def _run_study(study: Path, overwrite: bool) -> tuple[StudyConfig, StudyResult, Figures]:
    config = read_study(study)
    with terminal.progress() as show:
        result = mdsvqa.run(config, overwrite=overwrite, show=show)
        with show.working("Bootstrapping intervals"):
            return result.config, result, measure(result.config, result)

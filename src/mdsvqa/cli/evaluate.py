"""`mdsvqa evaluate`, `mdsvqa compare` and `mdsvqa study-size`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import mdsvqa
from mdsvqa.cli.options import IdColumn, Seed, Table, print_note
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import evaluation as terminal_evaluation
from mdsvqa.cli.printing import study as terminal
from mdsvqa.evaluation.compare import Comparison, compare_models
from mdsvqa.evaluation.datasets import dataset_cautions
from mdsvqa.evaluation.metrics import Evaluation
from mdsvqa.evaluation.paper_tables import (
    comparison_latex,
    csv_text,
    evaluation_latex,
    evaluation_rows,
)
from mdsvqa.evaluation.score_tables import Scored, read_scored
from mdsvqa.evaluation.study_size import HALF_WIDTH, NOISE, RATERS, ratings_for
from mdsvqa.evaluation.study_size import study_size as simulate_studies
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.user_tables import Names, read_columns
from mdsvqa.runtime.words import counted

MOS = "mos"
Mos = Annotated[str, typer.Option(help="Name the column of the MOS.")]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Name the column of the data set. Nothing is computed across data sets; the overall figure is their mean."
    ),
]
Only = Annotated[
    Path | None, typer.Option(help="Evaluate the ids of this table only, such as a selection; the others are left out.")
]
Draws = Annotated[int, typer.Option(min=1, help="Draw the bootstrap of the intervals so often.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Write every number as CSV to this file.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Draw a chart into this file: .png, .svg or .pdf.")]
LatexFile = Annotated[Path | None, typer.Option("--latex", help="Write a table for a paper to this file.")]


def evaluate(
    table: Table,
    mos: Mos = MOS,
    score: Annotated[str, typer.Option(help="Name the column of the scores.")] = "score",
    id: IdColumn = None,
    with_: Annotated[
        Path | None,
        typer.Option("--with", help="Read the MOS from this table, such as the manifest."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Evaluate only videos of this split, such as test.")] = None,
    dataset: Dataset = None,
    only: Only = None,
    csv: CsvFile = None,
    latex: LatexFile = None,
    plot: PlotFile = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """SRCC, PLCC (after the four-parameter logistic fit, and without), KRCC and RMSE, each with a 95% interval."""
    _check_plot(plot)
    more: dict[str, Any] = {"only": only, "names": _names(id, mos), "beside": with_, "split": split}
    given = read_scored(table, [score], mos, dataset=dataset, **more)
    with terminal.progress() as show, show.working(f"Bootstrapping intervals of {counted(len(given.mos), 'video')}"):
        found = mdsvqa.evaluate(given.scores[score], given.mos, given.dataset, draws=draws, seed=seed)
    cautions = dataset_cautions(given.scores[score], given.mos, given.dataset)
    _write(csv, lambda: csv_text(evaluation_rows({score: found})))
    _write(latex, lambda: evaluation_latex({score: found}))
    if plot is not None:
        from mdsvqa.report import plots

        title = f"{score}: SRCC {found.overall.srcc:.3f}, {counted(found.overall.n, 'video')}"
        plots.write_plot(plots.scatter(given.scores[score], given.mos, title, given.dataset), plot)
    if as_json:
        each = {"datasets": {name: _metrics(result) for name, result in found.each.items()}} if given.dataset else {}
        print_json({"score": score, **_metrics(found.overall), **each, **_beside(given), "warnings": cautions})
    else:
        terminal_evaluation.print_evaluation(score, found, given.left_out, cautions)
    for note in given.notes:
        print_note(note)


def compare(
    table: Table,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[COLUMN]...", help="Compare these columns of scores too.")
    ] = None,
    scores: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Compare these columns of scores: --scores A B C.")
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=FILE",
            help="Compare one more model: a result folder or table with ids and a column `score` (or NAME). Repeat "
            "for more.",
        ),
    ] = None,
    mos: Mos = MOS,
    id: IdColumn = None,
    mos_std: Annotated[
        str | None, typer.Option(help="Name the column of the standard deviation of each video's ratings.")
    ] = None,
    ratings: Annotated[
        str | None,
        typer.Option(help="Name the column of the number of ratings, or give that number, the same for all."),
    ] = None,
    dataset: Dataset = None,
    only: Only = None,
    csv: CsvFile = None,
    latex: LatexFile = None,
    plot: PlotFile = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Which model agrees better with MOS, and is that more than chance? All on the same videos.

    Differences of SRCC, PLCC and RMSE with paired bootstrap intervals; tests of correlated correlations, corrected for
    several comparisons (Holm); those of ITU-T P.1401. With --mos-std and --ratings also outlier ratios, and how well
    models tell pairs of videos apart (Krasula et al., 2016).

    mdsvqa compare any.csv --scores f g --with tuned=scores/ --mos mos --dataset set
    """
    _check_plot(plot)
    columns = [*(scores or []), *(more or [])]
    given = read_scored(
        table,
        columns,
        mos,
        others=_named(with_ or []),
        dataset=dataset,
        mos_std=mos_std,
        ratings=ratings,
        only=only,
        names=_names(id, mos),
    )
    with (
        terminal.progress() as show,
        show.working(f"Comparing {len(given.scores)} models on {counted(len(given.mos), 'video')}"),
    ):
        found = compare_models(given.scores, given.mos, given.dataset, given.rated, draws=draws, seed=seed)
    _write(csv, lambda: csv_text(found.rows()))
    _write(latex, lambda: comparison_latex(found))
    if plot is not None:
        from mdsvqa.report import plots

        rows = {
            f"{pair.first} - {pair.second}{pair.dataset and f' ({pair.dataset})'}": pair.differences["srcc"]
            for pair in found.pairs
        }
        plots.write_plot(plots.forest(rows, "Differences of SRCC, 95% intervals", "SRCC", 0.0), plot)
    if as_json:
        print_json({**_comparison(found), **_beside(given)})
    else:
        terminal_evaluation.print_comparison(found, given.left_out)
    for note in given.notes:
        print_note(note)


def study_size(
    table: Table,
    score: Annotated[str, typer.Option(help="Name the column of the scores.")] = "score",
    mos: Annotated[
        str | None, typer.Option(help="Name the column of the MOS of videos that are labeled already.")
    ] = None,
    srcc: Annotated[
        float | None, typer.Option(help="Assume this SRCC with true quality (default: that with --mos).")
    ] = None,
    noise: Annotated[
        float, typer.Option(min=0, help="Assume this standard deviation of single ratings of a video, in MOS points.")
    ] = NOISE,
    width: Annotated[float | None, typer.Option(min=0, help="Ask for a 95% interval of SRCC of this width.")] = None,
    half_width: Annotated[
        float, typer.Option(min=0.01, help="Ask for a 95% interval of a MOS of this half width, in MOS points.")
    ] = HALF_WIDTH,
    videos: Annotated[list[int] | None, typer.Option(min=5, help="Tabulate this number; repeat for more.")] = None,
    raters: Annotated[list[int] | None, typer.Option(min=1, help="Tabulate this number; repeat for more.")] = None,
    csv: CsvFile = None,
    plot: PlotFile = None,
    studies: Annotated[int, typer.Option(min=10, help="Simulate so many studies for each number of videos.")] = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """How many videos and raters does it take to measure SRCC this precisely?"""
    _check_plot(plot)
    columns = read_columns(table)
    x = columns.numbers(score)
    kept = np.isfinite(x)
    labels = None if mos is None else columns.numbers(mos)[kept]
    with terminal.progress() as show, show.working("Simulating studies"):
        found = simulate_studies(
            x[kept],
            labels,
            true_srcc=srcc,
            noise=noise,
            videos=sorted(set(videos or [])),
            raters=sorted(set(raters or RATERS)),
            studies=studies,
            seed=seed,
        )
    _write(csv, lambda: csv_text([asdict(design) for design in found.designs]))
    if plot is not None:
        from mdsvqa.report import plots

        plots.write_plot(plots.study_size(found), plot)
    if as_json:
        best = None if width is None else found.smallest(width)
        beside = {"left_out": int((~kept).sum()), "width": width, "smallest": best and asdict(best)}
        beside |= {"half_width": half_width, "ratings_a_video": ratings_for(half_width, noise)}
        print_json({**asdict(found), **beside})
        return
    terminal_evaluation.print_study_size(found, width, half_width)


def _check_plot(path: Path | None) -> None:
    if path is not None:
        from mdsvqa.report.plots import check_plot

        check_plot(path)


def _names(id: str | None, mos: str) -> Names:
    return Names(id, None if mos == MOS else mos)


def _named(given: Sequence[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in given:
        name, sign, file = text.partition("=")
        if not (name and sign and file):
            raise InputError(f"--with: found {text!r}, expected NAME=FILE.")
        if name in named:
            raise InputError(f"--with: {name!r} is named twice; every model needs a name of its own.")
        named[name] = Path(file)
    return named


def _write(path: Path | None, text: Any) -> None:
    if path is not None:
        write_atomically(path, text().encode())


def _beside(given: Scored) -> dict[str, Any]:
    """What every JSON of scored videos says of the rows that it does not count."""
    return {"left_out": given.left_out, "notes": list(given.notes)}


def _metrics(found: Evaluation) -> dict[str, Any]:
    return {"n": found.n, **{name: asdict(interval) for name, interval in found.metrics.items()}, "fit": found.fit}


def _comparison(found: Comparison) -> dict[str, Any]:
    models = {
        name: {
            **_metrics(model.agreement.overall),
            "datasets": {dataset: _metrics(result) for dataset, result in model.agreement.each.items() if dataset},
            "outlier_ratio": dict(model.outlier_ratio) or None,
            "different_similar": model.different_similar and asdict(model.different_similar),
            "better_worse": model.better_worse and asdict(model.better_worse),
            "correct": model.correct,
        }
        for name, model in found.models.items()
    }
    return {"models": models, "pairs": [asdict(pair) for pair in found.pairs], "video_pairs": found.video_pairs}

"""The commands `mdsvqa gmad`: models look for each other's failures, people decide who was right."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from mdsvqa.cli.options import Out, Overwrite, Seed, Table
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.evaluation.gmad.folder import (
    TO_RATE,
    Found,
    find_pairs,
    latex,
    mos_preferences,
    open_competition,
    read_preferences,
    result_rows,
)
from mdsvqa.evaluation.gmad.ranking import Competition, Standing, rank_models
from mdsvqa.evaluation.paper_tables import csv_text
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.words import counted

app = typer.Typer(
    no_args_is_help=True,
    help="Compare models by the few pairs of videos on which they differ most (gMAD competition).",
)
MEASURES = ("aggressiveness", "resistance")


@app.command()
def pairs(
    table: Table,
    scores: Annotated[
        list[str], typer.Option("--scores", help="Name the columns of the models' scores: --scores A B C.")
    ],
    out: Out,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    mos: Annotated[
        str | None,
        typer.Option(help="Name the column of MOS, to put scores on one scale by the logistic; by rank without."),
    ] = None,
    falling: Annotated[
        list[str] | None,
        typer.Option(help="Turn this column of --scores, whose high values mean low quality; repeatable."),
    ] = None,
    levels: Annotated[int, typer.Option(min=1, help="Divide the defender's quality into so many levels.")] = 5,
    per_level: Annotated[
        int, typer.Option(min=1, help="Find so many pairs on each level of each attacker and defender.")
    ] = 2,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Take a defender's scores for equal up to this share of the scale.")
    ] = 0.02,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the pairs into this file: .png, .svg or .pdf.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the pairs of every attacker and defender, and write the list for raters."""
    from mdsvqa.report import plots

    if plot is not None:
        plots.check_plot(plot)
    # An option takes one value: the names that follow the first arrive as arguments.
    models = [*scores, *(more or [])]
    found = find_pairs(
        table,
        models,
        out,
        mos=mos,
        falling=falling or (),
        levels=levels,
        per_level=per_level,
        tolerance=tolerance,
        seed=seed,
        overwrite=overwrite,
    )
    if plot is not None:
        duels: dict[str, list[tuple[float, float]]] = {}
        for each in found.attacks:
            apart = (each.defender_difference, each.attacker_difference)
            duels.setdefault(f"{each.attacker} against {each.defender}", []).append(apart)
        plots.write_plot(plots.attacks(duels), plot)
    wanted = len(models) * (len(models) - 1) * levels * per_level
    if as_json:
        counts = {"videos": found.videos, "left_out": found.left_out, "scale": found.unit}
        attacks = {"attacks": len(found.attacks), "wanted": wanted, "to_rate": len(found.to_rate)}
        print_json({**counts, **attacks, "out": str(out)})
        return
    _print_found(found, wanted, out)


def _print_found(found: Found, wanted: int, out: Path) -> None:
    lines = [
        f"{out / TO_RATE}: {counted(len(found.to_rate), 'pair')} to rate, found by "
        f"{counted(len(found.attacks), 'attack')}."
    ]
    if found.left_out:
        lines.append(f"{counted(found.left_out, 'video')} left out: without a score or a MOS.")
    if len(found.attacks) < wanted:
        lines.append(
            f"{wanted - len(found.attacks)} of {wanted} attacks found nothing: the models agree there, or the defender "
            "has too few videos on a level."
        )
    lines.append(f"Fill in its column preference, then: mdsvqa gmad rank {out}")
    for line in lines:
        Console().print(line, soft_wrap=True, highlight=False, markup=False)


@app.command()
def rank(
    folder: Annotated[Path, typer.Argument(help="Read this folder, which `mdsvqa gmad pairs` wrote.")],
    preferences: Annotated[
        Path | None, typer.Option(help=f"Read what raters said: {TO_RATE}, filled in (default: that of the folder).")
    ] = None,
    mos: Annotated[str | None, typer.Option(help="Name the column of MOS, which stands in for people.")] = None,
    mos_std: Annotated[
        str | None,
        typer.Option(
            help="Name the column, with --mos, of the standard deviations of single ratings, or one for all in MOS "
            "points "
            "(default: mos_std where the table has it, else a fifth of the range of the MOS)."
        ),
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Read --mos from this table (default: the pairs' table).")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draw the bootstrap of the intervals so often.")] = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
    csv: Annotated[Path | None, typer.Option(help="Write every figure to this file.")] = None,
    tex: Annotated[Path | None, typer.Option("--latex", help="Write the tables to this file.")] = None,
) -> None:
    """Rank models by what people say of the pairs: aggressiveness and resistance, with 95% intervals."""
    if mos is not None and preferences is not None:
        raise InputError("--preferences and --mos exclude each other: either people judge, or MOS in their place.")
    if mos is None and (mos_std is not None or table is not None):
        raise InputError("--mos-std and --table say more of --mos; name its column.")
    opened = open_competition(folder)
    if mos is None:
        answers, judge = read_preferences(opened, preferences or folder / TO_RATE), "raters"
    else:
        answers, noise = mos_preferences(opened, mos, mos_std, table)
        judge = f"MOS {mos!r} in place of people, noise of single ratings: {noise}"
    with terminal.progress() as show, show.working("Bootstrapping intervals"):
        result = rank_models(opened.attacks, answers, draws=draws, seed=seed)
    if csv is not None:
        write_atomically(csv, csv_text(result_rows(result)).encode())
    if tex is not None:
        write_atomically(tex, latex(result).encode())
    if as_json:
        print_json({"judge": judge, "pairs": result.pairs, "raters": result.raters, **_as_object(result)})
    else:
        _print_result(result, judge)


def _as_object(result: Competition) -> dict[str, Any]:
    found: dict[str, Any] = {measure: {"ranking": [], "duels": []} for measure in MEASURES}
    for row in result_rows(result):
        entry = {name: row[name] for name in row if name != "measure" and row[name] != ""}
        found[row["measure"]]["duels" if row["against"] else "ranking"].append(entry)
    return found


def _print_result(result: Competition, judge: str) -> None:
    console = Console()
    ranking = RichTable(
        title="Global ranking score [95% interval]", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in ("model", *MEASURES):
        ranking.add_column(heading, no_wrap=True)
    for model in result.aggressiveness.order():
        scores = (f"{getattr(result, measure).score[model]:+.3f}" for measure in MEASURES)
        ranking.add_row(escape(model), *scores)
    console.print(ranking)
    console.print(_matrix("Aggressiveness of the row against the column, -1 to 1", result.aggressiveness))
    console.print(_matrix("Resistance of the row to the column, 0 to 1", result.resistance))
    judged = (
        f"{counted(result.pairs, 'pair')} rated by {judge}"
        if judge != "raters"
        else counted(result.pairs, "rated pair")
    )
    console.print(judged, soft_wrap=True, highlight=False, markup=False)


def _matrix(title: str, standing: Standing) -> RichTable:
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    order = standing.order()
    for heading in ("", *order):
        table.add_column(escape(heading), no_wrap=True)
    for model in order:
        entries = (standing.matrix.get((model, other)) for other in order)
        table.add_row(escape(model), *("" if entry is None else f"{entry:.2f}" for entry in entries))
    return table

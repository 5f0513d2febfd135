"""`mdsvqa select`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_args

import typer

from mdsvqa.cli.options import AsJson, Overwrite, Seed, checked, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.selection.select import WITHOUT_CONTENT
from mdsvqa.study.choosing import candidates, choose, explained
from mdsvqa.study.config import RuleName, SelectionSettings
from mdsvqa.study.data import cores

DEFAULTS = SelectionSettings()
LIMITS, MACHINE = "Limits", "Machine: changes the time, not the choice"
RULES = ", ".join(get_args(RuleName))


def select(
    difficulty: Annotated[Path, typer.Argument(help="Difficulty table, or any CSV with an id (or name) column.")],
    budget: Annotated[str, typer.Option("--budget", "-k", help="Videos to choose: 64, or 5%.")] = "5%",
    minutes: Annotated[
        float | None, typer.Option(help="In place of --budget: minutes that one rater needs to watch them.")
    ] = None,
    rule: Annotated[str, typer.Option(help=f"One of {RULES}.")] = DEFAULTS.rule,
    content: Annotated[
        Path | None, typer.Option(help=f"Content table; {', '.join(WITHOUT_CONTENT)} need none.")
    ] = None,
    column: Annotated[str, typer.Option(help="Column of the difficulties; higher is harder.")] = "difficulty",
    lambda_: Annotated[float, typer.Option("--lambda", min=0, help="Weight of diversity.")] = DEFAULTS.lambda_,
    scale: Annotated[str, typer.Option(help="standard; rank; or raw, as in the paper.")] = DEFAULTS.scale,
    ties: Annotated[str, typer.Option(help="Who wins among equals: id (the smallest) or random.")] = DEFAULTS.ties,
    audit: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.99,
            help="Share of the budget that goes to videos drawn at random: the only ones on which the model's quality "
            "on the pool can be measured without bias.",
        ),
    ] = 0.0,
    labeled: Annotated[
        Path | None,
        typer.Option(help="Table whose ids are labeled already: not chosen again, and the choice differs from them."),
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Say why this video was chosen, or was not; nothing is written.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the selection table.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    exclude: Annotated[
        Path | None, typer.Option(help="Table whose ids are never chosen.", rich_help_panel=LIMITS)
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(
            help="Table with ids, the column of --group, `seconds` or `path` of each video (default: the table of "
            "difficulties, where it is a file).",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column that names groups: uploader, title.", rich_help_panel=LIMITS)
    ] = None,
    most_per_group: Annotated[
        int | None, typer.Option(min=1, help="Videos of each group.", rich_help_panel=LIMITS)
    ] = None,
    least_per_group: Annotated[
        int, typer.Option(min=0, help="Videos of each group, as far as it has them.", rich_help_panel=LIMITS)
    ] = 0,
    apart: Annotated[
        float,
        typer.Option(
            min=0,
            help="No two videos nearer than this Chamfer distance; 0.1 removes near-duplicates.",
            rich_help_panel=LIMITS,
        ),
    ] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.", rich_help_panel=MACHINE)] = DEFAULTS.device,
    threads: Annotated[
        int,
        typer.Option(min=0, help="0: one for each core; more than 1 pays on an idle machine.", rich_help_panel=MACHINE),
    ] = 1,
    memory: Annotated[
        float, typer.Option(min=0.01, help="GB for distances and what bounds them.", rich_help_panel=MACHINE)
    ] = 2.0,
) -> None:
    """Choose the videos to label next."""
    options = {
        "rule": rule,
        "budget": budget if minutes is None else f"{minutes:g} min",
        "lambda": lambda_,
        "scale": scale,
        "ties": ties,
        "audit": audit,
        "about": about,
        "group": group,
        "most_per_group": most_per_group,
        "least_per_group": least_per_group,
        "apart": apart,
        "exclude": exclude,
        "device": device,
        "threads": cores(threads),
        "memory": int(memory * 2**30),
    }
    spelled = {name: name.replace("_", "-") for name in options}
    settings = checked(SelectionSettings, options, {**spelled, "budget": "budget" if minutes is None else "minutes"})
    if explain is not None and out is not None:
        raise InputError("--explain writes nothing; leave out --out.")
    known = [] if labeled is None else read_columns(labeled).ids()
    given = candidates(difficulty, column, content, settings, known)
    rows = choose(given, settings, out, seed=seed, overwrite=overwrite)
    if explain is not None:
        explanation = explained(given, settings, rows, explain)
        if as_json:
            print_json(asdict(explanation))
        else:
            terminal.print_explanation(explanation)
    elif as_json:
        audited = [row["id"] for row in rows if row["rule"] != rule]
        print_json({"rule": rule, "selected": [row["id"] for row in rows], "audit": audited, "out": out and str(out)})
    else:
        terminal.print_selection(rows, out)

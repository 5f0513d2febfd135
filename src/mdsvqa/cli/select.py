"""`mdsvqa select`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console

import mdsvqa
from mdsvqa.cli.options import IdColumn, Limit, Overwrite, Seed, print_note, with_settings, with_spool
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.csv_beside import csv_bytes
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.user_tables import Names, read_columns
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.audit import beyond_pool
from mdsvqa.selection.catalogue import RULES
from mdsvqa.selection.certificate import read_certificate
from mdsvqa.selection.percentile import percentiles
from mdsvqa.selection.settings import SelectionSettings

LIMITS, MACHINE = "Limits", "Machine: changes the time, not the choice"
WITHOUT_CONTENT = ", ".join(rule.name for rule in RULES.values() if not rule.content)


@with_spool
@with_settings(
    "settings",
    SelectionSettings,
    without=("features", "threads", "memory"),
    panels={
        LIMITS: ("exclude", "about", "group", "most_per_group", "least_per_group", "apart"),
        MACHINE: ("device", "engine", "address"),
    },
)
def select(
    difficulty: Annotated[
        Path, typer.Argument(help="Read this difficulty table, or any CSV with an id (or name) column.")
    ],
    settings: SelectionSettings,
    budget: Annotated[str, typer.Option("--budget", "-k", help="Choose so many videos: 64, or 5%.")] = "5%",
    minutes: Annotated[
        float | None, typer.Option(help="Choose what one rater watches in so many minutes, in place of --budget.")
    ] = None,
    rule: Annotated[str, typer.Option(help=f"Choose by this rule: {', '.join(RULES)}.")] = SelectionSettings().rule,
    content: Annotated[Path | None, typer.Option(help=f"Read this content table; {WITHOUT_CONTENT} need none.")] = None,
    id: IdColumn = None,
    column: Annotated[str, typer.Option(help="Name the column of the difficulties; higher is harder.")] = "difficulty",
    labeled: Annotated[
        Path | None,
        typer.Option(
            help="Take the ids of this table for labeled: not chosen again, and the choice differs from them."
        ),
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Say why this video was chosen, or was not; nothing is written.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the selection table into this folder.")] = None,
    limit: Limit = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the whole selection as CSV to this file.")] = None,
    as_json: AsJson = False,
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            help="Compute with so many threads; 0 is one for each core, more than 1 pays on an idle machine.",
            rich_help_panel=MACHINE,
        ),
    ] = 1,
    memory: Annotated[
        float,
        typer.Option(min=0.01, help="Use so many GB for distances and what bounds them.", rich_help_panel=MACHINE),
    ] = 2.0,
) -> None:
    """Choose the videos to label next."""
    if explain is not None and out is not None:
        raise InputError("--explain writes nothing; leave out --out.")
    if minutes is not None and minutes <= 0:
        raise InputError(f"--minutes {minutes:g}: expected more than 0.")
    asked = budget if minutes is None else f"{minutes:g} min"
    machine = {"threads": cores(threads), "memory": int(memory * 2**30)}
    settings = settings.model_copy(update={"budget": asked, **machine})
    known = [] if labeled is None else read_columns(labeled).ids()
    options: dict[str, Any] = {
        "column": column,
        "names": Names(id),
        "labeled": known,
        "limit": limit,
        "out": out,
        "seed": seed,
        "overwrite": overwrite,
    }
    chosen = mdsvqa.select(difficulty, content, settings=settings, **options)
    rows, given = chosen.chosen, chosen.given
    if explain is not None:
        explanation = chosen.explain(explain)
        if as_json:
            print_json(asdict(explanation))
        else:
            terminal.print_explanation(explanation)
        return
    certificate = None if out is None else read_certificate(out)
    said = beyond_pool(settings, len(given.ids) - len(given.labeled), given.limits)
    notes = [*given.notes, *([said] if said else [])]
    places = dict(zip(given.ids, percentiles(given.difficulty).tolist(), strict=True))
    rows = [{**row, "percentile": places[row["id"]]} for row in rows]
    if csv is not None:
        write_atomically(csv, csv_bytes(pa.Table.from_pylist(rows)))
    if as_json:
        audited = [row["id"] for row in rows if row["rule"] != rule]
        found = {
            "rule": rule,
            "selected": [row["id"] for row in rows],
            "rows": rows,
            "audit": audited,
            "out": out and str(out),
        }
        measured = None if certificate is None else certificate.record()
        print_json({**found, "left_out": given.left_out, "notes": notes, "certificate": measured})
    else:
        terminal.print_selection(rows, out, len(given.ids), given.left_out)
        if certificate is not None:
            Console().print(certificate.sentence(), soft_wrap=True, highlight=False)
    for note in notes:
        print_note(note)

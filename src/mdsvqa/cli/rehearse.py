"""`mdsvqa rehearse`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import mdsvqa
from mdsvqa.cli.options import WHERE, Overwrite, checked, with_settings, with_spool
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.cli.printing.rehearsal import print_rehearsal
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.study.config import RehearsalSettings, read_study

DEFAULTS = RehearsalSettings()


@with_spool
@with_settings("engine", EngineSettings, panel=f"{WHERE}; by default as the study says", said_only=True)
def rehearse(
    study: Annotated[Path, typer.Argument(help="Read this study, as `mdsvqa init` writes it.")],
    engine: Mapping[str, Any],
    repeats: Annotated[
        int | None,
        typer.Option(min=2, help=f"Repeat so often on each pseudo-target; {DEFAULTS.repeats} by default."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no further repeat after so many minutes.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find out which rules do harm, before labels are paid for.

    Where the labeled source holds two or more data sets of at least 24 videos,
    with as many left to learn from, each plays the target
    of the others, and every rule spends the budget there: the known MOS say
    what it gains. A rule that is behind random selection is struck out; the
    study's fallback is used unless another is ahead of it beyond doubt. The
    answer stays in the folder of the study, and `rule: auto` uses it.
    """
    if minutes is not None and minutes <= 0:
        raise InputError(f"--minutes {minutes:g}: expected more than 0.")
    config = read_study(study)
    asked = {"repeats": repeats, "minutes": minutes}
    changed = {name: value for name, value in asked.items() if value is not None}
    config = config.model_copy(update={"rehearsal": config.rehearsal.model_copy(update=changed)})
    where = checked(EngineSettings, {**config.engine.model_dump(), **engine})
    with terminal.progress() as show:
        found = mdsvqa.rehearse(config, overwrite=overwrite, show=show, engine=where)
    if as_json:
        print_json({**asdict(found), "sentence": found.sentence(), "notes": found.notes()})
    else:
        print_rehearsal(found, study, auto=config.selection.rule == "auto")

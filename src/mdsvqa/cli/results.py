"""The command on result folders: `mdsvqa compact`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.runtime.compaction import compact as compact_result
from mdsvqa.runtime.compaction import results_within
from mdsvqa.runtime.words import counted


def compact(
    folder: Annotated[Path, typer.Argument(help="Read this result folder, and those below it.")],
    as_json: AsJson = False,
) -> None:
    """Merge the many small files of a result into few, so that it opens faster; its rows stay as they are.

    Results of earlier versions have a file for every 32 videos. A kill at any moment loses nothing; run it again.
    """
    with terminal.progress() as show:
        done = [compact_result(each, partial(show.progress, f"Merging {each}")) for each in results_within(folder)]
    if as_json:
        print_json({"results": [{**asdict(each), "folder": str(each.folder)} for each in done]})
        return
    for result in done:
        before = counted(result.before, "file")
        Console().print(f"{result.folder}: {before} before, {result.after} now", soft_wrap=True)

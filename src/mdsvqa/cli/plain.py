"""What commands share that need no model: they start at once."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import json_text

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]


def print_json(value: Mapping[str, Any]) -> None:
    """The one object on stdout; a statistic that is undefined is null."""
    sys.stdout.write(json_text(value) + "\n")


def choice(option: str, found: str, offered: Sequence[str]) -> Any:
    """A value that must be one of a few.

    Raises:
        InputError: it is none of them.
    """
    if found not in offered:
        raise InputError(f"{option}: {found!r} is none of {', '.join(offered)}.")
    return found

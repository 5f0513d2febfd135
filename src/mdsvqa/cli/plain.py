"""What commands share that need no model: they start at once."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.matching import nearest
from mdsvqa.runtime.results import json_text
from mdsvqa.runtime.words import listed

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]


def print_json(value: Mapping[str, Any]) -> None:
    """The one object on stdout; a statistic that is undefined is null."""
    sys.stdout.write(json_text(value) + "\n")


def choice(option: str, found: str, offered: Sequence[str]) -> Any:
    """A value that must be one of a few.

    Raises:
        InputError: it is none of them.
    """
    same = next((each for each in offered if each.casefold() == found.casefold()), None)
    if same is None:
        raise InputError(f"{option}: expected {listed(offered, 'or')}, found {found!r}{nearest(found, offered)}.")
    return same

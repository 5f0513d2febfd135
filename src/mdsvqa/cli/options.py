"""What the commands share: their options, and how they end."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pyarrow as pa
import typer
from rich.console import Console

from mdsvqa.cli.printing import study as terminal
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import first_process
from mdsvqa.runtime.results import json_text
from mdsvqa.study.config import MOST_SEED, Settings
from mdsvqa.videos.video import Video

UNDECODABLE = 4

Checked = TypeVar("Checked", bound=Settings)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make anew what other settings made.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 4 when a video cannot be decoded.")]
Workers = Annotated[int, typer.Option("--workers", "-j", min=0, help="Processes that decode; 0: one for each core.")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of everything random.")]
Scale = Annotated[str, typer.Option(help='What MOS in the manifest mean: "1-5", "0-100", "DMOS 0-100".')]
Videos = Annotated[Path, typer.Argument(help="Manifest (CSV, JSONL, Parquet, name-MOS text) or folder of videos.")]
VLM = "Vision-language models"
BaseAdapter = Annotated[
    str | None,
    typer.Option(
        help="PEFT adapter of f itself, merged into --model first: a folder or a Hub name.", rich_help_panel=VLM
    ),
]
Frames = Annotated[int | None, typer.Option(min=1, help="Of each video.", rich_help_panel=VLM)]
Rate = Annotated[float | None, typer.Option(help="Frames a second, in place of --frames.", rich_help_panel=VLM)]
MostPixels = Annotated[int, typer.Option(min=784, help="Of a frame; larger ones are reduced.", rich_help_panel=VLM)]
TRAINING = "Training"
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the labeled videos.", rich_help_panel=TRAINING)]
TrainingSteps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Batches, in place of --epochs.", rich_help_panel=TRAINING)
]
Batch = Annotated[int, typer.Option(min=2, help="Videos compared in a step.", rich_help_panel=TRAINING)]
LearningRate = Annotated[float, typer.Option(help="Of AdamW.", rich_help_panel=TRAINING)]
Evaluations = Annotated[
    int, typer.Option(min=1, help="On held-out videos, with a checkpoint each.", rich_help_panel=TRAINING)
]
Patience = Annotated[
    int, typer.Option(min=1, help="Evaluations without a better one until it stops.", rich_help_panel=TRAINING)
]
Table = Annotated[Path, typer.Argument(help="Any CSV, JSONL, Parquet, or result folder.")]


def rows_of(videos: Sequence[Video], table: pa.Table) -> list[dict[str, Any]]:
    """The rows of these videos: the folder may hold those of an earlier, longer manifest."""
    wanted = {video.id for video in videos}
    return [row for row in table.select(["id", "status", "text"]).to_pylist() if row["id"] in wanted]


def finish_table(done: str, rows: Sequence[Mapping[str, Any]], out: Path, strict: bool, as_json: bool) -> None:
    """Says what became of the videos of a result table.

    Raises:
        typer.Exit: with `UNDECODABLE` where some failed and `strict` is set.
    """
    failures = {row["id"]: _reason(row) for row in rows if row["status"] != "ok"}
    if as_json:
        listed = [{"id": video, "reason": reason} for video, reason in failures.items()]
        print_json({"videos": len(rows), "ok": len(rows) - len(failures), "failures": listed, "out": str(out)})
    else:
        Console().print(f"{out}: {len(rows) - len(failures)} of {len(rows)} videos {done}", soft_wrap=True)
    terminal.print_failures(failures)
    if strict and failures:
        raise typer.Exit(UNDECODABLE)


def _reason(row: Mapping[str, Any]) -> str:
    """Why a video has no result, in one line; a model's own words are marked as such."""
    text = " ".join((row.get("text") or "").split())
    if row["status"] in ("undecodable", "failed"):
        return text or str(row["status"])
    return f"{row['status'].replace('_', ' ')}: {text}" if text else str(row["status"])


def checked(kind: type[Checked], options: Mapping[str, Any], spelled: Mapping[str, str] | None = None) -> Checked:
    """Settings from the options of a command.

    Args:
        kind: of settings.
        options: by the names of the settings.
        spelled: names of options that differ from those of their settings.

    Raises:
        InputError: an option has a wrong value, or two exclude each other.
    """
    try:
        return kind.model_validate(options)
    except ValueError as error:
        raise InputError(_first_reason(error, spelled or {})) from None


def _first_reason(error: ValueError, spelled: Mapping[str, str]) -> str:
    # What is wrong between two options has no place of its own.
    reasons = [
        "".join(f"--{spelled.get(str(name), name)}: " for name in e["loc"][:1]) + e["msg"].removeprefix("Value error, ")
        for e in getattr(error, "errors", list)()
    ]
    return reasons[0] if reasons else str(error)


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


def print_course(course: Sequence[Mapping[str, float]], out: Path, as_json: bool) -> None:
    """Says how a training went.

    Args:
        course: figures of each evaluation, as in log.csv.
    """
    if not first_process():
        return
    best = max(course, key=lambda line: line["srcc"] if line["srcc"] == line["srcc"] else -2.0)
    if as_json:
        print_json({"out": str(out), "best_step": best["step"], "held_out_srcc": best["srcc"], "log": list(course)})
        return
    before, after = course[0]["srcc"], best["srcc"]
    Console().print(
        f"{out}: SRCC on held-out videos {after:.3f} after {best['step']:.0f} steps ({before:.3f} before training)",
        soft_wrap=True,
    )

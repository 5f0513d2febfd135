"""What the commands share: their options, and how they end."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

import pyarrow as pa
import typer
from annotated_types import Ge, Le
from pydantic.fields import FieldInfo
from rich.console import Console

from mdsvqa.cli.plain import print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.parts import Part
from mdsvqa.runtime.progress import first_process
from mdsvqa.runtime.setting_errors import reason
from mdsvqa.runtime.settings import MOST_SEED, Settings
from mdsvqa.runtime.spool import limit_spool
from mdsvqa.runtime.words import counted
from mdsvqa.videos.about import NAMES, sentences, unusual
from mdsvqa.videos.folder import plain_name
from mdsvqa.videos.settings import ViewSettings
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import PLAIN, View

UNDECODABLE = 4

# Settings whose options are spelled otherwise.
SPELLED = {"reading": "read", "name": "engine", "runner": "engine", "most": "workers-most"}
Checked = TypeVar("Checked", bound=Settings)
Command = TypeVar("Command", bound=Callable[..., Any])

Out = Annotated[Path, typer.Option("--out", "-o", help="Write the result into this folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make anew what other settings made.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 4 when a video cannot be decoded.")]
Workers = Annotated[
    int, typer.Option("--workers", "-j", min=0, help="Decode in so many processes; 0 is one for each core.")
]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Draw everything random by this seed.")]
Scale = Annotated[str, typer.Option(help='Say what MOS in the manifest mean: "1-5", "0-100", "DMOS 0-100".')]
Videos = Annotated[
    str,
    typer.Argument(
        help="Read this manifest (CSV, Excel, MATLAB, JSONL, Parquet, name-MOS text) or folder of videos, here or in a "
        "store (s3://, gs://, https://).",
    ),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", help="Name the column of the ids, where it has none of the usual names.")
]
# Settings that say which frames a vision-language model sees, of commands that take few of its settings.
SIGHT = ("sampling", "fps", "frames", "chroma", *ViewSettings.model_fields)
LARGE = "Large pools"
VLM, TRAINING, PICTURES = "Vision-language models", "Training", "HDR and interlaced videos"
MANIFEST = "Manifest: docs/datasets.md has those of the field"
WHERE = "Where: changes the time, not the result"
VLM_FAMILIES = ", ".join(FAMILIES.values())
BaseAdapter = Annotated[
    str | None,
    typer.Option(
        help="Merge this PEFT adapter of f itself into --model first: a folder or a Hub name.", rich_help_panel=VLM
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first so many videos.")]
Table = Annotated[
    Path, typer.Argument(help="Read this table: any CSV, Excel, MATLAB, JSONL, Parquet, or result folder.")
]


PartOf = Annotated[
    str | None,
    typer.Option(
        "--part",
        help="Take only this part of the videos, such as 3/64, by a hash of their ids, into OUT/part-03-of-64; `mdsvqa "
        "merge` joins the parts.",
        rich_help_panel=LARGE,
    ),
]
MirrorTo = Annotated[
    str | None,
    typer.Option(
        "--mirror",
        help="Copy the result to this folder or store (s3://bucket/prefix) while it is made; rows that only the copy "
        "has are fetched first.",
        rich_help_panel=LARGE,
    ),
]


def of_part(part: str | None, videos: Sequence[Video]) -> Sequence[Video]:
    """The videos of a part, all without one."""
    if part is None:
        return videos
    found = Part.of_text(part)
    return [video for video in videos if found.holds(video.id)]


def rows_of(videos: Sequence[Video], table: pa.Table) -> list[dict[str, Any]]:
    """The rows of these videos: the folder may hold those of an earlier, longer manifest."""
    wanted = {video.id for video in videos}
    columns = [name for name in ("id", "status", "text", *NAMES) if name in table.column_names]
    return [row for row in table.select(columns).to_pylist() if row["id"] in wanted]


def finish_table(
    done: str,
    rows: Sequence[Mapping[str, Any]],
    out: Path,
    strict: bool,
    as_json: bool,
    view: View = PLAIN,
) -> None:
    """Says what became of the videos of a result table.

    Args:
        done: to them.
        rows: of the table, see `rows_of`.
        out: its folder.
        strict, as_json: options of the command.
        view: what was done with HDR and interlaced pictures.

    Raises:
        typer.Exit: with 1 where none has a result; with `UNDECODABLE` where some have none and `strict` is set.
    """
    failures = {row["id"]: _reason(row) for row in rows if row["status"] != "ok"}
    if as_json:
        listed = [{"id": video, "reason": reason} for video, reason in failures.items()]
        counts = {"videos": len(rows), "ok": len(rows) - len(failures), "left_out": len(failures)}
        print_json({**counts, "unusual": unusual(rows), "failures": listed, "out": str(out)})
    else:
        place, ok = plain_name(str(out)), len(rows) - len(failures)
        Console().print(f"{place}: {ok} of {counted(len(rows), 'video')} {done}", soft_wrap=True)
    for sentence in sentences(unusual(rows), view.hdr, view.deinterlace):
        terminal.say(sentence)
    terminal.print_failures(failures)
    if rows and len(failures) == len(rows):
        raise typer.Exit(1)
    if strict and failures:
        raise typer.Exit(UNDECODABLE)


def _reason(row: Mapping[str, Any]) -> str:
    """Why a video has no result, in one line; a model's own words are marked as such."""
    text = " ".join((row.get("text") or "").split())
    if row["status"] in ("undecodable", "failed"):
        return text or str(row["status"])
    return f"{row['status'].replace('_', ' ')}: {text}" if text else str(row["status"])


def with_settings(
    into: str,
    kind: type[Settings],
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    panel: str | None = None,
    panels: Mapping[str, Sequence[str]] | None = None,
    said_only: bool = False,
) -> Callable[[Command], Command]:
    """Options of a command, made from the fields of settings: name, type, default, limits and help.

    The command takes the settings as one argument, or, where options do not say all that they need, their values by
    name. Where the command, or other settings of it, have an option of a field's name already, both get its value.

    Args:
        into: the command's argument that takes the settings.
        kind: of settings; a group within it makes no options.
        only: these fields; all by default.
        without: these fields do not become options.
        panel: of the help in which the options stand.
        panels: other panels, and the fields whose options stand there.
        said_only: the command takes the values of those options alone that somebody gave, by name.
    """
    fields = {
        name: field
        for name, field in kind.model_fields.items()
        if (name in only if only else not issubclass_of(field.annotation, Settings)) and name not in without
    }

    panel_of = {name: title for title, names in (panels or {}).items() for name in names}
    whole = all(name in fields for name, field in kind.model_fields.items() if field.is_required())

    def made(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = {name: parameter for name, parameter in signature.parameters.items() if name != into}
        options = [
            _option(name, field, panel_of.get(name, panel), open_=said_only)
            for name, field in fields.items()
            if name not in own
        ]

        @wraps(command)
        def run(**values: Any) -> Any:
            said = {name: values[name] for name in fields}
            if said_only:
                settings: Any = {name: value for name, value in said.items() if value not in (None, [])}
            else:
                settings = checked(kind, said) if whole else said
            return command(**{name: values[name] for name in own}, **{into: settings})

        run.__signature__ = signature.replace(parameters=[*own.values(), *options])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in [*own.values(), *options]}
        return cast(Command, run)

    return made


def with_spool(command: Command) -> Command:
    """A command that opens videos, with the option that limits what copies of objects take of the disk."""
    signature = inspect.signature(command, eval_str=True)
    option = typer.Option(
        "--spool",
        help="Let copies of videos in a store take so much of the disk at a time, such as 20GB; by default half of "
        "what is free where temporary files lie (TMPDIR).",
    )
    spool = inspect.Parameter(
        "spool", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )
    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]

    @wraps(command)
    def run(**values: Any) -> Any:
        limit_spool(values.pop("spool", None))
        return command(**values)

    run.__signature__ = signature.replace(parameters=[*own, spool])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in [*own, spool]}
    return cast(Command, run)


def _option(name: str, field: FieldInfo, panel: str | None, *, open_: bool) -> inspect.Parameter:
    kind = _plain(field.annotation)
    if open_:
        kind |= None
    bounds: dict[str, Any] = {}
    for limit in field.metadata:
        bounds |= {"min": limit.ge} if isinstance(limit, Ge) else {"max": limit.le} if isinstance(limit, Le) else {}
    option = typer.Option(f"--{option_name(name)}", help=field.description, rich_help_panel=panel, **bounds)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if open_ else list(field.default) if kind == list[str] else field.default,
        annotation=Annotated[kind, option],
    )


def _plain(kind: Any) -> Any:
    """A type of a field as typer takes it: without notes on it, and text where it is one of several."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return list[str]
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        members = [_plain(each) for each in get_args(kind)]
        some = [each for each in members if each is not NoneType]
        several = [list[str]] if any(get_origin(each) is tuple for each in some) else [str]
        one = (some if len(some) == 1 else several)[0]
        return one | None if NoneType in members else one
    return kind


def issubclass_of(kind: Any, parent: type) -> bool:
    """Whether a type, which may be no class, is a subclass."""
    return isinstance(kind, type) and issubclass(kind, parent)


def option_name(name: str) -> str:
    """How a setting is spelled as an option."""
    return SPELLED.get(name, name.strip("_").replace("_", "-"))


def checked(kind: type[Checked], options: Mapping[str, Any]) -> Checked:
    """Settings from the options of a command.

    Args:
        kind: of settings.
        options: by the names of the settings.

    Raises:
        InputError: an option has a wrong value, or two exclude each other.
    """
    try:
        return kind.model_validate(options)
    except ValueError as error:
        raise InputError(_first_reason(error)) from None


def _first_reason(error: ValueError) -> str:
    # What is wrong between two options has no place of its own.
    reasons = [
        "".join(f"--{option_name(str(name))}: " for name in e["loc"][:1]) + reason(e)
        for e in getattr(error, "errors", list)()
    ]
    return reasons[0] if reasons else str(error)


def print_note(text: str) -> None:
    """One line that a person should read, on stderr."""
    Console(stderr=True).print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)


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


def need_label_packages() -> None:
    """Raises `InputError` where what a rating study needs is not installed."""
    missing = [name for name in ("fastapi", "uvicorn", "argon2") if find_spec(name) is None]
    if missing:
        raise InputError(f"a rating study needs {', '.join(missing)}. Install them: pip install 'mdsvqa[label]'")

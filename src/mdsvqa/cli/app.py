"""Which commands there are. Each is imported when it is called: help comes at once, nobody waits for PyTorch unasked.

Exit codes: 0 done; 1 something handed in cannot be used, or not one video could be; 2 wrong usage; 3 labels are needed
before the loop can go on; 4 (with --strict) some videos could not be decoded; 130 interrupted.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from functools import wraps
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import mdsvqa
from mdsvqa.runtime.environment import QUIET, THREADS, VERBOSE
from mdsvqa.runtime.errors import InputError


class Entry(NamedTuple):
    """A command before it is imported.

    Attributes:
        place: "module:name" of its function, or of the group that it is.
        help: its first line; a test compares it with the docstring.
    """

    place: str
    help: str


LOOP, STEPS, MACHINES = "The loop", "Each step alone", "Models and machines"
PANELS = {
    LOOP: {
        "demo": Entry("study:demo", "Run the whole loop on simulated videos: no data, no download, about two minutes."),
        "init": Entry("study:init", "Write a commented study file to fill in."),
        "run": Entry("study:run", "Run a study, or go on with it: what is done is reused, what is missing is made."),
        "report": Entry("study:report", "Write the page of a study that was run before, from its tables."),
        "rehearse": Entry("rehearse:rehearse", "Find out which rules do harm, before labels are paid for."),
    },
    STEPS: {
        "probe": Entry(
            "probe:probe",
            "Show what the files of videos are, and count what is unusual: HDR, interlaced, pixels that are not "
            "square.",
        ),
        "score": Entry("score:score", "Score videos with a quality model f."),
        "content": Entry("content:content", "Encode what videos show, for diversity."),
        "difficulty": Entry(
            "difficulty:app", "Predict where f will be wrong (g), and measure how well that was predicted."
        ),
        "select": Entry("select:select", "Choose the videos to label next."),
        "finetune": Entry(
            "finetune:finetune", "Fine-tune f on source labels and new ones, compared within a data set only."
        ),
        "evaluate": Entry(
            "evaluate:evaluate",
            "SRCC, PLCC (after the four-parameter logistic fit, and without), KRCC and RMSE, each with a 95% interval.",
        ),
        "compare": Entry(
            "evaluate:compare",
            "Which model agrees better with MOS, and is that more than chance? All on the same videos.",
        ),
        "study-size": Entry(
            "evaluate:study_size", "How many videos and raters does it take to measure SRCC this precisely?"
        ),
        "label": Entry("label_serving:app", "Have videos rated by people, and turn their votes into MOS."),
        "gmad": Entry(
            "gmad:app", "Compare models by the few pairs of videos on which they differ most (gMAD competition)."
        ),
    },
    MACHINES: {
        "merge": Entry(
            "results:merge", "Write a checkpoint with its adapter merged, or join the results of the parts of a pool."
        ),
        "compact": Entry(
            "results:compact",
            "Merge the many small files of a result into few, so that it opens faster; its rows stay as they are.",
        ),
        "tiny-vlm": Entry(
            "machine:tiny_vlm",
            "Make a tiny vision-language model of real classes and teach it to rate simulated videos, in about two "
            "minutes.",
        ),
        "doctor": Entry(
            "machine:doctor",
            "Show what this machine will use for models, what is made of a checkpoint, and what to install for more.",
        ),
    },
}
COMMANDS = {name: entry for panel in PANELS.values() for name, entry in panel.items()}
SPEECH = (
    ("--quiet", QUIET, "Say nothing but results and errors."),
    ("--verbose", VERBOSE, "Say when each thing was said, and where an error came from."),
)
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class Commands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, _, attribute = COMMANDS[name].place.partition(":")
            found = getattr(import_module(f"mdsvqa.cli.{module}"), attribute)
            if not isinstance(found, typer.Typer):
                command, found = found, typer.Typer(rich_markup_mode="rich", add_completion=False)
                found.command(name, context_settings=HELP_OPTIONS)(command)
            for each in found.registered_commands:
                each.callback = each.callback and _with_speech(each.callback)
            self._loaded[name] = typer.main.get_command(found)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name!r}: commands stay")

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _with_speech(command: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a command, with the options that say how much is said."""
    signature = inspect.signature(command, eval_str=True)
    if "quiet" in signature.parameters:
        return command
    speech = [
        inspect.Parameter(
            option.strip("-"),
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, typer.Option(option, help=help_)],
        )
        for option, _, help_ in SPEECH
    ]

    @wraps(command)
    def run(**values: Any) -> Any:
        for option, variable, _ in SPEECH:
            if values.pop(option.strip("-")):
                os.environ[variable] = "1"
        return command(**values)

    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*own, *speech])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in [*own, *speech]}
    return run


class CommandGroup(TyperGroup):
    """The commands, listed without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": {}})
        self.commands = Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the help."""
        return list(self.commands)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Names and options that begin so, without importing a command."""
        loaded = self.commands
        self.commands = {name: TyperCommand(name, help=entry.help) for name, entry in COMMANDS.items()}
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self.commands = loaded

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The page of --help: typer's own would import every command, and rich's Markdown for itself."""
        from rich.console import Console, Group
        from rich.padding import Padding
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        options = [record for each in self.get_params(ctx) if (record := each.get_help_record(ctx)) is not None]
        panels = {title: [(name, entry.help) for name, entry in entries.items()] for title, entries in PANELS.items()}
        usage = Text.assemble((" Usage: ", "bold yellow"), (f"{ctx.command_path} [OPTIONS] COMMAND [ARGS]...", "bold"))
        parts: list[Any] = ["", usage, "", Padding(self.help or "", (0, 1)), ""]
        wide = max(len(name) for name in COMMANDS)
        for title, rows in {**panels, "Options": options}.items():
            table = Table.grid(padding=(0, 2), expand=True)
            table.add_column(style="bold cyan", no_wrap=True, min_width=wide)
            table.add_column(ratio=1)
            for row in rows:
                table.add_row(*map(Text, row))
            parts.append(Panel(table, title=title, title_align="left", border_style="dim"))
        Console(highlight=False).print(Group(*parts, "", Padding(self.epilog or "", (0, 1)), ""))


app = typer.Typer(
    name="mdsvqa",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=HELP_OPTIONS,
    help="Choose which videos to label next, fine-tune a video quality model on them, and see whether it helped.\n\n"
    "New here? [bold]mdsvqa demo[/bold] shows the whole loop; [bold]mdsvqa init[/bold] starts a study of your own.",
    epilog="Exit codes: 0 done, 1 unusable input or no usable video, 2 wrong usage, 3 labels needed, 4 undecodable "
    "videos (--strict).",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mdsvqa {mdsvqa.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def run() -> None:
    """Runs the command that the arguments of this process name; what is wrong with them is one line on stderr."""
    # The problems here are small: more threads wait for each other, badly so on a busy machine. Read on import only.
    for name in THREADS:
        os.environ.setdefault(name, "1")
    try:
        app(prog_name="mdsvqa")
    except InputError as error:
        if os.environ.get(VERBOSE):
            traceback.print_exc()
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)

"""The commands `mdsvqa label`: votes of people and what they say."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from mdsvqa.cli.plain import AsJson, choice, print_json
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.models import MODELS, PAIRS, estimate_scores
from mdsvqa.labeling.screening import ScreeningSettings, flags, screening_figures, side_by_side
from mdsvqa.labeling.vote_export import long_csv, pairs_csv, pseudonyms, videos_csv, wide_csv
from mdsvqa.labeling.vote_tables import AUTO, FORMATS, LONG, WIDE, read_votes
from mdsvqa.labeling.votes import REPEAT, PairVotes, Votes
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.words import counted
from mdsvqa.videos.mos_scale import MosScale

app = typer.Typer(no_args_is_help=True, help="Have videos rated by people, and turn their votes into MOS.")

Ratings = Annotated[
    Path,
    typer.Argument(
        help="Read these votes: a long table (video, rater, vote), a wide one (a row a video, a column a rater), "
        "pairs (better, "
        "worse, rater), Label Studio's JSON, or votes_per_worker of microsoft/P.910."
    ),
]
Form = Annotated[
    str, typer.Option("--format", help=f"Read the votes in this form: {', '.join(FORMATS)}; auto looks at the columns.")
]
ScaleOfVotes = Annotated[
    str | None,
    typer.Option(
        "--scale", help='Say on which scale the votes are, such as "0-100" (default: the column scale, else 1-5).'
    ),
]
Question = Annotated[
    str | None, typer.Option(help="Take this Rating tag of Label Studio, where annotations have several.")
]
MODEL_HELP = "; ".join(f"{name}: {model.about.rstrip('.')}" for name, model in MODELS.items())
# Rows of a table that a person reads before asking for a file.
SHOWN = 20


@app.command()
def mos(
    ratings: Ratings,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"Make MOS by this model. {MODEL_HELP}; {PAIRS}: Thurstone's, for pairs. Default: panel, or {PAIRS}."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write this CSV: id, mos, mos_low, mos_high, mos_std, votes; a study takes it as its labels."
        ),
    ] = None,
    form: Form = AUTO,
    scale: ScaleOfVotes = None,
    question: Question = None,
    as_json: AsJson = False,
) -> None:
    """Turn votes into MOS with 95% intervals, and say what is known of the raters."""
    if model is not None:
        choice("--model", model, [*MODELS, PAIRS])
    votes = _read(ratings, form, scale, question)
    found = estimate_scores(votes, model)
    if out is not None:
        write_atomically(out, videos_csv(found, votes))
    _warn(votes, found)
    if as_json:
        print_json(as_object(found, votes))
        return
    _print(found, votes)
    if out is not None:
        Console().print(
            f"{out}: MOS of {counted(len(votes.videos), 'video')}", soft_wrap=True, highlight=False, markup=False
        )


@app.command("import")
def import_votes(
    ratings: Ratings,
    out: Annotated[Path, typer.Option("--out", "-o", help="Write this CSV.")],
    form: Form = AUTO,
    scale: ScaleOfVotes = None,
    question: Question = None,
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Write a column for each rater, of votes that count, in place of a row a vote."),
    ] = False,
    pseudonymous: Annotated[
        bool, typer.Option("--pseudonyms", help="Write r001, r002, ... in place of the names of raters.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take votes from elsewhere into one table, a row a vote, which every command here reads."""
    votes = _read(ratings, form, scale, question)
    raters = pseudonyms(len(votes.raters)) if pseudonymous else None
    if isinstance(votes, PairVotes):
        if wide:
            raise InputError("--wide: answers to pairs have no table with a column for each rater; leave it out.")
        content = pairs_csv(votes, raters)
    else:
        content = wide_csv(votes, raters) if wide else long_csv(votes, raters)
    write_atomically(out, content)
    said = {"votes": len(votes), "videos": len(votes.videos), "raters": len(votes.raters), "out": str(out)}
    counts = {"counted": len(votes.counted()), "left_out": len(votes) - len(votes.counted()), **said}
    if as_json:
        print_json(counts)
        return
    Console().print(
        f"{out}: {counted(len(votes), 'vote')} of {counted(len(votes.raters), 'rater')} on "
        f"{counted(len(votes.videos), 'video')}, of which "
        f"{counts['counted']} count",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def as_object(found: Estimate, votes: Votes | PairVotes) -> dict[str, Any]:
    """What --json prints, in the order of the file; null where the model has nothing."""
    videos = [
        {"id": name, "mos": mos, "low": low, "high": high, "se": se, "votes": n}
        for name, mos, low, high, se, n in zip(
            votes.videos,
            found.mos.tolist(),
            found.low.tolist(),
            found.high.tolist(),
            found.se.tolist(),
            found.votes.tolist(),
            strict=True,
        )
    ]
    rejected = [None] * len(votes.raters) if found.rejected is None else found.rejected.tolist()
    raters = [
        {"id": name, "bias": bias, "inconsistency": inconsistency, "weight": weight, "rejected": left_out}
        for name, bias, inconsistency, weight, left_out in zip(
            votes.raters,
            found.bias.tolist(),
            found.inconsistency.tolist(),
            found.weight.tolist(),
            rejected,
            strict=True,
        )
    ]
    left_out = len(votes) - len(votes.counted())
    return {"model": found.model, "videos": videos, "raters": raters, "left_out": left_out}


def _read(path: Path, form: str, scale: str | None, question: str | None) -> Votes | PairVotes:
    choice("--format", form, FORMATS)
    if question is not None and form in (LONG, WIDE):
        raise InputError(f"--question: is about Label Studio's annotations, which {form!r} has not; leave it out.")
    try:
        of_votes = None if scale is None else MosScale.parse(scale)
    except ValueError as error:
        raise InputError(f"--scale: {error}") from None
    return read_votes(path, form=form, scale=of_votes, question=question)


def _warn(votes: Votes | PairVotes, found: Estimate) -> None:
    console = Console(stderr=True)
    lines = []
    if isinstance(votes, Votes) and (repeats := int((votes.kind == REPEAT).sum())):
        lines.append(f"{repeats} further votes of raters on a video that they had rated do not count.")
    if found.parts > 1:
        link = "pair" if found.scale == PAIRS else "rater"
        lines.append(
            f"The videos fall into {found.parts} groups without a common {link}: "
            "MOS of two groups have no common scale, and each is centred for itself. Have some raters see both."
        )
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _print(found: Estimate, votes: Votes | PairVotes) -> None:
    console = Console()
    settings = "".join(f", {name} {value:.3g}" for name, value in found.settings.items())
    title = f"MOS by {found.model}{settings}" if found.scale != PAIRS else f"Scores from pairs, no levels{settings}"
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("video", "MOS" if found.scale != PAIRS else "score", "95% interval", "votes"):
        table.add_column(heading)
    for j in range(min(len(votes.videos), SHOWN)):
        interval = f"[{_number(found.low[j])}, {_number(found.high[j])}]"
        table.add_row(escape(votes.videos[j]), _number(found.mos[j]), interval, str(found.votes[j]))
    console.print(table)
    if len(votes.videos) > SHOWN:
        console.print(f"and {len(votes.videos) - SHOWN} more: --json or --out FILE.", highlight=False)
    if found.scale == PAIRS:
        return
    raters = RichTable(box=box.SIMPLE_HEAD)
    for heading in ("rater", "bias", "inconsistency", "weight", "rejected"):
        raters.add_column(heading)
    for i in range(min(len(votes.raters), SHOWN)):
        values = (_number(values[i]) for values in (found.bias, found.inconsistency, found.weight))
        left_out = "" if found.rejected is None else "yes" if found.rejected[i] else "no"
        raters.add_row(escape(votes.raters[i]), *values, left_out)
    console.print(raters)
    if len(votes.raters) > SHOWN:
        console.print(f"and {len(votes.raters) - SHOWN} more raters: --json.", highlight=False)
    if isinstance(votes, Votes):
        _print_flags(console, votes, found.model)


def _print_flags(console: Console, votes: Votes, model: str) -> None:
    """Raters that the rules of studies would flag, and how far MOS move without them."""
    found = flags(votes, ScreeningSettings())
    if not found:
        return
    for flag in found:
        console.print(
            f"flagged: {votes.raters[flag.rater]}: {flag.reason}", soft_wrap=True, highlight=False, markup=False
        )
    change = screening_figures(votes, found, side_by_side(votes, found, model))["without_flagged"]
    moved = (
        "nobody else voted"
        if change["mean_change"] is None
        else f"without them, MOS move by {change['mean_change']:.3f} on average, {change['largest_change']:.3f} at most"
    )
    console.print(f"Their votes count here; {moved}.", soft_wrap=True, highlight=False, markup=False)


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"

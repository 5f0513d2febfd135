"""What a person sees in a terminal: tables and sentences on stdout, everything else on stderr."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.paper_tables import probability
from mdsvqa.runtime.progress import terminal as progress
from mdsvqa.runtime.words import counted
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.settings import RULE_MATTERS
from mdsvqa.videos.folder import plain_name

# Nobody waits for PyTorch who only asks for help.
if TYPE_CHECKING:
    from mdsvqa.evaluation.failure import FailureEvaluation
    from mdsvqa.models.doctor import Findings
    from mdsvqa.report.figures import Figures
    from mdsvqa.selection.explain import Explanation
    from mdsvqa.study.config import StudyConfig
    from mdsvqa.study.result import StudyResult

__all__ = [
    "print_explanation",
    "print_failure",
    "print_failures",
    "print_findings",
    "print_selection",
    "print_study",
    "progress",
    "say",
]

MOST_LISTED = 20


def print_study(config: "StudyConfig", result: "StudyResult", figures: "Figures", page: Path) -> None:
    """The figures of a study, what they mean, and where its page is."""
    from mdsvqa.report.headline import next_step
    from mdsvqa.report.rehearsal import rehearsal_sentences
    from mdsvqa.report.sentences import findings
    from mdsvqa.study.rehearsal.run import load_rehearsal

    console = Console()
    data = result.data
    console.print(f"\n[bold]{escape(config.title)}[/bold]", highlight=False)
    console.print(
        f"{len(data.source)} labeled source videos; a pool of {len(data.pool)}, {len(result.selected)} "
        f"chosen; {len(data.target_test)} target and {len(data.source_test)} source test videos. "
        + ("All videos and ratings are simulated." if config.simulated else ""),
        highlight=False,
    )
    if figures.rules:
        console.print(_rules_table(config, figures))
    elif figures.target:
        console.print(_rounds_table(figures))
    for sentence in findings(config, result, figures):
        console.print(f"• {sentence}", highlight=False, markup=False, soft_wrap=True)
    step = next_step(config, result, figures)
    if step:
        console.print(f"• Next step: {step}", highlight=False, markup=False, soft_wrap=True)
    rehearsal = load_rehearsal(config)
    if rehearsal is not None:
        for sentence in rehearsal_sentences(rehearsal, figures.on_target):
            console.print(f"• Rehearsal: {sentence}", highlight=False, markup=False, soft_wrap=True)
    for note in result.notes:
        console.print(f"• Note: {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nReport: {page}", highlight=False, markup=False, soft_wrap=True)


def _rules_table(config: "StudyConfig", figures: "Figures") -> Table:
    from mdsvqa.selection.catalogue import label_of

    table = Table(
        title=f"SRCC with MOS after labeling {config.selection.budget} of the pool: mean of {config.comparison.seeds} "
        "seeds",
        caption="In brackets 95% intervals; p adjusted for all rules (Holm). target: test videos of the new domain, "
        "which no rule could choose from. Every seed offers all rules the same random "
        f"{config.comparison.pool_share:.0%} of the pool.",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    for heading in ("selection rule", "target", "against random", "p", "source"):
        table.add_column(heading, no_wrap=True)
    for rule, (target, source) in figures.rules.items():
        table.add_row(
            label_of(rule),
            f"{target.metrics['srcc'].value:.3f}",
            _signed(target.over_random),
            "" if target.p_over_random is None else probability(target.p_over_random),
            "" if source is None else f"{source.metrics['srcc'].value:.3f}",
        )
    return table


def _rounds_table(figures: "Figures") -> Table:
    from mdsvqa.selection.catalogue import BASE

    table = Table(title="SRCC with MOS [95% interval]", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("model", "target test", "against base", "source test"):
        table.add_column(heading, no_wrap=True)
    for name, summary in figures.target.items():
        table.add_row(
            "base model" if name == BASE else f"after {name}",
            f"{summary.metrics['srcc']:.3f}",
            _signed(summary.over_base),
            f"{figures.source[name].metrics['srcc'].value:.3f}" if name in figures.source else "",
        )
    return table


def _signed(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval:+.3f}"


def print_selection(rows: Sequence[Mapping[str, Any]], out: Path | None, pool: int, left_out: int = 0) -> None:
    """The chosen videos of a pool of so many, best first; how many could not be chosen."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("rank", "id", "difficulty", "diversity", "utility"):
        table.add_column(heading, justify="left" if heading == "id" else "right", overflow="fold")
    audited = any(row["rule"] == AUDIT for row in rows)
    if audited:
        table.add_column("")
    for row in rows:
        numbers = [f"{row['percentile']:.0f}"]
        numbers += ["" if row[name] is None else f"{row[name]:.3f}" for name in ("diversity", "utility")]
        mark = [AUDIT if row["rule"] == AUDIT else ""] if audited else []
        table.add_row(str(row["rank"]), escape(row["id"]), *numbers, *mark)
    Console().print(table)
    Console().print("difficulty: percentile in the pool, 100 the hardest for f.", highlight=False)
    if audited:
        Console().print("audit: drawn at random. Measure the model on these, and train it on the others.")
    if left_out:
        Console().print(f"{counted(left_out, 'video')} left out: excluded, or without a difficulty or frames.")
    if len(rows) > RULE_MATTERS * pool:
        Console().print(
            f"{len(rows)} of {counted(pool, 'video')}: with more than {RULE_MATTERS:.0%} of a pool labeled it hardly "
            "matters which rule chooses.",
            soft_wrap=True,
        )
    if out is not None:
        Console().print(str(out), soft_wrap=True, highlight=False, markup=False)


def print_explanation(found: "Explanation") -> None:
    """Why a video was chosen, or was not."""
    console = Console(highlight=False)
    console.print(f"{found.id}: {found.reason}", markup=False, soft_wrap=True)
    console.print(f"Difficulty {found.difficulty:.3f}, the {_ordinal(found.difficulty_rank)} of {found.of}.")
    if found.neighbours:
        near = ", ".join(f"{name} at {distance:.3f}" for name, distance in found.neighbours)
        console.print(f"Nearest of those chosen before it: {near}.", markup=False, soft_wrap=True)
    if found.steps:
        table = Table(box=box.SIMPLE_HEAD)
        for heading in ("step", "utility", "best utility", "rank", "of"):
            table.add_column(heading, justify="right")
        for step in found.steps:
            table.add_row(str(step.step), f"{step.utility:.3f}", f"{step.best:.3f}", str(step.rank), str(step.rivals))
        console.print(table)


def _ordinal(number: int) -> str:
    """
    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 112, 23)]
    ['1st', '2nd', '3rd', '4th', '11th', '112th', '23rd']
    """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def print_failure(difficulty: str, error: str, result: "FailureEvaluation", left_out: int) -> None:
    """How well one column of difficulties predicts errors, and what its controls give."""
    from mdsvqa.evaluation.failure import FIGURES

    title = f"{difficulty}: {result.n} videos, {result.k} chosen, {error} error"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("figure", "value", "95% interval"):
        table.add_column(heading, no_wrap=True)
    for name, words in FIGURES.items():
        interval = result.figures[name]
        table.add_row(words, f"{interval.value:.3f}", f"[{interval.low:.3f}, {interval.high:.3f}]")
    Console().print(table)
    if left_out:
        Console().print(f"{counted(left_out, 'row')} left out: no score, no MOS, or no difficulty.")
    for warning in result.warnings:
        Console().print(f"Warning: {warning}", highlight=False, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """One line on stderr."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def print_failures(failures: Mapping[str, str]) -> None:
    """The videos that could not be used, and why; on stderr."""
    if not failures:
        return
    console = Console(stderr=True)
    console.print(f"{counted(len(failures), 'video')} could not be used:", highlight=False)
    for video, reason in list(failures.items())[:MOST_LISTED]:
        console.print(f"  {plain_name(video)}: {plain_name(reason)}", highlight=False, markup=False, soft_wrap=True)
    if len(failures) > MOST_LISTED:
        console.print(f"  ... and {len(failures) - MOST_LISTED} more, in the table", highlight=False)


def print_findings(findings: "Findings") -> None:
    """What `mdsvqa doctor` found."""
    console = Console()
    parts = [("This machine", findings.facts), ("Packages", findings.packages)]
    if findings.checkpoint:
        parts.append(("This checkpoint", findings.checkpoint))
    for title, rows in parts:
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
        for name, value in rows.items():
            table.add_row(name, value)
        console.print(table)
    for sentence in [findings.fits, *findings.advice]:
        if sentence:
            console.print(f"• {sentence}", highlight=False, markup=False, soft_wrap=True)

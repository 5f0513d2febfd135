"""What a person sees of a rehearsal in a terminal."""

from collections import defaultdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mdsvqa.study.rehearsal.run import Rehearsal


def print_rehearsal(found: Rehearsal, study: Path, *, auto: bool) -> None:
    """The table of rules, the curve of budgets, the recommendation, and how to use it."""
    console = Console(highlight=False)
    console.print(_rules(found))
    if found.curve:
        console.print(_curve(found))
    console.print(f"[bold]{found.sentence()}[/bold]", soft_wrap=True)
    for note in found.notes():
        console.print(f"• {note}", markup=False, soft_wrap=True)
    how = "The study uses it (rule: auto)" if auto else f"To use it, write rule: auto under selection: in {study}"
    console.print(f"\n{how}; then: mdsvqa run {study}", markup=False, soft_wrap=True)


def _rules(found: Rehearsal) -> Table:
    answer = found.answer
    title = (
        f"{found.budget} labels on {len(found.targets)} parts of the source: gain in target SRCC over random selection "
        f"({answer.random_srcc:.3f})"
    )
    table = Table(
        title=title,
        caption=f"No new labels: {answer.base_srcc - answer.random_srcc:+.3f}. Everything labeled: "
        f"{answer.everything_srcc - answer.random_srcc:+.3f}.",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("rule", "gain [95%]", f"over {answer.fallback} [95%]", "runs", ""):
        table.add_column(
            heading,
            justify="left" if heading == "rule" else "right",
            no_wrap=heading != "rule",
            min_width=20 if heading == "rule" else None,
        )
    for each in answer.standings:
        table.add_row(
            each.rule,
            f"{each.gain:+.3f}",
            "" if each.rule == answer.fallback else f"{each.over_fallback:+.3f}",
            str(each.repeats),
            "struck out" if each.struck else "ahead" if each.ahead else "",
        )
    return table


def _curve(found: Rehearsal) -> Table:
    labels = sorted({point.labels for point in found.curve})
    table = Table(title="Target SRCC by labels", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("rule")
    for count in labels:
        table.add_column(str(count), justify="right")
    rows: dict[str, dict[int, float]] = defaultdict(dict)
    for point in found.curve:
        rows[point.contender][point.labels] = point.srcc
    for name, by_labels in rows.items():
        table.add_row(name, *(f"{by_labels[count]:.3f}" if count in by_labels else "" for count in labels))
    return table

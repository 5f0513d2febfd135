"""The parts of the docs that are made from the code: `make texts` writes them, a test compares."""

from collections.abc import Callable
from pathlib import Path
from textwrap import fill

import mdsvqa
from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.selection.catalogue import RULES

PACKAGE = Path(mdsvqa.__file__).parent
ROOT = PACKAGE.parents[1]


def rules_table() -> str:
    """The first table of docs/rules.md."""
    rows = [(f"`{rule.name}`", rule.takes, rule.use, rule.needs) for rule in RULES.values()]
    rows.append(
        ("`auto`", "by the rule that a [rehearsal](rehearsal.md) recommends", "when you do not know", "a source")
    )
    lines = [("rule", "takes", "use it", "needs"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines).replace(
        "| --- | --- | --- | --- |", "|---|---|---|---|"
    )


def template_rules() -> str:
    """The list in the study template."""
    names = f"One of auto (what a rehearsal recommends; docs/rehearsal.md), {', '.join(RULES)}; see docs/rules.md."
    return fill(names, 118, initial_indent="  # ", subsequent_indent="  # ", break_on_hyphens=False)


def template_predictors() -> str:
    """The list in the study template."""
    names = f"One of auto (the best in cross-validation), {', '.join(PREDICTORS)}."
    return fill(names, 118, initial_indent="  # ", subsequent_indent="  # ", break_on_hyphens=False)


# File, the lines before and behind the part (which stay), and what stands between them.
PARTS: tuple[tuple[Path, str, str, Callable[[], str]], ...] = (
    (ROOT / "docs" / "rules.md", "them. `selection: {rule", "## Why", rules_table),
    (PACKAGE / "study" / "study_template.yaml", "selection:", "  # facility-location covers", template_rules),
    (PACKAGE / "study" / "study_template.yaml", "difficulty:", "  predictor:", template_predictors),
)


def made(path: Path, before: str, behind: str, text: str) -> str:
    """A file with a part of it made anew."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(before)) + 1
    end = next(number for number, line in enumerate(lines) if line.startswith(behind) and number >= start)
    blank = [""] if path.suffix == ".md" else []
    # Prose goes on to the end of its paragraph.
    while blank and lines[start].strip():
        start += 1
    return "\n".join([*lines[:start], *blank, *text.splitlines(), *blank, *lines[end:]]) + "\n"


if __name__ == "__main__":
    for path, before, behind, text in PARTS:
        path.write_text(made(path, before, behind, text()), encoding="utf-8")

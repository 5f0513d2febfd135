"""The command lines of README.md and docs/: where they stand, and what they are about."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mdsvqa

ROOT = Path(mdsvqa.__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
# A block with its language, and a comment right above it that says why it is not run.
BLOCK = re.compile(r"(?:^<!-- not run: (.+?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(mdsvqa [^`]+)`")
# What a marked block may need. Everything else is run.
REASONS = {"the network", "a server", "a GPU", "a cluster", "writes into the home folder"}


@dataclass(frozen=True)
class Line:
    """One command line.

    Attributes:
        page: file that it stands in.
        words: of the command, comments and continuations resolved, without the folder of the program.
        comment: behind it.
        needs: why it is not run, "" where it is.
    """

    page: Path
    words: tuple[str, ...]
    comment: str
    needs: str


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Fenced blocks of a page: why it is not run, language, text."""
    return [(needs or "", language, text) for needs, language, text in BLOCK.findall(page.read_text(encoding="utf-8"))]


def lines_of(page: Path) -> Iterator[Line]:
    """The command lines in the blocks of a page, in their order."""
    for needs, language, text in blocks(page):
        if language != "bash":
            continue
        for line in text.replace("\\\n", " ").splitlines():
            command, _, comment = re.sub(r"(^|\s)#(?=\s)", "\0", line).partition("\0")
            for part in re.split(r"\s&&\s", command.strip()):
                words = shlex.split(part)
                if words:
                    yield Line(page, (Path(words[0]).name, *words[1:]), comment.strip(), needs)


def inline(page: Path) -> list[tuple[str, ...]]:
    """Commands of mdsvqa in the sentences of a page."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [tuple(shlex.split(" ".join(text.split()))) for text in INLINE.findall(prose)]

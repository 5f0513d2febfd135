"""The files of configs/cluster: their command lines are those that there are."""

import re
import shlex

import pytest
import typer
import yaml

from doc_lines import ROOT
from mdsvqa.cli.app import app

FILES = sorted((ROOT / "configs" / "cluster").glob("*.yaml"))


def commands(text: str) -> list[list[str]]:
    """The command lines of mdsvqa in a shell text, with numbers for what a shell works out."""
    lines = re.findall(r"^\s*(?:#\s+)?(mdsvqa .*)$", text.replace("\\\n", " "), re.MULTILINE)
    return [shlex.split(re.sub(r"\$\w+", "7", line), comments=True) for line in lines]


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_file_is_yaml_and_says_that_it_was_not_run(path) -> None:
    text = path.read_text()
    assert isinstance(yaml.safe_load(text), dict)
    assert "Not run by our tests" in text.splitlines()[0] + text.splitlines()[1]


def test_their_command_lines_are_read() -> None:
    found = [words for path in FILES for words in commands(path.read_text())]
    assert {words[1] for words in found} == {"score", "merge"}
    for words in found:
        command = typer.main.get_command(app).commands[words[1]]
        context = command.make_context(words[1], words[2:])
        assert words[1] == "merge" or re.fullmatch(r"7/(7|64)", context.params["part"])


def test_the_index_of_kubernetes_and_the_rank_of_skypilot_count_from_0() -> None:
    texts = {path.stem: path.read_text() for path in FILES}
    assert "JOB_COMPLETION_INDEX + 1" in texts["kubernetes"]
    assert "SKYPILOT_JOB_RANK + 1" in texts["skypilot-job"]
    assert yaml.safe_load(texts["kubernetes"])["spec"]["completions"] == 64

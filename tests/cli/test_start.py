"""The first moments of a command: its version, and what a shell completes."""

import os
import subprocess
import sys

import mdsvqa
from mdsvqa.cli.app import COMMANDS

CALLED = "import sys; sys.argv = ['mdsvqa', *sys.argv[1:]]; from mdsvqa.__main__ import main; main(); "
HEAVY = {"torch", "sklearn", "scipy", "pandas", "numpy", "transformers"}


def completed(words: str) -> list[str]:
    """What bash offers for the last of these words."""
    asked = {"_MDSVQA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", CALLED], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    return done.stdout.split()


def test_the_version_is_said_without_the_command_line() -> None:
    command = [sys.executable, "-c", CALLED + "print(*sys.modules)", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said, modules = done.stdout.splitlines()
    assert said == f"mdsvqa {mdsvqa.__version__}"
    assert not {"typer", "rich", *HEAVY} & set(modules.split())


def test_a_shell_completes_commands_and_options() -> None:
    assert completed("mdsvqa ") == list(COMMANDS)
    assert completed("mdsvqa stu") == ["study-size"]
    assert completed("mdsvqa --ver") == ["--version"]
    assert completed("mdsvqa difficulty ") == ["predict", "train", "evaluate"]
    assert completed("mdsvqa compare --late") == ["--latex"]

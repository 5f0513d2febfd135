"""Runs a command of mdsvqa in this process, as its console script does."""

import sys

import pytest

from mdsvqa.__main__ import main


def ended(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mdsvqa", *map(str, arguments)])
        try:
            main()
        except SystemExit as exit:
            return int(exit.code or 0)
    return 0


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    """What a command prints on stdout and stderr; checks its exit code."""
    capsys.readouterr()
    found = ended(*arguments)
    said = capsys.readouterr()
    assert found == code, said.err
    return said.out, said.err

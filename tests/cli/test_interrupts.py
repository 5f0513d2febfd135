"""Ctrl-C at any moment of a command: one line, exit code 130, and the next run goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kills import INTERRUPTED
from mdsvqa.__main__ import STOPPED


def command(name: str, corpus: Path, folder: Path) -> list[str]:
    """A command that takes a while and writes results."""
    return {
        "score": ["score", str(corpus), "--out", str(folder / "scores"), "--workers", "2"],
        "content": ["content", str(corpus), "--out", str(folder / "content"), "--workers", "2"],
        "run": ["run", str(folder / "study.yaml")],
    }[name]


SOME = {("score", 1), ("content", 0)}


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        pytest.param(name, moment, marks=() if (name, moment) in SOME else pytest.mark.slow)
        for name in ("score", "content", "run")
        for moment in (0, 1, 3)
    ],
)
def test_an_interrupt_is_one_line_and_the_next_run_goes_on(
    name: str, moment: int, small_corpus: Path, write_study, tmp_path: Path
) -> None:
    write_study()
    arguments = command(name, small_corpus, tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    stopped = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(moment), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert stopped.stderr.endswith(STOPPED)
    assert stopped.stderr.count(STOPPED) == 1
    again = subprocess.run(
        [sys.executable, "-m", "mdsvqa", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert again.returncode == 0, again.stderr


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, mdsvqa.cli.app as app\n"
        "from mdsvqa.__main__ import main\n"
        "def stubborn():\n"
        "    while True:\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        except KeyboardInterrupt:\n"
        "            print('swallowed', flush=True)\n"
        "app.run = stubborn\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stdout == "swallowed\n"
    assert signal.getsignal(signal.SIGINT) is not None

"""Ctrl-C in every command, when it begins, in its middle and at its end.

A moment is a number of calls of this package's functions, not a time. Commands run in forks of this process, which has
imported everything, so that dozens of them take seconds.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import mdsvqa
from commands import ended
from given_files import give
from mdsvqa.__main__ import STOPPED, main
from mdsvqa.cli.app import Commands

# Some minutes; `test_interrupts.py` has the moments that every command shares.
pytestmark = pytest.mark.slow
PACKAGE = str(Path(mdsvqa.__file__).parent)
# Each in a folder where those above it have run.
COMMANDS = """
init own.yaml
score videos.csv --workers 1 --out scores
content videos.csv --workers 1 --out content
difficulty predict videos.csv --scores scores --out difficulty
select difficulty --content content --budget 5 --out selection
finetune videos.csv --features scores/_features --model scores/_model.safetensors --labels labels.csv --out tuned
evaluate any.csv --mos MOS --score f
compare any.csv --scores f g --mos MOS --draws 50
study-size any.csv --score f --mos MOS --width 0.2 --studies 20
difficulty evaluate any.csv --score f --mos MOS --difficulty h --draws 50
gmad pairs any.csv --scores f g h --out gmad
gmad rank gmad --mos MOS
label mos ratings.csv --out mos.csv
label import ratings.csv --out votes.csv
run study.yaml
report study.yaml
rehearse study.yaml
doctor
""".strip().splitlines()
WAITS = {"run study.yaml": 3}


class Counting:
    """Counts calls of this package's functions, and interrupts this process at one of them."""

    def __init__(self, moment: int) -> None:
        self.moment, self.calls = moment, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.calls += 1
            if self.calls == self.moment:
                os.kill(os.getpid(), signal.SIGINT)


def forked(words: list[str], moment: int, said: Path) -> tuple[int, int, str]:
    """Runs a command in a fork: its exit code, how many calls it made where it was not stopped, its stderr."""
    counted = said.with_suffix(".count")
    child = os.fork()
    if child == 0:
        code = 99
        try:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            sys.argv = ["mdsvqa", *words]
            counting = Counting(moment)
            sys.setprofile(counting)
            try:
                main()
                code = 0
            except SystemExit as exit:
                code = int(exit.code or 0)
            finally:
                sys.setprofile(None)
                counted.write_text(str(counting.calls))
                sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), int(counted.read_text()) if counted.exists() else 0, said.read_text()


@pytest.fixture(scope="module")
def place(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's files."""
    folder = tmp_path_factory.mktemp("interrupted")
    give(folder, small_corpus)
    return folder


@pytest.fixture(scope="module")
def undisturbed(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], int]:
    """How many calls a command makes, by running all in another folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    give(folder, small_corpus)
    here, found, loaded = Path.cwd(), {}, Commands()
    for name in loaded:
        loaded[name]
    os.chdir(folder)
    try:
        for line in COMMANDS:
            code, calls, said = forked(line.split(), 0, folder / "said.txt")
            assert code == WAITS.get(line, 0), (line, said)
            found[line] = calls
    finally:
        os.chdir(here)
    return found.__getitem__


@pytest.mark.parametrize("line", COMMANDS)
def test_an_interrupt_is_one_line_and_the_command_goes_on(
    line: str, place: Path, undisturbed: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    calls = undisturbed(line)
    assert calls > 10
    # The first call is main's own, which takes the interrupt in hand.
    for moment in (2, calls // 2, calls):
        (place / "said.count").unlink(missing_ok=True)
        code, made, said = forked(line.split(), moment, place / "said.txt")
        # A run that goes on may be over before that many calls.
        if made and made < moment:
            assert code == WAITS.get(line, 0), said
            continue
        assert code == 130, (moment, calls, said)
        assert said.endswith(STOPPED), said
        assert said.count(STOPPED) == 1
        assert "Traceback" not in said
    if line.startswith("init"):
        (place / "own.yaml").unlink(missing_ok=True)
    assert ended(*line.split()) == WAITS.get(line, 0)

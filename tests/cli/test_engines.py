"""Commands on a Ray cluster that they start: what ends them, and what they leave behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from commands import ended, printed
from kills import INTERRUPTED, KILLED
from mdsvqa.__main__ import STOPPED
from mdsvqa.runtime.results import read_table

pytest.importorskip("ray", reason="needs Ray")
MARK = "MDSVQA_TEST_OF_ENGINES"


def run(script: str, moment: int, *arguments: object, mark: str) -> subprocess.CompletedProcess[str]:
    """One command that something happens to at a stated moment; its processes bear a mark."""
    return subprocess.run(
        [sys.executable, "-c", script, str(moment), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", MARK: mark},
    )


def left_behind(mark: str) -> list[str]:
    """The processes that bear a mark, after as long as they may take to notice; two helpers of Ray take minutes."""
    ends = monotonic() + 60
    while (found := [each for each in _marked(mark) if "Agent" not in each]) and monotonic() < ends:
        sleep(0.2)
    return found


def _marked(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes by /proc")
def test_an_interrupt_leaves_no_processes_and_the_next_run_goes_on(small_corpus: Path, tmp_path: Path) -> None:
    words = ["content", small_corpus, "--frames", 2, "--out", tmp_path / "content", "--engine", "ray"]
    # Its maker, then the first rows: it is in the middle of its work.
    stopped = run(INTERRUPTED, 2, *words, mark="interrupted")
    assert (stopped.returncode, stopped.stdout) == (130, "")
    assert stopped.stderr.endswith(STOPPED)
    assert "Traceback" not in stopped.stderr
    assert _marked("interrupted") == []
    assert ended(*words[:-2]) == 0
    assert read_table(tmp_path / "content").num_rows == 76


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes by /proc")
def test_a_killed_command_loses_what_was_not_written_and_nothing_else(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["content", small_corpus, "--frames", 2, "--out", tmp_path / "content", "--engine", "ray"]
    # After the maker's file and the first one of rows.
    killed = run(KILLED, 4, tmp_path / "counted", *words, mark="killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert left_behind("killed") == []
    kept = read_table(tmp_path / "content").num_rows
    assert kept >= 32
    said = printed(capsys, *words[:-2])[1]
    assert f"Content: {kept} of 76 reused" in said
    assert f"Content: {76 - kept} done" in said
    assert ended("content", small_corpus, "--frames", 2, "--out", tmp_path / "whole") == 0
    assert read_table(tmp_path / "content").equals(read_table(tmp_path / "whole"))


def test_what_goes_with_a_vision_language_model_alone(small_corpus: Path, tmp_path: Path, capsys) -> None:
    words = ["difficulty", "predict", small_corpus, "--scores", tmp_path, "--out", tmp_path / "d", "--engine", "ray"]
    assert "--engine: go with a vision-language model" in printed(capsys, *words, code=1)[1]


def test_sizes_of_workers(small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["content", small_corpus, "--out", tmp_path / "content", "--engine", "ray"]
    said = printed(capsys, *words, "--gpus-per-worker", 1.5, code=1)[1]
    assert "`gpus_per_worker` is 1.5; expected a share of one GPU, or whole ones" in said
    assert "HOST:PORT" in printed(capsys, *words, "--address", "somewhere", code=1)[1]

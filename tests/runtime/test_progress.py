import io
import sys
import time

import pytest

from mdsvqa.runtime import progress
from mdsvqa.runtime.progress import Lines, Silent, Terminal, terminal


def test_without_a_terminal_there_is_a_line_at_the_end_and_some_on_the_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    show = Lines()
    for done in range(0, 201):
        now[0] += 1.0
        show.progress("Scores", done, 200, "" if done < 90 else "8 workers, waiting 3%")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Scores: 60 of 200, 1.0/s, 2 min 20 s left"
    assert lines[1] == "Scores: 120 of 200, 1.0/s, 1 min 20 s left; 8 workers, waiting 3%"
    assert [line.split(",")[0] for line in lines] == [
        "Scores: 60 of 200",
        "Scores: 120 of 200",
        "Scores: 180 of 200",
        "Scores: 200 done",
    ]


def test_work_without_parts_says_for_how_long_it_has_been_at_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.01)
    with Lines().working("Loading"):
        while "for 0 s" not in (said := capsys.readouterr().err):
            assert "Traceback" not in said
            time.sleep(0.01)


def test_what_stderr_is_decides_how_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal() as show:
        assert isinstance(show, Lines)

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Screen())
    with terminal() as show:
        assert isinstance(show, Terminal)
        show.progress("Scores", 0, 3)
        show.progress("Scores", 3, 3)
    assert "Scores: 3 done" in sys.stderr.getvalue()
    monkeypatch.setenv("MDSVQA_QUIET", "1")
    with terminal() as show:
        assert isinstance(show, Silent)

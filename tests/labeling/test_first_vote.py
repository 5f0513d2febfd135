"""From docs/labeling.md to the first vote: its commands as they stand there, by somebody who only has a link."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands import printed
from mdsvqa.labeling.simulated_raters import take_part
from rating_study import write_clip

GUIDE = Path(__file__).parents[2] / "docs" / "labeling.md"


def commands() -> list[list[str]]:
    """The commands of the guide's first block."""
    block = re.search(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return [shlex.split(line.partition("#")[0]) for line in block[1].splitlines()]


def test_the_guide_leads_to_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install, serve = commands()
    assert install[:2] == ["pip", "install"]
    assert install[-1].endswith("[label]")
    assert serve[:3] == ["mdsvqa", "label", "serve"]
    videos = tmp_path / serve[3]
    videos.mkdir()
    for number in range(4):
        write_clip(videos / f"clip {number}.mp4", frames=12, seed=number)
    server = subprocess.Popen(
        [sys.executable, "-m", *serve, "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        said = [next(server.stdout)]
        while "/r/" not in said[-1]:
            said.append(next(server.stdout))
        assert any(line.startswith("Organiser: http://127.0.0.1:") for line in said)
        assert any(re.match(r"Password: \S+ ", line) for line in said)
        votes = take_part(said[-1].strip(), lambda digest: 4)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    # Five for practice, and every video.
    assert votes >= 5 + 4
    status = json.loads(printed(capsys, "label", "status", videos, "--json")[0])
    assert {row["id"]: row["mos"] for row in status["videos"]} == {f"clip {n}.mp4": 4.0 for n in range(4)}
    assert [(row["rater"], row["consented"]) for row in status["raters"]] == [("r001", True), ("r002", False)] + [
        ("r003", False)
    ]
    out, _ = printed(capsys, "label", "export", videos)
    assert "votes count" in out
    assert (tmp_path / "videos-rating" / "export" / "study-report.html").is_file()

"""What CONTRIBUTING.md says takes a file and a line does: its examples are added to a copy of the package and used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mdsvqa
from commands import printed

ROOT = Path(mdsvqa.__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = re.findall(r"file, `([^`]+)`:\n\n```python\n(.*?)```", TEXT, re.DOTALL)
LINES = re.findall(r"line in `([^`]+)`, in `([^`]+)`:\n\n```text\n(.*?)```", TEXT, re.DOTALL)

USE = """
import json, sys
import numpy as np
from scipy.stats import rankdata
from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.evaluation.metrics import METRICS, evaluate
from mdsvqa.selection.catalogue import RULES
rng = np.random.default_rng(0)
y = rng.uniform(1, 5, 60)
x = np.clip(y + rng.normal(0, 0.5, 60), 1, 5)
found = evaluate(x, y, draws=20)
by_hand = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
wide = found.ccc.low < found.ccc.high
ccc = [found.ccc.value, by_hand]
print(json.dumps({"rules": [*RULES], "predictors": [*PREDICTORS], "ccc": ccc, "wide": bool(wide)}))
"""
# Three pages by one interpreter.
HELP = """
from typer.testing import CliRunner
from mdsvqa.cli.app import app
for command in ("select", "score", "difficulty predict"):
    print(CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).stdout, "<end>")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with every example in it."""
    copy = tmp_path_factory.mktemp("contributed")
    shutil.copytree(ROOT / "src" / "mdsvqa", copy / "src" / "mdsvqa", ignore=shutil.ignore_patterns("__pycache__"))
    for path, code in FILES:
        assert not (copy / path).exists()
        (copy / path).write_text(code, encoding="utf-8")
    for path, place, line in LINES:
        assert len(line.splitlines()) == 1
        lines = (copy / path).read_text(encoding="utf-8").splitlines(keepends=True)
        start = next(number for number, text in enumerate(lines) if text.startswith(place))
        # A field stands below the docstring of its class.
        start += 2 if place.startswith("class ") else 0
        lines.insert(start + 1, line)
        (copy / path).write_text("".join(lines), encoding="utf-8")
    return copy


def run(package: Path, *arguments: object) -> str:
    """What Python prints with the changed package, and nothing else of this process."""
    environment = {**os.environ, "PYTHONPATH": str(package / "src"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_kind_of_addition_has_an_example() -> None:
    assert [Path(path).parent.name for path, _ in FILES] == ["rules", "difficulty", "evaluation", "families"]
    assert [Path(path).name for path, *_ in LINES] == ["catalogue.py"] * 2 + [
        "metrics.py",
        "catalogue.py",
        "settings.py",
    ]


def test_a_metric_a_rule_and_a_predictor_are_known(package: Path) -> None:
    found = json.loads(run(package, "-c", USE))
    assert "oddest" in found["rules"]
    assert "nearest-errors" in found["predictors"]
    assert found["ccc"][0] == pytest.approx(found["ccc"][1])
    assert found["wide"]


def test_a_study_uses_them(package: Path, write_study, tmp_path: Path) -> None:
    study = write_study(
        selection={"rule": "oddest", "budget": 4},
        difficulty={"predictor": "nearest-errors"},
        comparison={"rules": ["oddest"], "seeds": 2},
    )
    run(package, "-m", "mdsvqa", "run", study)
    summary = (tmp_path / "results" / "summary.json").read_text()
    assert "oddest" in summary
    assert "ccc" in summary
    assert "oddest" in (tmp_path / "results" / "report.html").read_text()
    assert "CCC" in (tmp_path / "results" / "report.html").read_text()


def test_the_command_line_has_them(package: Path) -> None:
    select, score, predict = run(package, "-c", HELP).split("<end>")[:3]
    assert "oddest" in select
    assert "--remark" in score
    assert "Renamed" in score
    assert "nearest-errors" in predict


def test_a_checkpoint_of_the_family_scores(
    package: Path, tiny_vlm: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = shutil.copytree(tiny_vlm, tmp_path / "renamed")
    config = json.loads((renamed / "config.json").read_text())
    (renamed / "config.json").write_text(json.dumps({**config, "architectures": ["RenamedForQuality"]}))
    videos = sorted((small_corpus.parent / "videos").glob("target-test*"))[:2]
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in videos:
        shutil.copy(path, folder)
    command = ("score", folder, "--read", "expected", "--workers", 1, "--json", "--model")
    mine = json.loads(run(package, "-m", "mdsvqa", *command, renamed, "--out", tmp_path / "a"))
    theirs = json.loads(printed(capsys, *command, tiny_vlm, "--out", tmp_path / "b")[0])
    assert mine["ok"] == theirs["ok"] == 2

"""A study that an earlier version ran: everything it made is read, nothing is made anew, and the figures stay."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mdsvqa.report.figures import measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.progress import Silent
from mdsvqa.study.config import read_study
from mdsvqa.study.run import run_study

GOLDEN = Path(__file__).parents[1] / "golden"


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """See `Show`."""
        self.notes.append(text)


def same(before: Any, now: Any, place: str = "") -> None:
    """Everything that the earlier summary holds stands in the new one; new figures may stand beside it."""
    if isinstance(before, dict):
        for name, value in before.items():
            assert name in now, f"{place}.{name} is gone"
            same(value, now[name], f"{place}.{name}")
    elif isinstance(before, list):
        assert len(before) == len(now), place
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            same(one, other, f"{place}[{number}]")
    elif isinstance(before, float):
        assert now == pytest.approx(before, abs=1e-9), place
    else:
        assert now == before, place


def test_a_study_of_an_earlier_version_is_reused_whole(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN, tmp_path / "study")
    for meta in folder.rglob("meta.json"):
        meta.write_text(meta.read_text().replace("FOLDER", str(folder)))
    made = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    models = {path: load_file(path) for path in folder.rglob("*.safetensors")}
    before = json.loads((folder / "results" / "summary.json").read_text())
    config, show = read_study(folder / "study.yaml"), Notes()
    result = run_study(config, show)
    write_results(config, result, measure(config, result), [])
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == made
    for path, before_it in models.items():
        for name, array in load_file(path).items():
            np.testing.assert_allclose(array, before_it[name], rtol=1e-6, atol=1e-9)
    steps = ("scores", "round-1/difficulty", "round-1/selection", "round-1/scores", "round-2/difficulty")
    assert {f"{step}: reused" for step in (*steps, "round-2/selection", "round-2/scores")} <= set(show.notes)
    same(before, json.loads((folder / "results" / "summary.json").read_text()))

"""Charts as files: whole, the same for the same figures, and gone when there is nothing to draw any more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.data import BudgetPoint, PoolPoint, ReportData, RoundResult, RuleResult, ScatterPoint
from mdsvqa.report.plots import NAMES, check_plot, scatter, study_figures, write_figures, write_plot
from mdsvqa.runtime.errors import InputError

SRCC = Interval(0.6, 0.5, 0.7)


@pytest.fixture
def study() -> ReportData:
    rng = np.random.default_rng(0)
    return ReportData(
        "A study",
        False,
        rules=[
            RuleResult("random", "Random", {"srcc": SRCC}, SRCC),
            RuleResult("m$d", "M$D", {"srcc": SRCC}, SRCC, SRCC),
        ],
        pool=[PoolPoint(f"p{i}", i, i * i, 10.0 * i, i if i < 3 else None) for i in range(1, 9)],
        scatter=[ScatterPoint(f"t{i}", *map(float, rng.uniform(1, 5, 3))) for i in range(20)],
        rounds=[RoundResult(0, 0, SRCC), RoundResult(1, 8, SRCC)],
        budgets=[BudgetPoint("none", "base", 0, 0.5), BudgetPoint("mds", "recommended", 8, 0.6)],
        half_widths=[0.1, 0.2],
    )


def test_every_chart_is_written_as_a_picture_and_a_drawing(study: ReportData, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    write_figures(folder, study)
    assert {path.name for path in folder.iterdir()} == {f"{name}.{kind}" for name in NAMES for kind in ("png", "svg")}
    for name in NAMES:
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 200
        assert (folder / f"{name}.svg").read_text().rstrip().endswith("</svg>")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    write_figures(folder, study)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "mine.png").write_bytes(b"a person's")
    write_figures(folder, replace(study, budgets=[], scatter=[]))
    assert "budgets" not in {path.stem for path in folder.iterdir()}
    assert (folder / "mine.png").exists()


def test_the_names_are_those_of_the_charts(study: ReportData) -> None:
    assert tuple(sorted(study_figures(study))) == tuple(sorted(NAMES))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
def test_the_ending_says_the_format(ending: str, tmp_path: Path) -> None:
    x = np.arange(10.0)
    check_plot(tmp_path / f"a.{ending}")
    write_plot(scatter(x, x / 3, "t", ["one"] * 5 + ["two"] * 5), tmp_path / f"a.{ending}")
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending.lower()]
    assert (tmp_path / f"a.{ending}").read_bytes().startswith(start)


def test_another_ending_is_refused() -> None:
    with pytest.raises(InputError, match=r"a\.bmp: expected a file ending in \.png, \.svg or \.pdf, found '\.bmp'"):
        check_plot(Path("a.bmp"))

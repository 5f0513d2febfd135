"""What is written to CSV and LaTeX is what was found."""

import csv
import io
import math

import numpy as np
import pytest

from mdsvqa.evaluation.compare import compare_models
from mdsvqa.evaluation.datasets import evaluate_datasets
from mdsvqa.evaluation.paper_tables import (
    comparison_latex,
    comparison_rows,
    csv_text,
    evaluation_latex,
    evaluation_rows,
    latex_text,
)

RNG = np.random.default_rng(0)
MOS = RNG.normal(3, 0.7, 60)
SCORES = {"f_1": MOS + RNG.normal(0, 0.4, 60), "g": MOS + RNG.normal(0, 0.8, 60)}
SETS = ["a & b"] * 30 + ["c"] * 30


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_evaluation() -> None:
    found = {name: evaluate_datasets(x, MOS, SETS, draws=20) for name, x in SCORES.items()}
    rows = read(csv_text(evaluation_rows(found)))
    assert [(row["score"], row["dataset"]) for row in rows] == [
        (name, dataset) for name in SCORES for dataset in ("a & b", "c", "overall")
    ]
    assert float(rows[2]["srcc"]) == found["f_1"].overall.srcc.value
    assert float(rows[4]["rmse_high"]) == found["g"].each["c"].rmse.high
    latex = evaluation_latex(found).splitlines()
    assert latex[4].startswith(r"f\_1 & a \& b & 30 & ")
    assert len(latex) == 4 + 6 + 2


def test_one_data_set_needs_no_column() -> None:
    latex = evaluation_latex({"f": evaluate_datasets(SCORES["g"], MOS, draws=20)})
    assert latex.splitlines()[2] == r"Model & Videos & SRCC & PLCC & KRCC & RMSE & PLCC (no fit) \\"


def test_comparison() -> None:
    found = compare_models(SCORES, MOS, SETS, draws=20)
    rows = read(csv_text(comparison_rows(found)))
    assert [row["dataset"] for row in rows] == ["a & b", "c", "overall"]
    assert float(rows[0]["srcc_difference_low"]) == found.pairs[0].differences["srcc"].low
    assert float(rows[2]["meng_srcc_holm"]) == found.pairs[2].tests["meng_srcc"].holm
    assert rows[2]["p1401_rmse_p"] == ""
    assert r"p (Holm) \\" in comparison_latex(found)


def test_undefined_numbers_are_nan() -> None:
    row = read(csv_text(evaluation_rows({"flat": evaluate_datasets(np.ones(60), MOS, draws=5)})))[0]
    assert math.isnan(float(row["srcc"]))


@pytest.mark.parametrize(("cell", "written"), [("50% _ #1", r"50\% \_ \#1"), ("a\\b", r"a\textbackslash{}b")])
def test_what_latex_would_take_for_code(cell: str, written: str) -> None:
    assert written in latex_text(["model"], [[cell]])
    assert r"$<$ 0.001" in latex_text(["p"], [["< 0.001"]])

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from commands import printed
from mdsvqa.difficulty.catalogue import PREDICTORS
from mdsvqa.evaluation.failure import FIGURES
from mdsvqa.runtime.results import FEATURES, SCORES, ResultTable


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    """What a command prints on stdout and stderr."""
    return printed(capsys, "difficulty", *arguments, code=code)


@pytest.fixture
def external(tmp_path: Path) -> tuple[object, ...]:
    """Arguments for a source, held-out videos and a pool with features and scores that nobody's code made here."""
    rng = np.random.default_rng(0)
    splits = ["train"] * 60 + ["test"] * 30 + ["pool"] * 15
    features = rng.normal(size=(105, 4))
    score = 3 + 0.4 * features[:, 0]
    mos = score + 0.5 * features[:, 1]
    with (tmp_path / "videos.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "dataset", "split", "mos"])
        for i, split in enumerate(splits):
            known = split != "pool"
            writer.writerow([f"v{i:03d}", "old" if known else "new", split, f"{mos[i]:.4f}" if known else ""])
    ids = [f"v{i:03d}" for i in range(105)]
    with ResultTable(tmp_path / "scores", SCORES, {"step": "scores"}) as table:
        table.append([{"id": i, "score": s, "status": "ok"} for i, s in zip(ids, score.tolist(), strict=True)])
    with ResultTable(tmp_path / "scores" / "features", FEATURES, {"step": "features"}) as table:
        table.append([{"id": i, "features": f, "status": "ok"} for i, f in zip(ids, features.tolist(), strict=True)])
    return tmp_path / "videos.csv", "--scores", tmp_path / "scores", "--out", tmp_path / "out"


def test_predict_is_the_default_learns_from_held_out_errors_and_reports_its_choice(
    external: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, *external, "--json")
    assert json.loads(out)["ok"] == 15
    assert "30 source videos of split test" in err
    assert "failure predictor: " in err
    choice = json.loads((tmp_path / "out" / "_predictor.json").read_text())
    assert choice["predictor"] in PREDICTORS
    assert [each["name"] for each in choice["validated"]] == list(PREDICTORS)
    # Spelled out it is the same command, and finds its result.
    out, err = run(capsys, "predict", *external, "--json")
    assert json.loads(out)["ok"] == 15
    assert "failure predictor" not in err


def test_few_held_out_videos_are_warned_of(
    external: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (tmp_path / "videos.csv").read_text().splitlines()
    (tmp_path / "videos.csv").write_text("\n".join(line for line in lines if ",test," not in line) + "\n")
    _, err = run(capsys, *external, "--predictor", "few-inputs")
    assert "If the model was trained on these" in err


def test_rules(external: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *external, "--rule", "lowest-score")
    assert json.loads((tmp_path / "out" / "_predictor.json").read_text())["predictor"] == "lowest-score"
    _, err = run(capsys, *external, "--rule", "committee", "--overwrite", code=1)
    assert "needs an f that can be refitted" in err
    _, err = run(capsys, *external, "--rule", "none", code=1)
    assert "expected one of mc-dropout, committee, noise-stability" in err
    _, err = run(capsys, *external, "--predictor", "none", code=1)
    assert "--predictor" in err


def test_evaluate_prints_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 80)
    score = mos + rng.normal(size=80)
    lines = [f"{i},{m:.3f},{s:.3f},{abs(m - s):.3f}" for i, (m, s) in enumerate(zip(mos, score, strict=True))]
    table = tmp_path / "any.csv"
    table.write_text("\n".join(["name,MOS,f,g", *lines, "x,3.0,,1.0"]) + "\n")
    columns = ("--mos", "MOS", "--score", "f", "--difficulty", "g", "--draws", 20)
    out, _ = run(capsys, "evaluate", table, *columns, "-k", "10%", "--json")
    found = json.loads(out)
    assert list(found) == ["n", "k", "left_out", "error", *FIGURES, "warnings"]
    assert (found["n"], found["k"], found["left_out"], found["error"]) == (80, 8, 1, "raw")
    assert found["srcc"]["value"] == pytest.approx(1, abs=1e-3)
    assert found["lift_over_pool"]["low"] > 1
    for error in ("calibrated", "rank"):
        assert json.loads(run(capsys, "evaluate", table, *columns, "--error", error, "--json")[0])["error"] == error
    out, _ = run(capsys, "evaluate", table, *columns)
    assert "mean error: chosen / matched control" in out
    assert "1 row left out" in out
    _, err = run(capsys, "evaluate", table, *columns, "-k", "90%", code=1)
    assert "expected 2 to 40" in err
    _, err = run(capsys, "evaluate", table, *columns, "--error", "squared", code=1)
    assert "--error" in err

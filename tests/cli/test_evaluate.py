"""`mdsvqa evaluate`, `compare` and `study-size` on files, and what they say to those who hand in something else."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from commands import printed
from mdsvqa.evaluation.compare import TESTS


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "any.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "mos", "sd", "votes", "set", "f", "g"])
        for i, mos in enumerate(rng.uniform(1, 5, 80)):
            f, g = mos + rng.normal(0, [0.5, 1])
            writer.writerow([f"v{i}", f"{mos:.3f}", 0.8, 20, "left" if i % 2 else "right", f"{f:.3f}", f"{g:.3f}"])
        writer.writerow(["unscored", 3, 0.8, 20, "left", "", 2])
    return path


def test_evaluate_by_data_set(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(
        printed(capsys, "evaluate", table, "--score", "f", "--dataset", "set", "--draws", 50, "--json")[0]
    )
    assert {name: part["n"] for name, part in found["datasets"].items()} == {"right": 40, "left": 40}
    mean = np.mean([part["srcc"]["value"] for part in found["datasets"].values()])
    assert found["srcc"]["value"] == pytest.approx(mean)
    out, _ = printed(capsys, "evaluate", table, "--score", "f", "--dataset", "set", "--draws", 50)
    assert "f, left, 40 videos" in out
    assert "mean of data sets" in out
    assert "1 row left out" in out


def test_scores_alone_are_measured_with_the_manifest_beside_them(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with table.open() as file:
        rows = list(csv.DictReader(file))
    scores, videos = tmp_path / "scores.csv", tmp_path / "videos.csv"
    scores.write_text("id,score\n" + "".join(f"{row['id']},{row['f']}\n" for row in rows[::-1]))
    lines = [f"{row['id']},{row['mos']},{('train', 'test')[n % 2]}\n" for n, row in enumerate(rows)]
    videos.write_text("name,MOS,split\n" + "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        options = ("evaluate", "scores.csv", "--draws", 20, "--json")
        alone = json.loads(printed(capsys, "evaluate", table, "--score", "f", "--draws", 20, "--json")[0])
        assert "--with videos.csv" in printed(capsys, *options, code=1)[1]
        out, said = printed(capsys, *options, "--with", videos)
        assert json.loads(out)["srcc"]["value"] == pytest.approx(alone["srcc"]["value"])
        assert "40 of these videos are of split train" in " ".join(said.split())
        out, said = printed(capsys, *options, "--with", videos, "--split", "test", "--plot", "fit.png")
        assert json.loads(out)["n"] == 40
        assert (tmp_path / "fit.png").stat().st_size > 1000
    for command in (
        ("compare", table, "--scores", "f", "g", "--draws", 20),
        ("study-size", table, "--score", "f", "--mos", "mos", "--studies", 10, "--videos", 20, "--raters", 5),
    ):
        printed(capsys, *command, "--plot", tmp_path / "chart.svg", "--csv", tmp_path / "numbers.csv")
        assert (tmp_path / "chart.svg").read_text().rstrip().endswith("</svg>")
        assert len((tmp_path / "numbers.csv").read_text().splitlines()) >= 2
        (tmp_path / "chart.svg").unlink()


def test_evaluate_writes_tables(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "out.csv", tmp_path / "out.tex"
    printed(capsys, "evaluate", table, "--score", "f", "--draws", 20, "--csv", files[0], "--latex", files[1])
    assert files[0].read_text().startswith("score,dataset,videos,fit,srcc,srcc_low,srcc_high,plcc,")
    assert r"\toprule" in files[1].read_text()


def test_failed_fit_is_said(table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("logistic", "metrics"):
        monkeypatch.setattr(f"mdsvqa.evaluation.{module}.fit_logistic", lambda score, mos: None)
    options = ("evaluate", table, "--score", "f", "--draws", 20)
    assert json.loads(printed(capsys, *options, "--json")[0])["fit"] == "linear"
    assert "No logistic fits better than a straight line; PLCC" in printed(capsys, *options)[0]
    assert "than a straight line on right, left; PLCC" in printed(capsys, *options, "--dataset", "set")[0]


def test_compare(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rated = ("--mos-std", "sd", "--ratings", "votes", "--draws", 50)
    found = json.loads(printed(capsys, "compare", table, "--scores", "f", "g", *rated, "--json")[0])
    assert list(found["models"]) == ["f", "g"]
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"], pair["n"]) == ("f", "g", 80)
    assert pair["differences"]["srcc"]["low"] > 0
    assert set(pair["tests"]) == set(TESTS)
    # The same however the columns and the number of ratings are named.
    for options in (("f", "g", *rated), ("--scores", "f", "--scores", "g", *rated[:3], "20", *rated[4:])):
        assert json.loads(printed(capsys, "compare", table, *options, "--json")[0]) == found
    files = tmp_path / "out.csv", tmp_path / "out.tex"
    out, _ = printed(capsys, "compare", table, "f", "g", *rated, "--csv", files[0], "--latex", files[1])
    assert "f - g" in out
    assert "Krasula" in out
    assert "1 row left out" in out
    assert len(files[0].read_text().splitlines()) == 2
    assert r"\bottomrule" in files[1].read_text()


def test_compare_joins_other_tables(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(table.open(newline="")))
    other = tmp_path / "other.csv"
    # In another order, without three videos.
    lines = [f"{row['id']},{row['g']}" for row in rows[::-1] if row["id"] not in ("v0", "v5", "v9")]
    other.write_text("\n".join(["name,score", *lines]) + "\n")
    options = ("compare", table, "--scores", "f", "--with", f"tuned={other}", "--dataset", "set", "--draws", 20)
    found = json.loads(printed(capsys, *options, "--json")[0])
    assert found["models"]["tuned"]["n"] == 77
    assert [pair["dataset"] for pair in found["pairs"]] == ["left", "right", "overall"]
    assert "4 rows left out" in printed(capsys, *options)[0]


def test_compare_warns_of_scores_that_fall(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(table.open(newline="")))
    table.write_text(
        "\n".join(["mos,f,g", *(f"{row['mos']},{row['f']},{-float(row['g'])}" for row in rows[:60])]) + "\n"
    )
    out, _ = printed(capsys, "compare", table, "f", "g", "--draws", 20)
    assert "SRCC of g is negative" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("f",), "at least two models; found 1: f"),
        (("f", "h"), "has no column 'h'; found id, mos"),
        (("f", "f"), "'f' is named twice"),
        (("f", "set"), "row 1, column set: found 'right', expected a number"),
        (("f", "g", "--mos-std", "sd"), "--mos-std and --ratings go together"),
        (("f", "g", "--ratings", "votes"), "--mos-std and --ratings go together"),
        (("f", "g", "--mos-std", "sd", "--ratings", "0"), "found 0, expected at least 1"),
        (("f", "--with", "g"), "--with: found 'g', expected NAME=FILE"),
        (("f", "--with", "g=a", "--with", "g=b"), "'g' is named twice"),
        (("f", "g", "--dataset", "none"), "has no column 'none'"),
    ],
)
def test_compare_refuses(
    table: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert message in printed(capsys, "compare", table, *options, "--draws", 5, code=1)[1]


def test_joined_tables_are_checked(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.csv"
    for text, message in (("id,x\na,1\n", "has neither a column 'score' nor one 'h'"), ("id,h\na,1\n", "its one id")):
        other.write_text(text)
        assert message in printed(capsys, "compare", table, "f", "--with", f"h={other}", code=1)[1]
    other.write_text("id,mos,set\n" + "".join(f"a{i},{i},\n" for i in range(9)))
    assert "is empty; expected" in printed(capsys, "evaluate", other, "--score", "mos", "--dataset", "set", code=1)[1]


def test_study_size(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("study-size", table, "--score", "f", "--srcc", 0.7, "--studies", 100, "--raters", 5, "--raters", 20)
    found = json.loads(printed(capsys, *options, "--width", 0.4, "--json")[0])
    assert [(design["videos"], design["raters"]) for design in found["designs"]] == [
        (50, 5),
        (50, 20),
        (80, 5),
        (80, 20),
    ]
    assert found["smallest"]["width"] <= 0.4
    out, _ = printed(capsys, *options, "--width", 0.4)
    assert "Smallest for 0.4: " in out
    assert "No design here reaches 0.01" in printed(capsys, *options, "--width", 0.01)[0]
    assert "no video is labeled" in printed(capsys, "study-size", table, "--score", "f", code=1)[1]
    assert json.loads(printed(capsys, *options[:4], "--mos", "mos", "--studies", 20, "--json")[0])["srcc"] > 0.8


def test_an_id_that_stands_twice_is_an_error_and_one_of_two_data_sets_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 20)
    rows = [f"v{i % 10},{'ab'[i // 10]},{mos[i]:.3f},{mos[i] + 0.1 * (i % 3):.3f},{i}" for i in range(20)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["id,set,mos,score,difficulty", *rows]) + "\n")
    assert "id 'v0' is in rows 1 and 11" in printed(capsys, "evaluate", table, code=1)[1]
    assert "id 'v0' is in rows 1 and 11" in printed(capsys, "difficulty", "evaluate", table, code=1)[1]
    out, _ = printed(capsys, "evaluate", table, "--dataset", "set", "--draws", 20, "--json")
    assert json.loads(out)["n"] == 20
    table.write_text("\n".join(["id,set,mos,score,difficulty", *rows, rows[13]]) + "\n")
    said = printed(capsys, "evaluate", table, "--dataset", "set", code=1)[1]
    assert "id 'v3' of data set 'b' is in rows 14 and 21" in said


def test_rows_left_out_and_ids_that_match_nothing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, only, other = (tmp_path / name for name in ("t.csv", "only.csv", "other.csv"))
    score = ["" if i == 3 else i + 9 * (i % 3) for i in range(20)]
    table.write_text("id,mos,score\n" + "".join(f"v{i},{1 + i / 5},{score[i]}\n" for i in range(20)))
    only.write_text("id\n" + "".join(f"v{i}\n" for i in range(2, 12)) + "elsewhere\n")
    out, err = printed(capsys, "evaluate", table, "--only", only, "--draws", 20, "--json")
    found = json.loads(out)
    assert (found["n"], found["left_out"]) == (9, 11)
    assert found["notes"] == [f"{only}: 1 of its 11 ids is not in {table}, such as 'elsewhere'."]
    assert "elsewhere" in err
    only.write_text("id\nv1.mp4\n")
    assert "They differ in the ending" in printed(capsys, "evaluate", table, "--only", only, code=1)[1]
    other.write_text("id,score\n" + "".join(f"v{i},{20 - i}\n" for i in range(19)) + "gone,3\n")
    out, _ = printed(capsys, "compare", table, "score", "--with", f"h={other}", "--draws", 20, "--json")
    found = json.loads(out)
    assert found["left_out"] == 2
    assert found["notes"] == [f"{other}: 1 of its 20 ids is not in {table}, such as 'gone'."]
    size = ["study-size", table, "--mos", "mos", "--studies", 10, "--json"]
    assert json.loads(printed(capsys, *size)[0])["left_out"] == 1

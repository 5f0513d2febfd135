"""Predictions and features that people hand in."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.models.base import Score
from mdsvqa.models.predictions import EMPTY, NO_PREDICTION, read_features, read_predictions
from mdsvqa.runtime.results import SCORES, ResultTable
from mdsvqa.runtime.user_tables import ColumnError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_predictions_in_the_order_of_the_videos(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "id,score\na,3.5\nb,\nc,-2e1\nextra,1\n")
    assert read_predictions(path, ["c", "a", "b", "d"]) == [
        Score("c", -20.0),
        Score("a", 3.5),
        Score("b", None, "failed", EMPTY),
        Score("d", None, "failed", NO_PREDICTION),
    ]


def test_a_column_called_name_serves_as_id(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "name,mos,score\na.mp4,4.1,3.75\n")
    assert read_predictions(path, ["a.mp4"]) == [Score("a.mp4", 3.75)]


def test_predictions_of_a_result_folder(tmp_path: Path) -> None:
    with ResultTable(tmp_path / "scores", SCORES, {"step": "scores"}) as table:
        table.append([{"id": "a", "score": 4.25, "status": "ok"}, {"id": "b", "status": "undecodable", "text": "x"}])
    found = read_predictions(tmp_path / "scores", ["a", "b"])
    assert found == [Score("a", 4.25), Score("b", None, "failed", EMPTY)]


ids = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
        lambda text: text not in ("nan", "NaN", "NA", "null", "None")
    ),
    unique=True,
    min_size=1,
    max_size=10,
)


@given(ids, st.data())
def test_every_number_comes_back(tmp_path_factory: pytest.TempPathFactory, names: list[str], data) -> None:
    numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=len(names), max_size=len(names))
    scores = data.draw(numbers)
    path = tmp_path_factory.mktemp("p") / "p.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "score"], *zip(names, scores, strict=True)])
    wanted = data.draw(st.permutations(names))
    expected = dict(zip(names, scores, strict=True))
    assert read_predictions(path, wanted) == [Score(name, expected[name]) for name in wanted]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,score\nx,3\n",
            "its one id is not in .*; found such as 'x', expected such as 'a'",
        ),
        ("id,quality\na,3\n", "no column 'score'; found id, quality"),
        ("id,score\na,good\n", "row 1, column score: found 'good'"),
        ("id,score\na,inf\n", "row 1, column score: found 'inf'"),
        ("id,score\na,3\na,4\n", "id 'a' is in rows 1 and 2"),
        ("id,score\n", "has no rows"),
    ],
)
def test_predictions_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match=message) as caught:
        read_predictions(write(tmp_path / "p.csv", text), ["a"])
    assert "p.csv" in str(caught.value)


def test_features_in_the_order_of_the_videos(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "f1,id,f2\n1,a,2\n3,b,\n5,c,6\n")
    found = read_features(path, ["b", "missing", "a"])
    np.testing.assert_array_equal(found, [[3, np.nan], [np.nan, np.nan], [1, 2]])
    assert found.dtype == np.float64


def test_features_of_a_parquet_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 2))
    table = pa.table({"id": list("abcd"), "x": values[:, 0], "y": values[:, 1]})
    pq.write_table(table, tmp_path / "f.parquet")
    np.testing.assert_array_equal(read_features(tmp_path / "f.parquet", list("dcba")), values[::-1])


def test_a_name_beside_the_id_is_no_feature(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "id,name,f1\na,A day at sea,2\n")
    assert read_features(path, ["a"]).tolist() == [[2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,f1\nx,3\n", "found such as 'x', expected such as 'a'"),
        ("id\na\n", "no feature columns"),
        ("id,f1,kind\na,3,sport\n", "row 1, column kind: found 'sport'"),
    ],
)
def test_features_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match=message):
        read_features(write(tmp_path / "f.csv", text), ["a"])

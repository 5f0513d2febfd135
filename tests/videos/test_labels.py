"""The list for the raters, and the MOS that come back on any scale."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.runtime.user_tables import ColumnError
from mdsvqa.videos.labels import (
    Labels,
    differing,
    known_labels,
    newly_labeled,
    read_labels,
    write_label_request,
    write_training_set,
)
from mdsvqa.videos.manifest import read_manifest
from mdsvqa.videos.mos_scale import MosScale
from mdsvqa.videos.video import Video

FIVE = MosScale(1, 5)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_request(tmp_path: Path) -> None:
    videos = [Video('b, "the" 2nd', Path("/films/ü b.mp4"), mos=4.0), Video("a", None)]
    write_label_request(tmp_path / "request.csv", videos)
    assert rows(tmp_path / "request.csv") == [
        ["id", "path", "mos", "mos_std"],
        ['b, "the" 2nd', "/films/ü b.mp4", "", ""],  # not what is known already: raters shall not see it
        ["a", "", "", ""],
    ]


def test_a_request_that_was_filled_in_is_read(tmp_path: Path) -> None:
    path = tmp_path / "request.csv"
    write_label_request(path, [Video(name, None) for name in "abc"])
    text = path.read_text().replace("a,,,", "a,,75,3").replace("b,,,", "b,,0,").replace("c,,,", "c,,,")
    found = read_labels(write(path, text), MosScale(0, 100))
    assert found.mos == {"a": 4.0, "b": 1.0}  # 1 + 4 * 75 / 100
    assert found.unratable == {"c"}


@pytest.mark.parametrize(("scale", "expected"), [("0-100", 2.0), ("DMOS 0-100", 4.0), ("-50-150", 2.5), ("0-25", 5.0)])
def test_scales(scale: str, expected: float, tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "id,mos\na,25\n")
    assert read_labels(path, MosScale.parse(scale)).mos == {"a": expected}


@given(st.lists(st.one_of(st.none(), st.floats(1, 5)), min_size=1, max_size=12))
def test_every_label_comes_back(tmp_path_factory: pytest.TempPathFactory, values: list[float | None]) -> None:
    path = tmp_path_factory.mktemp("l") / "l.csv"
    write(path, "id,mos\n" + "".join(f"v{i},{'' if v is None else repr(v)}\n" for i, v in enumerate(values)))
    found = read_labels(path, FIVE)
    assert found.mos == {f"v{i}": v for i, v in enumerate(values) if v is not None}
    assert found.unratable == {f"v{i}" for i, v in enumerate(values) if v is None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,mos\na,3\nb,7\n", "row 2, id 'b': found MOS 7; expected 1 to 5"),
        ("id,mos\na,good\n", "row 1, column mos: found 'good'"),
        ("id,quality\na,3\n", "no column 'mos'"),
        ("id,mos\na,3\na,4\n", "id 'a' is in rows 1 and 2"),
        ("id,mos\n", "has no rows"),
    ],
)
def test_labels_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match=message) as caught:
        read_labels(write(tmp_path / "labels.csv", text), FIVE)
    assert "labels.csv" in str(caught.value)


def test_the_raters_come_before_the_manifest() -> None:
    videos = [Video("a", None, mos=2.0), Video("b", None), Video("c", None), Video("d", None, mos=4.0)]
    said = Labels({"a": 5.0, "b": 3.0}, frozenset({"c", "d"}))
    found = known_labels(videos, said)
    assert found.mos == {"a": 5.0, "b": 3.0, "d": 4.0}
    assert found.unratable == {"c"}
    assert differing(videos, said) == [("a", 2.0, 5.0)]
    assert differing([replace(videos[0], mos=5.0 + 1e-9)], said) == []


def test_without_raters_there_is_the_manifest() -> None:
    assert known_labels([Video("a", None, mos=2.0), Video("b", None)], None) == Labels({"a": 2.0})


def test_training_set_is_a_manifest_that_keeps_studies_apart(tmp_path: Path) -> None:
    source = [Video("s", Path("/films/s.mp4"), "UGC", "train", 3.25), Video("t", None, "UGC", "train", 0.1 + 0.2)]
    # A pool from the source's own data set is rated in a new study all the same.
    new = [Video("p", Path("/films/p.mp4"), "SFV", "pool"), Video("q", None, "UGC", "pool", 1.5)]
    path = tmp_path / "training.csv"
    rated = [replace(video, mos=mos) for video, mos in zip(new, (4.5, 2.0), strict=True)]
    write_training_set(path, [*source, *newly_labeled(rated)], {"p", "q"}, {"t"})
    assert rows(path)[1:] == [
        ["s", "/films/s.mp4", "UGC", "3.25", "0", "0"],
        ["t", "", "UGC", repr(0.1 + 0.2), "0", "1"],
        ["p", "/films/p.mp4", "SFV (new labels)", "4.5", "1", "0"],
        ["q", "", "UGC (new labels)", "2.0", "1", "0"],
    ]
    found = read_manifest(path)
    assert [(video.id, video.dataset, video.mos) for video in found] == [
        ("s", "UGC", 3.25),
        ("t", "UGC", 0.1 + 0.2),
        ("p", "SFV (new labels)", 4.5),
        ("q", "UGC (new labels)", 2.0),
    ]

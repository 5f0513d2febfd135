"""The list that goes out to raters is filled in where it lies, and what was filled in is never lost."""

from pathlib import Path

import pytest

from mdsvqa.runtime.user_tables import ColumnError
from mdsvqa.videos.labels import read_label_request, write_label_request
from mdsvqa.videos.mos_scale import MosScale
from mdsvqa.videos.video import Video

HUNDRED = MosScale(0.0, 100.0)


def videos(*ids: str) -> list[Video]:
    return [Video(i, Path(f"{i}.mp4")) for i in ids]


def filled(path: Path, **mos: str) -> None:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines = [[i, file, mos.get(i, old), std] for i, file, old, std in lines]
    path.write_text("".join(",".join(line) + "\n" for line in lines))


def test_empty_is_not_yet_and_na_is_never(tmp_path: Path) -> None:
    path = tmp_path / "to_label.csv"
    write_label_request(path, videos("a", "b", "c"))
    assert read_label_request(path, HUNDRED).mos == {}
    filled(path, a="100", c="NA")
    found = read_label_request(path, HUNDRED)
    assert (found.mos, found.unratable) == ({"a": 5.0}, frozenset({"c"}))


def test_a_list_that_asks_for_them_already_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "to_label.csv"
    write_label_request(path, videos("a", "b", "c"))
    filled(path, b="50")
    path.write_text(path.read_text().replace(",", ";"))
    before = path.read_bytes()
    write_label_request(path, videos("a", "c"))
    assert path.read_bytes() == before


def test_answers_in_the_way_of_a_new_list_stay_in_it(tmp_path: Path) -> None:
    path = tmp_path / "to_label.csv"
    write_label_request(path, videos("a", "b", "c"))
    filled(path, b="50")
    write_label_request(path, videos("d", "b"))
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert [(row[0], Path(row[1]).name, *row[2:]) for row in rows[1:]] == [
        ("d", "d.mp4", "", ""),
        ("b", "b.mp4", "50", ""),
    ]
    assert read_label_request(path, HUNDRED).mos == {"b": 3.0}


def test_what_is_no_mos_is_named(tmp_path: Path) -> None:
    path = tmp_path / "to_label.csv"
    write_label_request(path, videos("a"))
    filled(path, a="500")
    with pytest.raises(ColumnError, match=r"to_label\.csv, row 1, id 'a'"):
        read_label_request(path, HUNDRED)

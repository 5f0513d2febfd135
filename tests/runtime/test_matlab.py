"""MATLAB files of both kinds, written by scipy and by h5py: the vectors that are as long as the MOS."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from matlab_files import write_v73
from mdsvqa.runtime import optional
from mdsvqa.runtime.matlab import print_vectors
from mdsvqa.runtime.user_tables import ColumnError, Names, place_of_table, read_columns

Write = Callable[[Path, dict[str, Any]], None]


def write_v5(path: Path, variables: dict[str, Any]) -> None:
    savemat(path, {name: as_matlab(value) for name, value in variables.items()})


def as_matlab(value: Any) -> Any:
    """Sequences of texts as cell arrays of one column, numbers as matrices of one column."""
    if isinstance(value, dict):
        return {name: as_matlab(inner) for name, inner in value.items()}
    if isinstance(value, list) and isinstance(value[0], str):
        cells = np.empty((len(value), 1), object)
        cells[:, 0] = value
        return cells
    return np.asarray(value, np.float64)[:, None] if isinstance(value, list) else value


both = pytest.mark.parametrize("write", [write_v5, write_v73])
VIDEOS = ["A001.mp4", "A002.mp4", "ü b.mp4"]


@both
def test_as_live_vqc_ships_it(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "data.mat", {"video_list": VIDEOS, "mos": [80.2, 3.5, 61.0], "seed": [7.0]})
    table = read_columns(tmp_path / "data.mat")
    assert table.ids() == VIDEOS
    assert table.mos().tolist() == [80.2, 3.5, 61.0]
    assert list(table.cells) == ["video_list", "mos"]


@both
def test_named_variable_is_the_mos(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "labels.mat"
    write(path, {"video_names": VIDEOS, "MOS": [1.0, 2.0, 3.0], "Z": [4.0, 5.0, float("nan")], "other": [1.0, 2.0]})
    assert read_columns(path).mos().tolist() == [1, 2, 3]
    np.testing.assert_array_equal(read_columns(tmp_path / "labels.mat:Z").mos(), [4, 5, np.nan])
    np.testing.assert_array_equal(read_columns(path, Names(mos="Z")).mos(), [4, 5, np.nan])
    assert place_of_table(tmp_path / "labels.mat:Z") == (path, "Z")
    with pytest.raises(ColumnError, match=r"found no vector called 'DMOS'; there are .*MOS \(3\)"):
        read_columns(tmp_path / "labels.mat:DMOS")


@both
def test_structs(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "s.mat"
    write(path, {"data": {"names": VIDEOS, "MOS": [1.0, 2.0, 3.0]}, "raw": {"MOS": [9.0, 9.0, 8.0]}})
    for name in ("s.mat:data.MOS", "s.mat:raw.MOS"):
        table = read_columns(tmp_path / name)
        assert table.ids() == VIDEOS
    assert table.mos().tolist() == [9, 9, 8]
    with pytest.raises(ColumnError, match=r"found 2 vectors called 'MOS'"):
        read_columns(tmp_path / "s.mat:MOS")


@both
def test_the_only_texts_are_the_ids_whatever_they_are_called(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "t.mat", {"seqName": VIDEOS, "MOS": [1.0, 2.0, 3.0], "index": [3.0, 1.0, 2.0]})
    assert read_columns(tmp_path / "t.mat").ids() == VIDEOS


def test_one_video_and_numbers_for_ids(tmp_path: Path) -> None:
    savemat(tmp_path / "one.mat", {"name": "A1.mp4", "mos": 3.5})
    assert read_columns(tmp_path / "one.mat").ids() == ["A1.mp4"]
    savemat(tmp_path / "n.mat", {"flickr_id": np.array([8171831850.0, 12.0]), "mos": np.array([3.5, 4.0])})
    assert read_columns(tmp_path / "n.mat").ids() == ["8171831850", "12"]


def test_rows_of_characters_and_arrays_of_structs(tmp_path: Path) -> None:
    savemat(tmp_path / "c.mat", {"names": np.array(["A1.mp4 ", "A10.mp4"]), "MOS": [1.0, 2.0]})
    assert read_columns(tmp_path / "c.mat").ids() == ["A1.mp4", "A10.mp4"]
    records = np.array([("a", 1.5), ("b", 2.5)], dtype=[("name", object), ("mos", object)])
    savemat(tmp_path / "r.mat", {"videos": records})
    table = read_columns(tmp_path / "r.mat")
    assert table.ids() == ["a", "b"]
    assert table.mos().tolist() == [1.5, 2.5]


def test_unclear_and_broken_files(tmp_path: Path) -> None:
    savemat(tmp_path / "u.mat", {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]})
    with pytest.raises(ColumnError, match=r"unclear which variable is the MOS; name it: u\.mat:NAME.* a \(2\), b"):
        read_columns(tmp_path / "u.mat")
    savemat(tmp_path / "m.mat", {"matrix": np.ones((3, 4))})
    with pytest.raises(ColumnError, match="found no vectors"):
        read_columns(tmp_path / "m.mat")
    for content in (b"", b"no", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x01IM" + b"\xff" * 40):
        (tmp_path / "b.mat").write_bytes(content)
        with pytest.raises(ColumnError, match=r"b\.mat: cannot be read as a MATLAB file"):
            read_columns(tmp_path / "b.mat")
    with pytest.raises(ColumnError, match="no such file"):
        read_columns(tmp_path / "gone.mat:MOS")


@pytest.mark.parametrize("place", [1, 2, 3])
def test_files_that_crash_scipy_are_an_error(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.mat"
    write_v5(path, {"video_list": VIDEOS, "mos": [1.0, 2.0, 3.0]})
    # The numbers of rows and columns of a cell: two of four bytes, of which the file now says that there are none.
    parts = path.read_bytes().split(np.array([5, 8], "<i4").tobytes())
    assert len(parts) == 6
    marks = [np.array([5, 0 if number == place else 8], "<i4").tobytes() for number in range(5)]
    path.write_bytes(b"".join(part + mark for part, mark in zip(parts, [*marks, b""], strict=True)))
    with pytest.raises(ColumnError, match=r"a\.mat: cannot be read as a MATLAB file: it is damaged, and crashes"):
        read_columns(path)


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    write_v73(tmp_path / "v.mat", {"mos": [1.0, 2.0]})
    (tmp_path / "t.xlsx").write_bytes(b"")
    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(ColumnError, match=r"t\.xlsx: .* needs openpyxl: pip install 'mdsvqa\[tables\]'"):
        read_columns(tmp_path / "t.xlsx")
    print_vectors(tmp_path / "v.mat")
    assert "v.mat: a MATLAB file of version 7.3 needs h5py: pip install" in capsys.readouterr().out

"""Parts of a pool: disjoint, complete, the same in every run; and their results as one."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import printed
from mdsvqa.runtime import joining
from mdsvqa.runtime.csv_beside import csv_beside
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.joining import join, parts_within
from mdsvqa.runtime.parts import Part
from mdsvqa.runtime.results import (
    SCORES,
    ResultTable,
    TableError,
    content_schema,
    made_by,
    read_meta,
    read_table,
)
from mdsvqa.runtime.run import Run
from mdsvqa.videos.video import Video

MAKER = {"step": "scores", "model": "m"}
IDS = [f"pool/{i:04d}.mp4" for i in range(300)]


def test_parts_are_disjoint_complete_even_and_lasting() -> None:
    parts = [Part(number, 7) for number in range(1, 8)]
    holders = [[part.number for part in parts if part.holds(video)] for video in IDS]
    assert all(len(each) == 1 for each in holders)
    counts = np.bincount([each[0] for each in holders])[1:]
    # Multinomial, 300 of 7: 43 each, standard deviation 6.
    assert counts.min() > 43 - 4 * 6
    assert counts.max() < 43 + 4 * 6
    # printf pool/0000.mp4 | b2sum -l 64: a part must not change from version to version.
    assert holders[0] == [0xAD1031029B78FF9A % 7 + 1]


@given(st.text(), st.integers(1, 9))
def test_any_id_is_in_one_part(video: str, of: int) -> None:
    assert sum(Part(number, of).holds(video) for number in range(1, of + 1)) == 1


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/4/2", "1.5/4"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(InputError, match="expected a part and the number of parts, such as 3/64"):
        Part.of_text(text)
    with pytest.raises(InputError, match="add one to an index that counts from 0"):
        Part.of_text("0/4")


def test_a_part_is_named_so_that_folders_sort() -> None:
    assert [Part.of_text(text).name for text in (" 3 / 64 ", "10/64", "1/1")] == [
        *("part-03-of-64", "part-10-of-64", "part-1-of-1")
    ]


def row(video: str) -> dict[str, Any]:
    return {"id": video, "score": zlib.crc32(video.encode()) / 2**32, "status": "ok"}


def made(run: Run, ids: list[str], maker: dict[str, Any] | None = None, shard: int = 17) -> None:
    with run.open(SCORES, maker or MAKER) as table:
        mine = [video.id for video in run.share([Video(video, None) for video in ids]) if video.id not in table.ids]
        for start in range(0, len(mine), shard):
            table.append([row(video) for video in mine[start : start + shard]])


def in_parts(folder: Path, of: int, ids: list[str] | None = None, **more: Any) -> list[Path]:
    ids = IDS if ids is None else ids
    runs = [Run(folder).parted(f"{number}/{of}", ids) for number in range(1, of + 1)]
    for run in runs:
        made(run, ids, **more)
    return [run.out for run in runs]


def test_the_whole_is_that_of_an_undivided_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(Run(tmp_path / "whole"), IDS)
    whole = read_table(tmp_path / "whole")
    parts = in_parts(tmp_path / "t", 4)
    assert join(parts, tmp_path / "a", IDS) == len(IDS)
    assert read_table(tmp_path / "a").equals(whole)
    assert csv_beside(tmp_path / "a").read_bytes() == csv_beside(tmp_path / "whole").read_bytes()
    assert read_meta(tmp_path / "a") == read_meta(tmp_path / "whole")
    # In the order of the parts, by the folder that holds them.
    assert parts_within([tmp_path / "t"]) == parts
    join(parts_within([tmp_path / "t"]), tmp_path / "b")
    found = read_table(tmp_path / "b")
    assert found["id"].to_pylist() == [video for part in parts for video in read_table(part)["id"].to_pylist()]
    assert found.sort_by("id").equals(whole.sort_by("id"))
    # Where it does not fit into memory at once.
    monkeypatch.setattr(joining, "MOST", 8)
    monkeypatch.setattr(joining, "_TOGETHER", 24)
    for place, order in (("c", IDS), ("d", None)):
        join(parts, tmp_path / place, order)
        assert read_table(tmp_path / place).equals(whole if order else found)
    assert len(list((tmp_path / "c").glob("part-*"))) == -(-len(IDS) // 8)
    # It goes on as one.
    made(Run(tmp_path / "a"), [*IDS, "new"])
    assert read_table(tmp_path / "a").num_rows == len(IDS) + 1


def test_results_within_are_joined_too_where_parts_share_rows(tmp_path: Path) -> None:
    shared = IDS[:5]
    parts = in_parts(tmp_path / "t", 3)
    for number, part in enumerate(parts, 1):
        with ResultTable(part / "_features", content_schema(2), {"step": "features"}) as table:
            mine = [video for video in IDS if video in shared or Part(number, 3).holds(video)]
            table.append([{"id": v, "frames": [np.ones(2, np.float16) * len(v)], "status": "ok"} for v in mine])
        (part / "_model.safetensors").write_bytes(b"weights")
    join(parts, tmp_path / "a", IDS)
    assert read_table(tmp_path / "a" / "_features")["id"].to_pylist() == IDS
    assert (tmp_path / "a" / "_model.safetensors").read_bytes() == b"weights"
    join(parts, tmp_path / "b")
    assert sorted(read_table(tmp_path / "b" / "_features")["id"].to_pylist()) == IDS


def test_what_cannot_be_one(tmp_path: Path) -> None:
    parts = in_parts(tmp_path / "t", 4)
    with pytest.raises(TableError, match=r"^of 4 parts 2 are missing: 2, 4\. Run them"):
        join([parts[0], parts[2]], tmp_path / "out")
    with pytest.raises(TableError, match=r"is in several of the folders, in .*part-2-of-4 first"):
        join([*parts, parts[1]], tmp_path / "out")
    other = in_parts(tmp_path / "other", 4, maker={**MAKER, "settings": {"dtype": "bfloat16"}})
    with pytest.raises(TableError, match=r"other/part-4-of-4: was made by other settings than .* \(dtype: unknown"):
        join([*parts[:3], other[3]], tmp_path / "out")
    with pytest.raises(TableError, match="the folders are parts of 2 and of 4"):
        join([*parts, *in_parts(tmp_path / "two", 2)], tmp_path / "out")
    with pytest.raises(TableError, match="2 of the 302 videos have no row in any folder, 'x' the first"):
        join(parts, tmp_path / "out", ["x", *IDS, "y"])
    with pytest.raises(TableError, match=r"part-.-of-4: id 'pool/0299\.mp4' is not in the order that was named"):
        join(parts, tmp_path / "out", IDS[:-1])
    (parts[2] / "part-00001.parquet").unlink()
    count = read_meta(parts[2])["part"]["videos"]
    with pytest.raises(TableError, match=rf"part-3-of-4: has {count - 17} of the {count} rows of part 3/4. Run it"):
        join(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_what_lies_at_the_place_stays_unless_it_is_a_result_and_may_go(tmp_path: Path) -> None:
    parts = in_parts(tmp_path / "t", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(TableError, match="mine: is there already"):
            join(parts, tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
    (tmp_path / "empty").mkdir()
    join(parts, tmp_path / "empty")
    with pytest.raises(TableError, match="empty: is there already"):
        join(parts, tmp_path / "empty")
    join(parts, tmp_path / "empty", IDS, overwrite=True)
    assert read_table(tmp_path / "empty")["id"].to_pylist() == IDS


def test_results_that_are_no_parts_are_joined_and_so_is_their_state(tmp_path: Path) -> None:
    made(Run(tmp_path / "a"), IDS[:10])
    made(Run(tmp_path / "b"), IDS[10:30])
    with Run(tmp_path / "b").open(SCORES, MAKER) as table:
        table.redo([{**row(IDS[12]), "score": 5.0}])
    join([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert made_by(tmp_path / "c") == {**MAKER, "anew": 1}
    assert read_table(tmp_path / "c")["id"].to_pylist() == IDS[:30]


def test_a_folder_is_of_one_part(tmp_path: Path) -> None:
    part = in_parts(tmp_path / "t", 2)[0]
    with pytest.raises(TableError, match=r"is of part 1/2, and this is a whole pool\. Name another folder"):
        made(Run(part), IDS)
    # The pool has grown.
    in_parts(tmp_path / "t", 2, [*IDS, *(f"new/{i}" for i in range(40))])
    assert read_table(part).num_rows == read_meta(part)["part"]["videos"] > len(IDS) // 2 - 40
    with pytest.raises(InputError, match=r"--part 9/9000: has none of the videos. Make fewer parts"):
        Run(tmp_path).parted("9/9000", IDS[:3])


def test_scores_and_content_of_parts(tmp_path: Path, small_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "score", small_corpus, "--out", tmp_path / "whole", "--workers", 1)
    for number in (1, 2):
        printed(capsys, "score", small_corpus, "--out", tmp_path / "s", "--part", f"{number}/2", "--workers", 1)
    out, _ = printed(capsys, "merge", tmp_path / "s", "--order-of", small_corpus, "--out", tmp_path / "all", "--json")
    assert json.loads(out) == {"out": str(tmp_path / "all"), "parts": 2, "rows": 76}
    assert read_table(tmp_path / "all" / "_features").equals(read_table(tmp_path / "whole" / "_features"))
    # A product of matrices rounds by how many rows it has.
    found, wanted = (read_table(tmp_path / name) for name in ("all", "whole"))
    assert found.drop_columns("score").equals(wanted.drop_columns("score"))
    np.testing.assert_allclose(found["score"].to_numpy(), wanted["score"].to_numpy(), rtol=1e-12)
    for name in ("", "_features"):
        assert made_by(tmp_path / "all" / name) == made_by(tmp_path / "whole" / name)
    name = "_model.safetensors"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # An undivided run has nothing left to do.
    _, said = printed(capsys, "score", small_corpus, "--out", tmp_path / "all", "--workers", 1)
    assert "all 76 reused" in said
    printed(capsys, "content", small_corpus, "--out", tmp_path / "content", "--workers", 1)
    for number in (1, 2):
        mirror = ("--mirror", tmp_path / "mirror")
        printed(
            *(capsys, "content", small_corpus, "--out", tmp_path / "c", "--part", f"{number}/2", "--workers", 1),
            *mirror,
        )
    for place in ("c", "mirror"):
        parts = sorted((tmp_path / place).glob("part-*-of-2"))
        printed(capsys, "merge", *parts, "--order-of", small_corpus, "--out", tmp_path / f"{place}-all")
        assert read_table(tmp_path / f"{place}-all").equals(read_table(tmp_path / "content"))


def test_mistakes_are_one_sentence(tmp_path: Path, small_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (("score", small_corpus, "--part", "0/2"), "Parts count from 1"),
        (("difficulty", small_corpus, "--scores", "s", "--part", "1/2"), "go with a vision-language model"),
        (("merge",), "name the folders of results to join, or --model and --adapter"),
        (("merge", "--order-of", small_corpus, "-m", "a/b", "-a", "c/d"), "goes with folders of results"),
        (("merge", tmp_path, "--model", "a/b"), "do not go with --model"),
        (("merge", tmp_path / "gone"), "there is no such result folder"),
    ):
        _, error = printed(capsys, *words, "--out", tmp_path / "out", code=1)
        assert said in error
        assert [line for line in error.splitlines() if "error: " in line] == error.splitlines()[-1:]

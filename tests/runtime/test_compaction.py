"""Shards that grow, and many small ones merged: the same rows in the same order, whenever it is killed."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands import printed
from mdsvqa.runtime import compaction, results
from mdsvqa.runtime.compaction import compact, results_within
from mdsvqa.runtime.csv_beside import csv_beside, csv_bytes
from mdsvqa.runtime.results import (
    SCORES,
    ResultTable,
    TableError,
    content_schema,
    made_by,
    read_meta,
    read_parts,
    read_table,
)
from mdsvqa.runtime.shards import MOST, shards_of

MAKER = {"step": "scores", "model": "m"}


def rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"id": f"v{i:05d}", "score": i / 8, "status": "ok", "size": i, "mtime": i} for i in range(start, stop)]


def filled(folder: Path, *sizes: int) -> Path:
    with ResultTable(folder, SCORES, MAKER) as table:
        start = len(table.ids)
        for size in sizes:
            table.append(rows(start, start + size))
            start += size
    return folder


def sizes(folder: Path) -> list[int]:
    return [pq.read_metadata(shard).num_rows for shard in shards_of(folder)]


class Clock:
    """Seconds that only pass when a row is made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr(results, "monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("each", "seconds", "count", "expected"),
    [
        (1, 0.001, 10_000, [32, 4096, 4096, 1776]),
        (1, 1.0, 200, [32, 60, 60, 48]),
        # Less than 32 where they take more than a minute: a kill loses no more than that.
        (1, 25.0, 9, [2, 2, 2, 2, 1]),
        (1, 100.0, 3, [1, 1, 1]),
        # Whole windows.
        (32, 4.0, 160, [32, 32, 32, 32, 32]),
        (32, 0.5, 320, [32, 96, 96, 96]),
        (32, 0.001, 32 * 200, [32, 4096, 2272]),
    ],
)
def test_a_shard_grows_to_what_a_minute_makes(
    each: int, seconds: float, count: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    with ResultTable(tmp_path / "t", SCORES, MAKER) as table:
        for start in range(0, count, each):
            clock.now += each * seconds
            table.collect(rows(start, start + each))
    assert sizes(tmp_path / "t") == expected
    assert read_table(tmp_path / "t")["id"].to_pylist() == [row["id"] for row in rows(0, count)]


def test_large_rows_are_written_before_they_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_BYTES", 1 << 20)
    dims = 1024
    with ResultTable(tmp_path / "t", content_schema(dims), MAKER) as table:
        for i in range(1000):
            table.collect([{"id": str(i), "frames": [np.zeros(dims, np.float16)] * 4, "status": "ok"}])
    # A row has 8 KiB and a little.
    assert sizes(tmp_path / "t")[0] == 32
    assert all(100 < size <= 128 for size in sizes(tmp_path / "t")[1:-1])


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_what_waits_is_written_when_the_work_ends_early(tmp_path: Path, raised: type[BaseException]) -> None:
    def work() -> None:
        with ResultTable(tmp_path / "t", SCORES, MAKER) as table:
            table.collect(rows(0, 5))
            assert table.ids == {row["id"] for row in rows(0, 5)}
            assert sizes(tmp_path / "t") == []
            raise raised

    with pytest.raises(raised):
        work()
    assert sizes(tmp_path / "t") == [5]


def test_what_waits_is_known_to_every_question(tmp_path: Path) -> None:
    with ResultTable(tmp_path / "t", SCORES, MAKER) as table:
        table.collect(rows(0, 3))
        with pytest.raises(TableError, match="'v00001' is in the table already"):
            table.collect(rows(1, 2))
        table.collect([{"id": "x", "status": "failed"}])
        assert table.ids_with("failed") == {"x"}
        table.collect(rows(5, 6))
        assert table.stamps()["v00005"] == (5, 5, None)
        table.collect([{"id": "y", "status": "failed"}])
        table.replace([{"id": "y", "status": "ok"}])
        table.append(rows(7, 8))
        assert table.ids_with("ok") >= {"y", "v00007"}
    ids = ["v00000", "v00001", "v00002", "x", "v00005", "y", "v00007"]
    assert read_table(tmp_path / "t")["id"].to_pylist() == ids


def test_a_shard_that_a_person_put_there_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", 2)
    with ResultTable(folder, SCORES, MAKER) as table:
        (folder / "part-00001.parquet").write_bytes((folder / "part-00000.parquet").read_bytes())
        table.append(rows(2, 4))
        shards_of(folder)[0].unlink()
        table.append(rows(4, 6))
    assert [shard.name for shard in shards_of(folder)] == [f"part-0000{i}.parquet" for i in (1, 2, 3)]


def test_only_the_shards_of_replaced_rows_are_written(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", 3, 3, 3, 3)
    before = {shard: shard.stat().st_ino for shard in shards_of(folder)}
    new = [{**row, "score": -1.0} for row in rows(0, 12) if row["id"] in ("v00004", "v00011")]
    with ResultTable(folder, SCORES, MAKER) as table:
        table.replace([*new, {"id": "nobody", "score": 0.0}])
    changed = [shard.stat().st_ino != before[shard] for shard in shards_of(folder)]
    assert changed == [False, True, False, True]
    assert read_table(folder)["score"].to_pylist() == [-1.0 if i in (4, 11) else i / 8 for i in range(12)]


def test_the_csv_of_many_shards_is_that_of_the_table(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", 3, 1)
    with ResultTable(folder, SCORES, MAKER) as table:
        table.append([{"id": 'ü",\n', "text": "only\there"}])
    table_ = read_table(folder)
    assert csv_beside(folder).read_bytes() == csv_bytes(table_)
    assert csv_beside(folder).read_text().splitlines()[0] == "id,score,status,text,size,mtime"
    compact(folder)
    filled(folder)
    assert csv_beside(folder).read_bytes() == csv_bytes(table_)


def test_the_csv_of_older_shards_beside_newer_ones(tmp_path: Path) -> None:
    older = pa.schema([field for field in SCORES if field.name in ("id", "score", "status")])
    with ResultTable(tmp_path / "t", older, MAKER) as table:
        table.append(rows(0, 2))
    filled(tmp_path / "t", 1)
    assert csv_beside(tmp_path / "t").read_text().splitlines() == [
        *("id,score,status,size,mtime", "v00000,0.0,ok,,", "v00001,0.125,ok,,", "v00002,0.25,ok,2,2")
    ]
    before = read_table(tmp_path / "t")
    assert compact(tmp_path / "t").after == 1
    assert read_table(tmp_path / "t").equals(before)


def test_compact(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", *[32] * 300, 4096, 4000, 50, 50)
    with ResultTable(folder, SCORES, MAKER) as table:
        table.redo(rows(7, 8))
    table_, meta, seconds = read_table(folder), read_meta(folder), (folder / "_seconds").read_text()
    beside, heard = csv_beside(folder).read_bytes(), list[tuple[int, int]]()
    done = compact(folder, lambda merged, of: heard.append((merged, of)))
    assert (done.before, done.after) == (304, 6)
    assert sizes(folder) == [4096, 4096, 1408, 4096, 4050, 50]
    assert max(sizes(folder)) <= MOST
    assert heard[-1] == (302, 302)
    assert read_table(folder).equals(table_)
    assert pa.concat_tables(read_parts(folder, ["id", "score"])).equals(table_.select(["id", "score"]))
    assert (read_meta(folder), (folder / "_seconds").read_text()) == (meta, seconds)
    assert made_by(folder) == {**MAKER, "anew": 1}
    assert csv_beside(folder).read_bytes() == beside
    assert compact(folder).before == compact(folder).after == 6
    number = shards_of(folder)[-1].name
    filled(folder, 1)
    assert (number, shards_of(folder)[-1].name) == ("part-00303.parquet", "part-00304.parquet")


def test_compact_of_content(tmp_path: Path) -> None:
    schema, rng = content_schema(3), np.random.default_rng(0)
    with ResultTable(tmp_path / "t", schema, MAKER) as table:
        for i in range(9):
            frames = list(rng.normal(size=(i % 3, 3)).astype(np.float16))
            table.append([{"id": str(i), "frames": frames, "status": "ok" if frames else "undecodable"}])
    before = read_table(tmp_path / "t")
    assert compact(tmp_path / "t").after == 1
    assert read_table(tmp_path / "t").equals(before)
    with ResultTable(tmp_path / "t", schema, MAKER) as table:
        table.replace([{"id": "3", "frames": [np.ones(3, np.float16)], "status": "ok"}])
    found = read_table(tmp_path / "t")
    assert found["frames"].to_pylist()[3] == [[1, 1, 1]]
    assert found.filter(pa.array([i != 3 for i in range(9)])).equals(
        before.filter(pa.array([i != 3 for i in range(9)]))
    )


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def killed_at(moment: int | None, work: Callable[[], object], patch: pytest.MonkeyPatch) -> int:
    """Runs `work` until its change of the disk with this number, before it; how many there were."""
    count = 0

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:
                raise Killed
            return operation(*args, **more)

        return step

    with patch.context() as patched:
        patched.setattr(os, "fsync", counted(os.fsync))
        for name in ("replace", "unlink"):
            patched.setattr(Path, name, counted(getattr(Path, name)))
        work()
    return count


@pytest.mark.parametrize("then", ["add", "replace", "compact", "compact and killed again"])
def test_compact_killed_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    monkeypatch.setattr(compaction, "MOST", 8)
    parts = [3, 1, 8, 2, 2]
    whole = read_table(filled(tmp_path / "whole", *parts))
    meta = read_meta(tmp_path / "whole")
    total = killed_at(None, lambda: compact(tmp_path / "whole"), monkeypatch)
    # Two runs are merged.
    assert total >= 2 * 10
    for moment in range(1, total + 1):
        folder = filled(tmp_path / str(moment), *parts)
        with pytest.raises(Killed):
            killed_at(moment, lambda folder=folder: compact(folder), monkeypatch)
        # Who only reads, without the lock.
        assert read_table(folder).equals(whole)
        assert pa.concat_tables(read_parts(folder, ["id"])).equals(whole.select(["id"]))
        if then == "add":
            filled(folder, 2)
            assert read_table(folder)["id"].to_pylist() == [row["id"] for row in rows(0, len(whole) + 2)]
        elif then == "replace":
            with ResultTable(folder, SCORES, MAKER) as table:
                assert table.ids == set(whole["id"].to_pylist())
                table.replace([{**rows(5, 6)[0], "score": -1.0}])
            found = read_table(folder)["score"].to_pylist()
            assert found == [-1.0 if i == 5 else i / 8 for i in range(len(whole))]
        elif then == "compact":
            compact(folder)
            assert sizes(folder) == sizes(tmp_path / "whole")
        else:
            for again in range(1, 8):
                with suppress(Killed):
                    killed_at(again, lambda folder=folder: compact(folder), monkeypatch)
                assert read_table(folder).equals(whole)
        if then in ("add", "replace", "compact"):
            leftover = {path.name for path in folder.iterdir() if not path.name.startswith("part-")}
            assert leftover <= {"_meta.json", "_seconds", "_csv", ".lock"}
            assert {path.name for path in folder.glob("part-*")} == {path.name for path in shards_of(folder)}
        assert read_meta(folder) == meta


def test_overwriting_what_was_being_merged_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in range(1, 13):
        folder = filled(tmp_path / str(moment), 2, 2, 2)
        with pytest.raises(Killed):
            killed_at(moment, lambda folder=folder: compact(folder), monkeypatch)
        with ResultTable(folder, SCORES, {"step": "other"}, overwrite=True) as table:
            table.append([{"id": "new"}])
        assert read_table(folder)["id"].to_pylist() == ["new"]
        assert not list(folder.glob("_merged*"))


def test_compact_beside_a_writer_waits_for_nobody(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", 1, 1)
    with ResultTable(folder, SCORES, MAKER), pytest.raises(TableError, match="another process is writing"):
        compact(folder)
    assert sizes(folder) == [1, 1]


def test_a_damaged_shard_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", 2, 2, 2)
    (folder / "part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"part-00001\.parquet: cannot be read .* Delete it"):
        compact(folder)
    (folder / "part-00001.parquet").unlink()
    compact(folder)
    assert read_table(folder)["id"].to_pylist() == ["v00000", "v00001", "v00004", "v00005"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = filled(tmp_path / "scores", *[2] * 5)
    filled(folder / "_features", 1, 1)
    assert [each.name for each in results_within(folder)] == ["scores", "_features"]
    done = json.loads(printed(capsys, "compact", folder, "--json")[0])["results"]
    assert [(each["before"], each["after"]) for each in done] == [(5, 1), (2, 1)]
    assert "1 file before, 1 now" in printed(capsys, "compact", tmp_path)[0]
    (tmp_path / "empty").mkdir()
    _, said = printed(capsys, "compact", tmp_path / "empty", code=1)
    assert said.count("\n") == 1
    assert "is no result folder" in said
    assert "there is no such result folder" in printed(capsys, "compact", tmp_path / "gone", code=1)[1]

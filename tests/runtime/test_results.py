"""Results on disk: what was written is read back, and a kill at any moment leaves whole shards only."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvqa.runtime.atomic import WriteError, write_atomically
from mdsvqa.runtime.results import (
    ABOUT,
    DIFFICULTY,
    FEATURES,
    SCORES,
    SELECTION,
    TRIALS,
    ResultTable,
    TableError,
    column,
    computed,
    content_schema,
    fingerprint,
    frame_matrices,
    is_table,
    json_text,
    made_by,
    matrix,
    read_meta,
    read_table,
)

MAKER = {"step": "scores", "model": "m", "seed": 0}
NO_FILE = {name: None for name, _ in ABOUT}
FILE = {
    **{"size": 3_000_000_000, "mtime": 1_700_000_000_123_456_789, "transfer": "smpte2084", "primaries": "bt2020"},
    **{"range": "tv", "sar": "16:15", "interlaced": True, "rotation": 270, "etag": "9e107d9d372bb6826bd81d3542a419d6"},
}
ROWS: dict[str, tuple[pa.Schema, list[dict[str, Any]]]] = {
    "scores": (
        SCORES,
        [
            {
                "id": "0012",
                "score": 3.25,
                "status": "ok",
                "text": 'a "4", then,\nfive',
                "spread": 0.1,
                "expected": 3.31,
                "note": "the picture's size changes on the way",
                **FILE,
            },
            {
                "id": "ü/b c.mp4",
                "score": None,
                "status": "unparsable",
                "text": "no idea",
                "spread": None,
                "expected": None,
                "note": None,
                **NO_FILE,
            },
        ],
    ),
    "features": (
        FEATURES,
        [
            {"id": "a", "features": [1.5, -2.0], "status": "ok", "text": None, "note": "n", **FILE},
            {"id": "b", "features": None, "status": "undecodable", "text": "no video stream", "note": None, **NO_FILE},
        ],
    ),
    "difficulty": (DIFFICULTY, [{"id": "a", "difficulty": -0.125, "status": "ok"}]),
    "selection": (
        SELECTION,
        [{"rank": 1, "id": "a", "difficulty": 1.0, "diversity": None, "utility": 1e-300, "rule": "mds"}],
    ),
    "trials": (
        TRIALS,
        [
            {
                "id": "mds/0",
                "rule": "mds",
                "seed": 2**40,
                "selected": ["a", "b"],
                "target_scores": [0.1],
                "source_scores": [],
            }
        ],
    ),
}


def score_rows(*ids: str) -> list[dict[str, Any]]:
    return [{"id": video, "score": 1.0, "status": "ok"} for video in ids]


def filled(folder: Path, *ids: str) -> Path:
    with ResultTable(folder, SCORES, MAKER) as table:
        table.append(score_rows(*ids))
    return folder


@pytest.mark.parametrize("name", ROWS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    schema, rows = ROWS[name]
    with ResultTable(tmp_path / "deep" / "er", schema, MAKER) as table:
        for row in rows:
            table.append([row])
        table.append([])
    found = read_table(tmp_path / "deep" / "er")
    assert found.schema.equals(schema)
    assert found.to_pylist() == rows
    assert len(list((tmp_path / "deep" / "er").glob("*.parquet"))) == len(rows)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 2**31))
def test_content_round_trip(tmp_path_factory: pytest.TempPathFactory, lengths: list[int], dims: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [rng.normal(size=(length, dims)).astype(np.float16) for length in lengths]
    folder = tmp_path_factory.mktemp("content")
    with ResultTable(folder, content_schema(dims), MAKER) as table:
        for place, matrix_ in enumerate(frames):
            table.append([{"id": str(place), "frames": list(matrix_), "status": "ok"}])
    table_ = read_table(folder)
    found = frame_matrices(table_)
    assert [part.dtype for part in found] == [np.float32] * len(frames)
    for part, expected in zip(found, frames, strict=True):
        np.testing.assert_array_equal(part, expected.astype(np.float32))
    keep = np.arange(len(frames)) % 2 == 1
    for part, place in zip(frame_matrices(table_.filter(pa.array(keep))), np.flatnonzero(keep), strict=True):
        np.testing.assert_array_equal(part, frames[place].astype(np.float32))
    for part, expected in zip(frame_matrices(table_.slice(1)), frames[1:], strict=True):
        np.testing.assert_array_equal(part, expected.astype(np.float32))


def test_matrix(tmp_path: Path) -> None:
    with ResultTable(tmp_path, FEATURES, MAKER) as table:
        table.append([{"id": "a", "features": [1.0, 2.0]}, {"id": "b", "features": np.float32([3.0, 4.0])}])
        table.append([{"id": "c", "features": None}, {"id": "d", "features": [5.0, 6.5]}])
    found = read_table(tmp_path)
    usable = found.filter(pa.array([True, True, False, True]))
    assert matrix(usable, "features").tolist() == [[1, 2], [3, 4], [5, 6.5]]
    assert matrix(usable.slice(1), "features").tolist() == [[3, 4], [5, 6.5]]


def test_order_of_writing_holds_beyond_100000_shards(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "first")
    (folder / "part-00000.parquet").rename(folder / "part-99999.parquet")
    filled(folder, "second")
    filled(folder, "third")
    assert read_table(folder)["id"].to_pylist() == ["first", "second", "third"]
    assert (folder / "part-100001.parquet").exists()


def test_deleting_a_shard_loses_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    for video in "abc":
        filled(folder, video)
    (folder / "part-00000.parquet").unlink()
    filled(folder, "a")
    assert read_table(folder)["id"].to_pylist() == ["b", "c", "a"]


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def _operations(work: Callable[[], None], patch: pytest.MonkeyPatch, kill_at: int | None, rng: random.Random) -> int:
    """Runs `work`; every step of a write counts, and the one numbered `kill_at` is the last, done in part or not."""
    count = 0

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == kill_at:
                raise Killed
            return operation(*args)

        return step

    open_ = Path.open

    def torn_open(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        file = open_(path, mode, *args, **kwargs)
        if "w" in mode and path.suffix == ".tmp":
            count += 1
            if count == kill_at:
                file.write(bytes(rng.randrange(40)))
                file.close()
                raise Killed
        return file

    with patch.context() as patched:
        patched.setattr(os, "fsync", counted(os.fsync))
        patched.setattr(Path, "replace", counted(Path.replace))
        patched.setattr(Path, "open", torn_open)
        work()
    return count


def test_every_moment_of_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{number:04d}" for number in range(6)]
    rng = random.Random(0)

    def work(folder: Path) -> None:
        with ResultTable(folder, SCORES, MAKER) as table:
            missing = [video for video in ids if video not in table.ids]
            for start in range(0, len(missing), 2):
                table.append(score_rows(*missing[start : start + 2]))

    total = _operations(lambda: work(tmp_path / "whole"), monkeypatch, None, rng)
    # open, fsync, replace, fsync of the folder: for _meta.json, three shards, the CSV and what says that it is ours.
    assert total == 4 * (1 + 3 + 2)
    for moment in range(1, total + 1):
        folder = tmp_path / str(moment)
        with pytest.raises(Killed):
            _operations(lambda folder=folder: work(folder), monkeypatch, moment, rng)
        written = [pq.read_table(shard).num_rows for shard in folder.glob("*.parquet")]
        # The shard whose rename is done counts, though its folder was not flushed.
        assert written == [2] * min(3, moment // 4 - 1)
        work(folder)
        assert read_table(folder)["id"].to_pylist() == ids
        assert list(folder.glob("*.tmp")) == []


WRITER = """
import sys
from pathlib import Path
from mdsvqa.runtime.results import SCORES, ResultTable
folder, count = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
with ResultTable(folder, SCORES, {"step": "scores"}) as table:
    missing = [f"{number:05d}" for number in range(count) if f"{number:05d}" not in table.ids]
    print(len(missing), flush=True)
    for start in range(0, len(missing), 3):
        ids = missing[start : start + 3]
        table.append([{"id": i, "score": float(i), "status": "ok", "text": i * 500} for i in ids])
"""


def writer(folder: Path, count: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(count)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX systems")
def test_killed_processes_leave_whole_shards(tmp_path: Path) -> None:
    folder, rng, kills = tmp_path / "t", random.Random(3), 0
    before: list[str] = []
    for attempt in range(5):
        process = writer(folder, 30_000)
        while before == [] and attempt > 0 and not list(folder.glob("part-*.parquet")):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        shards = [pq.read_table(shard)["id"].to_pylist() for shard in sorted(folder.glob("part-*.parquet"))]
        found = [video for shard in shards for video in shard]
        assert all(len(shard) == 3 for shard in shards)
        assert found[: len(before)] == before
        assert found == [f"{number:05d}" for number in range(len(found))]
        before = found
    assert kills == 5
    assert before
    count = (len(before) // 3 + 20) * 3
    process = writer(folder, count)
    missing, _ = process.communicate()
    assert (process.returncode, int(missing)) == (0, 60)
    assert read_table(folder)["id"].to_pylist() == [f"{number:05d}" for number in range(count)]
    assert list(folder.glob("*.tmp")) == []


def test_leftovers_are_ignored_and_removed(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "a")
    ours = [folder / "part-00001.parquet.tmp", folder / "_meta.json.tmp"]
    for path in ours:
        path.write_bytes(b"PAR1 torn")
    somebody_s = folder / "notes.tmp"
    somebody_s.write_text("keep me")
    assert read_table(folder)["id"].to_pylist() == ["a"]
    filled(folder, "b")
    assert read_table(folder)["id"].to_pylist() == ["a", "b"]
    assert not any(path.exists() for path in ours)
    assert somebody_s.read_text() == "keep me"


def test_write_atomically_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_another_maker_is_told_in_words(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "a")
    with pytest.raises(TableError, match=r"t: holds the result of another step \(scores, and this is difficulty\)"):
        ResultTable(folder, SCORES, {"step": "difficulty", "model": "m"})
    other = MAKER | {"seed": 1, "budget": 8, "labels": "0123456789ab"}
    with pytest.raises(TableError) as caught:
        ResultTable(folder, SCORES, other)
    assert "(budget: unknown there, 8 now; seed: 0 there, 1 now; other labels)" in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert read_table(folder)["id"].to_pylist() == ["a"]
    # Having been refused, it holds no lock.
    filled(folder, "b")


def test_what_was_quickly_made_is_made_anew_and_told(tmp_path: Path) -> None:
    folder, said = filled(tmp_path / "t", "a"), list[str]()
    (folder / "_seconds").write_text("20\n39\n")
    with ResultTable(folder, SCORES, MAKER | {"seed": 1}, say=said.append) as table:
        assert table.ids == set()
        table.append(score_rows("b"))
    assert said == [f"{folder}: made anew, seed: 0 there, 1 now (it took 59 s)"]
    assert read_table(folder)["id"].to_pylist() == ["b"]


@pytest.mark.parametrize(
    ("seconds", "costs", "price"),
    [
        ("30\n31\n", "", "would cost the 1.02 min that it took"),
        ("2\n", "6 labels", "would cost 6 labels and the 2 s that it took"),
        ("", "6 labels", "would cost 6 labels"),
        (None, "", "loses what is there"),
        ("torn\n", "", "loses what is there"),
    ],
)
def test_what_took_long_or_has_labels_is_asked_for(tmp_path: Path, seconds: str | None, costs: str, price: str) -> None:
    folder, said = filled(tmp_path / "t", "a"), list[str]()
    (folder / "_seconds").unlink() if seconds is None else (folder / "_seconds").write_text(seconds)
    with pytest.raises(TableError, match=price):
        ResultTable(folder, SCORES, MAKER | {"seed": 1}, say=said.append, costs=costs)
    assert said == []
    with ResultTable(folder, SCORES, MAKER | {"seed": 1}, say=said.append, costs=costs, overwrite=True) as table:
        assert table.ids == set()


def test_an_empty_table_of_a_crashed_step_is_in_nobody_s_way(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ResultTable(tmp_path / "t", SCORES, MAKER):
        _ = 1 / 0
    other = {"step": "difficulty", "seed": 7}
    with ResultTable(tmp_path / "t", DIFFICULTY, other) as table:
        table.append([{"id": "c", "difficulty": 1.0, "status": "ok"}])
    assert read_meta(tmp_path / "t")["maker"] == other


def test_a_folder_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "a")
    (folder / "_meta.json").rename(folder / "meta.json")
    assert read_table(folder)["id"].to_pylist() == ["a"]
    assert is_table(folder)
    filled(folder, "b")
    assert read_table(folder)["id"].to_pylist() == ["a", "b"]
    assert not (folder / "meta.json").exists()


def test_others_read_a_folder_as_it_is(tmp_path: Path) -> None:
    folder = filled(tmp_path / "scores", "a", "b")
    filled(folder, "c")
    (folder / "_features").mkdir()
    pq.write_table(pa.table({"features": [[1.0]]}), folder / "_features" / "part-00000.parquet")
    (folder / "_model.safetensors").write_bytes(b"weights")
    assert all(path.name.startswith(("_", ".", "part-")) for path in folder.iterdir())
    pandas = pytest.importorskip("pandas")
    assert sorted(pandas.read_parquet(folder)["id"]) == ["a", "b", "c"]
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(f"select count(*), sum(score) from '{folder}/*.parquet'").fetchall() == [(3, 3.0)]
    polars = pytest.importorskip("polars")
    assert polars.read_parquet(f"{folder}/*.parquet")["id"].to_list() == ["a", "b", "c"]


def test_a_csv_lies_beside_and_what_a_person_put_there_stays(tmp_path: Path) -> None:
    folder, beside = filled(tmp_path / "scores", "a"), tmp_path / "scores.csv"
    assert beside.read_text().splitlines() == ["id,score,status", "a,1.0,ok"]
    filled(folder, "b")
    assert beside.read_text().splitlines() == ["id,score,status", "a,1.0,ok", "b,1.0,ok"]
    beside.unlink()
    filled(folder)
    assert len(beside.read_text().splitlines()) == 3
    beside.write_text("mine")
    filled(folder, "c")
    assert beside.read_text() == "mine"


def test_no_csv_of_a_step_that_failed(tmp_path: Path) -> None:
    with pytest.raises(TableError), ResultTable(tmp_path / "new", SCORES, MAKER) as table:
        table.append([*score_rows("a"), *score_rows("a")])
    assert not (tmp_path / "new.csv").exists()


def test_overwrite(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "a", "b")
    with ResultTable(folder, SCORES, MAKER, overwrite=True) as table:
        assert table.ids == {"a", "b"}
    with ResultTable(folder, DIFFICULTY, {"step": "difficulty"}, overwrite=True) as table:
        assert table.ids == set()
        assert not is_table(folder)
        table.append([{"id": "c", "difficulty": 1.0, "status": "ok"}])
    assert read_meta(folder)["maker"] == {"step": "difficulty"}
    assert read_table(folder).to_pylist() == [{"id": "c", "difficulty": 1.0, "status": "ok"}]


def test_makers_are_compared_as_json(tmp_path: Path) -> None:
    for _ in range(2):
        with ResultTable(tmp_path, SCORES, {"step": "s", "rules": ("a", "b"), "path": Path("x")}):
            pass
    assert read_meta(tmp_path)["maker"] == {"step": "s", "rules": ["a", "b"], "path": "x"}


def test_duplicates(tmp_path: Path) -> None:
    with ResultTable(tmp_path, SCORES, MAKER) as table:
        table.append(score_rows("a", "b"))
        with pytest.raises(TableError, match="id 'b' is in the table already"):
            table.append(score_rows("c", "b"))
        with pytest.raises(TableError, match="id 'd' is twice among the new rows"):
            table.append(score_rows("d", "e", "d"))
        table.append(score_rows("c"))
    assert read_table(tmp_path)["id"].to_pylist() == ["a", "b", "c"]
    with ResultTable(tmp_path, SCORES, MAKER) as table, pytest.raises(TableError, match="id 'a'"):
        table.append(score_rows("a"))


def test_lock(tmp_path: Path) -> None:
    attempt = (
        "import sys; from pathlib import Path; from mdsvqa.runtime.results import *\n"
        "try: ResultTable(Path(sys.argv[1]), SCORES, {})\n"
        "except TableError as error: sys.exit(str(error))"
    )
    with ResultTable(tmp_path, SCORES, MAKER):
        second = subprocess.run([sys.executable, "-c", attempt, str(tmp_path)], capture_output=True, text=True)
        assert second.returncode == 1
        assert second.stderr.strip() == (
            f"{tmp_path}: another process is writing to this result. Wait for it, or use another folder."
        )
        with pytest.raises(TableError, match="another process"):
            ResultTable(tmp_path, SCORES, MAKER)
    filled(tmp_path, "a")


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ResultTable(tmp_path, SCORES, MAKER):
        _ = 1 / 0
    filled(tmp_path, "a")


def test_computed(tmp_path: Path) -> None:
    calls: list[int] = []

    def rows() -> list[dict[str, Any]]:
        calls.append(1)
        return score_rows(*"ab")

    def table(**more: Any) -> ResultTable:
        return ResultTable(tmp_path / "t", SCORES, {**MAKER, "seed": more.pop("seed", 0)}, **more)

    first, reused = computed(table(), rows)
    assert (first["id"].to_pylist(), reused, len(calls)) == (["a", "b"], False, 1)
    second, reused = computed(table(), rows)
    assert (second.equals(first), reused, len(calls)) == (True, True, 1)
    with pytest.raises(TableError, match="seed: 0 there, 1 now"):
        computed(table(seed=1), rows)
    assert len(calls) == 1
    _, reused = computed(table(seed=1, overwrite=True), rows)
    assert (reused, len(calls)) == (False, 2)


def test_computed_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        computed(ResultTable(tmp_path / "t", SCORES, MAKER), lambda: [{"id": str(1 // 0)}])
    assert not is_table(tmp_path / "t")
    table, reused = computed(ResultTable(tmp_path / "t", SCORES, MAKER), lambda: score_rows("a"))
    assert (table.num_rows, reused) == (1, False)


def test_fingerprint_is_the_same_everywhere() -> None:
    # printf '{"a": [1, 2.5, null], "b": "x"}' | sha256sum
    assert fingerprint({"b": "x", "a": [1, 2.5, None]}) == "e80ae95b4645"
    assert fingerprint({"a": (1, 2)}) == fingerprint({"a": [1, 2]})
    assert fingerprint(Path("x")) == fingerprint("x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5), st.randoms())
def test_fingerprint_of_any_json(value: dict[str, Any], chance: random.Random) -> None:
    pairs = list(value.items())
    chance.shuffle(pairs)
    assert fingerprint(dict(pairs)) == fingerprint(json.loads(json.dumps(value)))
    assert fingerprint(value) != fingerprint(value | {"": object})
    assert len(fingerprint(value)) == 12


def test_read_errors(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="gone: there is no such result folder"):
        read_table(tmp_path / "gone")
    assert not is_table(tmp_path / "gone")
    with ResultTable(tmp_path / "empty", SCORES, MAKER):
        pass
    with pytest.raises(TableError, match="empty: has no rows yet; run the step"):
        read_table(tmp_path / "empty")
    assert not is_table(tmp_path / "empty")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"maker": "me"}', b"null"])
def test_unreadable_meta(tmp_path: Path, content: bytes) -> None:
    folder = filled(tmp_path / "t", "a")
    (folder / "_meta.json").write_bytes(content)
    for use in (read_meta, read_table, lambda folder: ResultTable(folder, SCORES, MAKER)):
        with pytest.raises(TableError, match=r"t: not a result folder, its _meta\.json"):
            use(folder)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 30])
def test_damaged_shard(tmp_path: Path, content: bytes) -> None:
    folder = filled(tmp_path / "t", "a")
    (folder / "part-00000.parquet").write_bytes(content)
    for use in (read_table, lambda folder: ResultTable(folder, SCORES, MAKER)):
        with pytest.raises(TableError, match=r"part-00000\.parquet: cannot be read .* Delete it"):
            use(folder)
    (folder / "part-00000.parquet").unlink()
    filled(folder, "a")
    assert read_table(folder)["id"].to_pylist() == ["a"]


def test_rows_of_nobody(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "a")
    (folder / "_meta.json").unlink()
    for overwrite in (False, True):
        with pytest.raises(TableError, match=r"t: has results but no _meta\.json"):
            ResultTable(folder, SCORES, MAKER, overwrite=overwrite)
    assert (folder / "part-00000.parquet").exists()


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text("")
    with pytest.raises(TableError, match="results: is a file, and no result folder"):
        ResultTable(path, SCORES, MAKER)
    with pytest.raises(WriteError, match=r"scores: cannot be written\. A part of the path is a file"):
        ResultTable(path / "scores", SCORES, MAKER)


def test_rows_are_replaced_in_their_places(tmp_path: Path) -> None:
    empty = dict.fromkeys(SCORES.names)
    broken = {**empty, "id": "b", "status": "undecodable", "text": "no"}
    others = [{**empty, "id": i, "score": 1.0, "status": "ok"} for i in "acd"]
    with ResultTable(tmp_path / "t", SCORES, MAKER) as table:
        table.append([others[0], broken])
        table.append(others[1:])
        assert table.ids_with("undecodable") == {"b"}
        mended = {**broken, "score": 2.0, "status": "ok"}
        table.replace([mended])
        assert table.ids_with("undecodable") == set()
    assert read_table(tmp_path / "t").to_pylist() == [others[0], mended, *others[1:]]


def older(folder: Path, *ids: str) -> Path:
    """A result as it was written before rows said what file they were made of."""
    before = pa.schema([field for field in SCORES if field.name not in {*NO_FILE, "note"}])
    with ResultTable(folder, before, MAKER) as table:
        table.append(score_rows(*ids))
    return folder


def test_older_shards_are_read_with_nulls_and_reused_beside_newer_ones(tmp_path: Path) -> None:
    folder = older(tmp_path / "t", "a", "b")
    assert "size" not in pq.read_schema(next(folder.glob("*.parquet"))).names
    with ResultTable(folder, SCORES, MAKER) as table:
        assert table.ids == {"a", "b"}
        assert table.stamps() == {}
        table.append([{**score_rows("c")[0], **FILE}])
        assert table.stamps() == {"c": (FILE["size"], FILE["mtime"], FILE["etag"])}
    found = read_table(folder)
    assert found.schema.equals(SCORES)
    assert [row["transfer"] for row in found.to_pylist()] == [None, None, "smpte2084"]
    with ResultTable(folder, SCORES, MAKER) as table:
        table.replace([{**score_rows("b")[0], **FILE}])
    assert [row["size"] for row in read_table(folder).to_pylist()] == [None, FILE["size"], FILE["size"]]


def test_rows_that_are_done_anew_are_another_state_of_the_result(tmp_path: Path) -> None:
    folder = filled(tmp_path / "t", "a", "b", "c")
    assert made_by(folder) == MAKER
    with ResultTable(folder, SCORES, MAKER) as table:
        table.redo([])
        assert made_by(folder) == MAKER
        table.redo([{**score_rows("b")[0], "score": 2.0}])
        table.redo([{**score_rows("b")[0], "score": 3.0}])
    assert made_by(folder) == {**MAKER, "anew": 2}
    assert [row["score"] for row in read_table(folder).to_pylist()] == [1.0, 3.0, 1.0]
    # It is still the same maker's: more rows can be added.
    filled(folder, "zz")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"missing/study\.yaml: cannot be written\. There is no such folder"):
        write_atomically(tmp_path / "missing" / "study.yaml", b"")


def test_json_has_no_nan_and_no_infinity() -> None:
    value = {"srcc": float("nan"), "rmse": [float("inf"), 0.5], "n": 3}
    assert json.loads(json_text(value)) == {"srcc": None, "rmse": [None, 0.5], "n": 3}


def test_a_column_is_read_by_id_and_not_by_place(tmp_path: Path) -> None:
    rows = [{"id": "bad", "status": "undecodable"}, {"id": "b", "score": 2.0, "status": "ok"}]
    with ResultTable(tmp_path, SCORES, MAKER) as table:
        table.append([*rows, {"id": "a", "score": 1.0, "status": "ok"}])
    found = column(read_table(tmp_path), ["a", "bad", "b", "nobody"], "score")
    assert np.array_equal(found, [1.0, np.nan, 2.0, np.nan], equal_nan=True)

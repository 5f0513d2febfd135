"""The copy of a result in another place: whole, only what is new, and never at the cost of the result."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mdsvqa.runtime.compaction import compact
from mdsvqa.runtime.mirror import EVERY, MirrorError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import DIFFICULTY, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.shards import TableError

MAKER = {"step": "difficulty", "model": "m"}


class Notes(Silent):
    """Hears what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """See `Show`."""
        self.said.append(text)


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """An empty store."""
    MemoryFileSystem.store.clear()
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()


def run_in(folder: Path, url: str, **settings: Any) -> Run:
    return Run(folder, settings.pop("show", Notes()), **settings).mirrored(url)


def fill(run: Run, start: int, shards: int, maker: dict[str, Any] | None = None) -> None:
    with run.open(DIFFICULTY, maker or MAKER) as table:
        for i in range(start, start + shards):
            table.append([{"id": f"{i:04d}", "difficulty": i / 4, "status": "ok"}])
    run.end()


def fetched(store: MemoryFileSystem, place: str, folder: Path) -> Path:
    """What lies in the store, on this machine."""
    for path in store.find(place):
        target = folder / path.removeprefix(f"{place}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.cat_file(path))
    return folder


def test_the_copy_is_the_result_and_goes_on_elsewhere(tmp_path: Path, store: MemoryFileSystem) -> None:
    run = run_in(tmp_path / "here", "memory://bucket/pool")
    fill(run.within("readings"), 0, 3)
    fill(run, 0, 23)
    there = fetched(store, "/bucket/pool", tmp_path / "there")
    for name in ("", "readings"):
        assert read_table(there / name).equals(read_table(tmp_path / "here" / name))
    assert not list(there.rglob("*.lock")) + list(there.rglob("_mirror.json")) + list(there.rglob("*.tmp"))
    # On another machine, which has lost nothing.
    fill(run_in(there, "memory://bucket/pool"), 23, 2)
    again = fetched(store, "/bucket/pool", tmp_path / "again")
    assert read_table(again)["id"].to_pylist() == [f"{i:04d}" for i in range(25)]


def test_every_tenth_shard_and_only_what_is_new(
    tmp_path: Path, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, sent = MemoryFileSystem.put_file, list[str]()

    def counted(self: MemoryFileSystem, here: str, there: str, **more: Any) -> None:
        sent.append(Path(here).name)
        put(self, here, there, **more)

    monkeypatch.setattr(MemoryFileSystem, "put_file", counted)
    run = run_in(tmp_path / "t", "memory://bucket/t")
    with run.open(DIFFICULTY, MAKER) as table:
        assert sent == ["_meta.json"]
        for i in range(EVERY):
            assert len(sent) == 1
            table.append([{"id": f"{i:04d}", "difficulty": 0.5, "status": "ok"}])
        assert sorted(sent[1:]) == sorted(["_seconds", *(f"part-{i:05d}.parquet" for i in range(EVERY))])
    before = len(sent)
    fill(run_in(tmp_path / "t", "memory://bucket/t"), EVERY, 0)
    assert sent[before - 1 :] in ([], sent[before - 1 : before])
    del sent[:]
    with run_in(tmp_path / "t", "memory://bucket/t").open(DIFFICULTY, MAKER) as table:
        table.replace([{"id": "0003", "difficulty": -7.0, "status": "ok"}])
    assert [name for name in sent if name.startswith("part")] == ["part-00003.parquet"]


def test_merged_shards_are_merged_in_the_copy(tmp_path: Path, store: MemoryFileSystem) -> None:
    fill(run_in(tmp_path / "t", "memory://bucket/t"), 0, 12)
    compact(tmp_path / "t")
    fill(run_in(tmp_path / "t", "memory://bucket/t"), 12, 1)
    there = fetched(store, "/bucket/t", tmp_path / "there")
    assert [path.name for path in sorted(there.glob("part-*"))] == ["part-00011.parquet", "part-00012.parquet"]
    assert read_table(there).equals(read_table(tmp_path / "t"))


class Away(MemoryFileSystem):
    """A store that is away from time to time."""

    protocol = "memory"
    fails = False

    def put_file(self, *places: Any, **more: Any) -> None:
        """See fsspec."""
        if type(self).fails:
            raise ConnectionError("503 Slow Down")
        super().put_file(*places, **more)


def test_a_store_that_is_away_costs_no_work(
    tmp_path: Path, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Away, "fails", True)
    show = Notes()
    run = run_in(tmp_path / "t", "memory://bucket/t", show=show)
    assert run.mirror is not None
    run.mirror._store = Away()
    with run.open(DIFFICULTY, MAKER) as table:
        for i in range(3 * EVERY):
            if i == 2 * EVERY:
                monkeypatch.setattr(Away, "fails", False)
            table.append([{"id": f"{i:04d}", "difficulty": 0.5, "status": "ok"}])
        # At the start, at the tenth and the twentieth; then it is back.
        assert show.said == ["/bucket/t: cannot be copied to (503 Slow Down); tried again later"] * 3
        assert len(store.find("/bucket/t")) == 3 * EVERY + 2
    run.end()
    monkeypatch.setattr(Away, "fails", True)
    with run.open(DIFFICULTY, MAKER) as table:
        table.append([{"id": "last"}])
    with pytest.raises(MirrorError, match=r"memory://bucket/t: cannot be copied to \(503 Slow Down\). The result is w"):
        run.end()
    assert read_table(tmp_path / "t")["id"].to_pylist()[-1] == "last"
    monkeypatch.setattr(Away, "fails", False)
    run.end()
    assert len(store.find("/bucket/t")) == 3 * EVERY + 3


def test_another_machine_goes_on_from_the_copy(tmp_path: Path, store: MemoryFileSystem) -> None:
    for machine, start in (("first", 0), ("second", 5), ("third", 10)):
        show = Notes()
        run = run_in(tmp_path / machine, "memory://bucket/t", show=show)
        with run.within("readings").open(DIFFICULTY, MAKER) as table:
            table.append([{"id": machine}])
        fill(run, start, 5)
        fetched_files = [line for line in show.said if "fetched" in line]
        assert len(fetched_files) == (0 if machine == "first" else 2), fetched_files
        assert read_table(run.out)["id"].to_pylist() == [f"{i:04d}" for i in range(start + 5)]
    assert read_table(tmp_path / "third" / "readings")["id"].to_pylist() == ["first", "second", "third"]
    # The first one goes on with what the others have added.
    run = run_in(tmp_path / "first", "memory://bucket/t")
    fill(run, 15, 1)
    assert read_table(run.out)["id"].to_pylist() == [f"{i:04d}" for i in range(16)]


def test_what_was_taken_out_here_does_not_come_back(tmp_path: Path, store: MemoryFileSystem) -> None:
    run = run_in(tmp_path / "t", "memory://bucket/t")
    fill(run, 0, 4)
    (run.out / "part-00001.parquet").unlink()
    fill(run_in(tmp_path / "t", "memory://bucket/t"), 4, 1)
    wanted = ["0000", "0002", "0003", "0004"]
    assert read_table(run.out)["id"].to_pylist() == wanted
    assert read_table(fetched(store, "/bucket/t", tmp_path / "there"))["id"].to_pylist() == wanted


class Interrupted(BaseException):
    """Stands for a kill."""


def test_fetching_that_is_killed_goes_on(
    tmp_path: Path, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(run_in(tmp_path / "old", "memory://bucket/t"), 0, 4)
    read, left = MemoryFileSystem.cat_file, [3]

    def some(self: MemoryFileSystem, *arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        return read(self, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "cat_file", some)
        with pytest.raises(Interrupted):
            fill(run_in(tmp_path / "new", "memory://bucket/t"), 4, 1)
    assert 0 < len(list((tmp_path / "new").glob("part-*"))) < 4
    fill(run_in(tmp_path / "new", "memory://bucket/t"), 4, 1)
    assert read_table(tmp_path / "new")["id"].to_pylist() == [f"{i:04d}" for i in range(5)]


def test_a_store_that_cannot_be_read_before_there_are_rows_ends_the_run(
    tmp_path: Path, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **more: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(MemoryFileSystem, "find", away)
    with pytest.raises(MirrorError, match=r"memory://bucket/t: cannot be read \(Access Denied\), so rows that it may"):
        fill(run_in(tmp_path / "t", "memory://bucket/t"), 0, 1)
    fill(Run(tmp_path / "t"), 0, 1)
    run = run_in(tmp_path / "t", "memory://bucket/t")
    with pytest.raises(MirrorError, match="The result is whole in"):
        fill(run, 1, 1)
    assert read_table(tmp_path / "t").num_rows == 2


def test_a_copy_of_other_settings_goes_only_when_asked(tmp_path: Path, store: MemoryFileSystem) -> None:
    fill(run_in(tmp_path / "old", "memory://bucket/t"), 0, 5)
    other = {**MAKER, "model": "other"}
    fill(Run(tmp_path / "new"), 0, 1, other)
    with pytest.raises(MirrorError, match="a result of other settings lies at /bucket/t"):
        fill(run_in(tmp_path / "new", "memory://bucket/t"), 0, 1, other)
    fill(run_in(tmp_path / "new", "memory://bucket/t", overwrite=True), 1, 1, other)
    there = fetched(store, "/bucket/t", tmp_path / "there")
    assert read_table(there).num_rows == 2
    assert json.loads((there / "_meta.json").read_text())["maker"] == other
    # Where there is nothing here, what the copy cost counts as what it would cost here.
    fill(run_in(tmp_path / "old", "memory://bucket/u"), 5, 1)
    store.pipe_file("/bucket/u/_seconds", b"3000\n")
    with pytest.raises(TableError, match="making it anew would cost the 50 min that it took"):
        fill(run_in(tmp_path / "third", "memory://bucket/u"), 0, 1, other)
    assert len(store.find("/bucket/u")) == 8


def test_a_folder_as_the_place(tmp_path: Path) -> None:
    fill(run_in(tmp_path / "here", str(tmp_path / "there")), 0, 11)
    assert read_table(tmp_path / "there").equals(read_table(tmp_path / "here"))
    assert not list((tmp_path / "there").glob("*.tmp"))
    with pytest.raises(MirrorError, match="is the folder of the result itself"):
        run_in(tmp_path / "here", str(tmp_path / "here"))


def test_a_place_that_there_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="Name a folder or a store such as s3://bucket/prefix"):
        run_in(tmp_path / "t", "nonsense://bucket/t")


def test_an_s3_bucket_as_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("moto")
    from object_store import BUCKET, client, s3_server

    with s3_server(monkeypatch) as store:
        run = run_in(tmp_path / "t", f"s3://{BUCKET}/results/t")
        fill(run.within("readings"), 0, 2)
        fill(run, 0, 12)
        listed = client(store).list_objects_v2(Bucket=BUCKET)["Contents"]
        there = tmp_path / "there"
        for entry in listed:
            target = there / entry["Key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(client(store).get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())
        for name in ("", "readings"):
            assert read_table(there / "results" / "t" / name).equals(read_table(tmp_path / "t" / name))
        compact(tmp_path / "t")
        store.forget()
        fill(run_in(tmp_path / "t", f"s3://{BUCKET}/results/t"), 12, 1)
        listed = client(store).list_objects_v2(Bucket=BUCKET, Prefix="results/t/part-")["Contents"]
        assert [entry["Key"] for entry in listed] == [f"results/t/part-{i:05d}.parquet" for i in (11, 12)]
        # What has not changed is not sent again.
        assert store.seen["PUT"] <= 4
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    run = run_in(tmp_path / "t", f"s3://{BUCKET}/results/t")
    with run.open(DIFFICULTY, MAKER) as table:
        table.append([{"id": "later"}])
    with pytest.raises(MirrorError, match="The result is whole in"):
        run.end()
    assert read_table(tmp_path / "t").num_rows == 14

"""Crash-safe results. The only code that writes a result to disk.

A result is a folder of Parquet shards plus `_meta.json`, which says what made it. A shard is written to a temporary
file, flushed and renamed, so a kill at any moment leaves whole shards only; whoever opens the folder again skips the
ids that are there. Whatever else lies in the folder begins with an underscore or a dot, so that pandas and Spark read
the folder as it is; a CSV of the rows lies beside it.
"""

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Self

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from numpy.typing import NDArray

import mdsvqa
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.atomic import cannot_write
from mdsvqa.runtime.csv_beside import is_flat, write_csv_beside
from mdsvqa.runtime.known_rows import FileStamp, KnownRows
from mdsvqa.runtime.makers import differences, lasting
from mdsvqa.runtime.mirror import EVERY, Mirror
from mdsvqa.runtime.parts import Part
from mdsvqa.runtime.shards import (
    EARLIER_META,
    FIRST,
    META,
    MOST,
    MOST_BYTES,
    TableError,
    has_shards,
    joined,
    read_shard,
    rows_table,
    settle,
    shards_of,
    write_meta,
)

Maker = Mapping[str, Any]
# Values that are made a text of at a time.
FINGERPRINT = 1 << 16
# How long the rows took, a line for each writing, in seconds.
SECONDS = "_seconds"
# Results that took less are made anew without a question when what makes them has changed.
QUICK = 60.0
# Seconds of work that may wait to be written.
WAITING = 60.0

# Of the file that a row was made of (`videos.about`): bytes, time of its last change in ns since 1970, what its
# pictures are; of an object in a store its etag in place of a time. Null in rows of no file, and in those that are
# older than these columns.
ABOUT = (
    ("size", pa.int64()),
    ("mtime", pa.int64()),
    ("transfer", pa.string()),
    ("primaries", pa.string()),
    ("range", pa.string()),
    ("sar", pa.string()),
    ("interlaced", pa.bool_()),
    ("rotation", pa.int64()),
    ("etag", pa.string()),
)
SCORES = pa.schema(
    [
        ("id", pa.string()),
        ("score", pa.float64()),
        ("status", pa.string()),
        ("text", pa.string()),
        ("spread", pa.float64()),
        ("expected", pa.float64()),
        *ABOUT,
        ("note", pa.string()),
    ]
)
FEATURES = pa.schema(
    [
        ("id", pa.string()),
        ("features", pa.list_(pa.float32())),
        ("status", pa.string()),
        ("text", pa.string()),
        *ABOUT,
        ("note", pa.string()),
    ]
)
DIFFICULTY = pa.schema([("id", pa.string()), ("difficulty", pa.float64()), ("status", pa.string())])
SELECTION = pa.schema(
    [
        ("rank", pa.int64()),
        ("id", pa.string()),
        ("difficulty", pa.float64()),
        ("diversity", pa.float64()),
        ("utility", pa.float64()),
        ("rule", pa.string()),
    ]
)
TRIALS = pa.schema(
    [
        ("id", pa.string()),
        ("rule", pa.string()),
        ("seed", pa.int64()),
        ("selected", pa.list_(pa.string())),
        ("target_scores", pa.list_(pa.float64())),
        ("source_scores", pa.list_(pa.float64())),
    ]
)
REPEATS = pa.schema(
    [
        ("id", pa.string()),
        ("job", pa.string()),
        ("target", pa.string()),
        ("repeat", pa.int64()),
        ("contender", pa.string()),
        ("budget", pa.int64()),
        ("target_srcc", pa.float64()),
        ("source_srcc", pa.float64()),
    ]
)


def content_schema(dims: int) -> pa.Schema:
    """The schema of a content table: unit-norm frame features of `dims` numbers each."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("frames", pa.list_(pa.list_(pa.float16(), dims))),
            ("status", pa.string()),
            ("text", pa.string()),
            *ABOUT,
            ("note", pa.string()),
        ]
    )


def fingerprint(value: Any) -> str:
    """Twelve hexadecimal digits that name a JSON-able value.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def fingerprint_of(ids: Sequence[str], numbers: Floats) -> str:
    """The fingerprint of ids and as many numbers, part by part: of 10^7 of them the JSON text would take gigabytes.

    >>> fingerprint_of(["a", "b"], np.array([1.0, 0.5])) == fingerprint([["a", "b"], [1.0, 0.5]])
    True
    """
    digest = hashlib.sha256(b"[")
    for values, end in ((ids, b", "), (numbers, b"]")):
        digest.update(b"[")
        for first in range(0, len(values), FINGERPRINT):
            part = values[first : first + FINGERPRINT]
            digest.update(b", " if first else b"")
            digest.update(json.dumps(part.tolist() if isinstance(part, np.ndarray) else list(part))[1:-1].encode())
        digest.update(b"]" + end)
    return digest.hexdigest()[:12]


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON of a value, with null where a number is undefined or infinite: NaN is no JSON.

    >>> json_text({"srcc": float("nan"), "n": (3, 4)})
    '{"srcc": null, "n": [3, 4]}'
    """
    return json.dumps(_finite(value), allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ResultTable:
    """A result folder, open for adding rows.

    Args:
        folder: made when it is not there.
        schema: of the rows; its "id" column is the key, where it has one.
        maker: what makes these rows (model, revision, settings), JSON-able. Two results are of one kind when their
            makers are equal.
        overwrite: drop the rows of another maker instead of raising.
        say: told in one sentence when rows of another maker are dropped because they took less than `QUICK`; without
            it they never are.
        costs: what people would lose with the rows, such as "6 labels"; such rows go only by `overwrite`.
        files: names of what the maker writes into the folder beside rows.
        mirror: where it is copied to after every tenth shard and at the end, and fetched from at the start where it has
            rows that are not here.
        part: of the pool whose rows these are.

    Raises:
        TableError: something else made the folder, it cannot be made, or another process is writing to it.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        maker: Maker,
        *,
        overwrite: bool = False,
        say: Callable[[str], None] | None = None,
        costs: str = "",
        files: Sequence[str] = (),
        mirror: Mirror | None = None,
        part: Part | None = None,
    ) -> None:
        self.folder = folder
        self._part = part
        self._mirror = mirror
        self.schema = schema
        self._files = files
        self._lock = _lock(folder)
        try:
            if mirror is not None:
                mirror.fetch(folder)
            self._open(json.loads(json.dumps(maker, default=str)), overwrite, say, costs)
            if mirror is not None:
                mirror.copy(folder, first=True)
        except BaseException:
            self._lock.release()
            raise
        self._waiting: list[Mapping[str, Any]] = []
        self._since = self._last = monotonic()
        self._most, self._written = FIRST, 0

    def _open(self, wanted: Maker, overwrite: bool, say: Callable[[str], None] | None, costs: str) -> None:
        # Only what this class writes: the folder may be one that a person named by mistake.
        for leftover in [*self.folder.glob("part-*.parquet.tmp"), *self.folder.glob("*meta.json.tmp")]:
            leftover.unlink()
        settle(self.folder)
        meta, earlier = self.folder / META, self.folder / EARLIER_META
        if earlier.exists() and not meta.exists():
            read_meta(self.folder)
            earlier.rename(meta)
        if meta.exists():
            found = read_meta(self.folder)["maker"]
            if found != wanted:
                if not overwrite and self._made():
                    _check_quick(self.folder, found, wanted, say, costs)
                self._remove()
        elif has_shards(self.folder):
            raise TableError(
                f"{self.folder}: has results but no {META}, so what made them is unknown. Use another folder."
            )
        if not meta.exists():
            record = {"maker": wanted, "versions": {"mdsvqa": mdsvqa.__version__}}
            write_meta(self.folder, record if self._part is None else {**record, "part": self._part.record()})
        else:
            self._check_part(read_meta(self.folder))
        self._rows = KnownRows(self.folder, keyed="id" in self.schema.names)
        self.ids = self._rows.ids()

    def _check_part(self, meta: Mapping[str, Any]) -> None:
        found, wanted = meta.get("part"), None if self._part is None else self._part.record()
        names = [f"part {part['number']}/{part['of']}" if part else "a whole pool" for part in (found, wanted)]
        if names[0] != names[1]:
            raise TableError(f"{self.folder}: is of {names[0]}, and this is {names[1]}. Name another folder.")
        if found != wanted:
            # The pool has grown.
            write_meta(self.folder, {**meta, "part": wanted})

    def _made(self) -> bool:
        """Whether anything lies here that took work: a step that crashed before its first row leaves nothing."""
        return has_shards(self.folder) or any((self.folder / name).exists() for name in self._files)

    def _remove(self) -> None:
        # The maker goes last: a folder with rows and no maker would be refused.
        for path in [*shards_of(self.folder), *(self.folder / name for name in (*self._files, SECONDS, META))]:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None or issubclass(kind, (Exception, KeyboardInterrupt)):
                self._flush()
            if kind is None and is_flat(self.schema) and self._rows:
                write_csv_beside(self.folder, shards_of(self.folder))
            if self._mirror is not None and (kind is None or issubclass(kind, Exception)):
                self._mirror.copy(self.folder)
        finally:
            self._lock.release()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes rows as one shard. Either all of them are on disk afterwards, or none.

        Raises:
            TableError: an id is there already, or twice in `rows`.
        """
        self._flush()
        self._check(rows)
        self._write(rows)

    def collect(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends rows, several calls' as one shard: the first shard has 32 or few more, a later one as many as take a
        minute, up to 4,096. A kill loses what waits; the end of the block, an error and an interrupt do not.

        Raises:
            TableError: as `append`.
        """
        if not rows:
            return
        self._check(rows)
        self._waiting += rows
        now = monotonic()
        next_one, self._last = now - self._last, now
        if len(self._waiting) >= self._most or now - self._since + next_one > WAITING:
            self._flush()

    def _check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if "id" not in self.schema.names:
            return
        new = [row["id"] for row in rows]
        repeated = sorted({i for i, times in Counter(new).items() if times > 1 or i in self.ids})
        if repeated:
            where = "in the table already" if repeated[0] in self.ids else "twice among the new rows"
            raise TableError(f"{self.folder}: id {repeated[0]!r} is {where}.")
        self.ids.update(new)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._write(waiting)

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        table = rows_table(rows, self.schema)
        with (self.folder / SECONDS).open("a") as file:
            file.write(f"{monotonic() - self._since:.3f}\n")
        self._rows.add(table)
        self._most = max(FIRST, min(MOST, MOST_BYTES * len(rows) // max(table.nbytes, 1)))
        self._written += 1
        if self._mirror is not None and self._written % EVERY == 0:
            self._mirror.copy(self.folder)
        self._since = self._last = monotonic()

    def ids_with(self, status: str) -> set[str]:
        """The ids of the rows that have this status."""
        self._flush()
        return self._rows.with_status(status)

    def stamps(self) -> dict[str, FileStamp]:
        """Of the file that each row was made of size, time of change, and a store's etag, where these are known."""
        self._flush()
        return self._rows.stamps()

    def redo(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces rows that were made of files that have changed; what was made of this table is out of date then."""
        if not rows:
            return
        meta = read_meta(self.folder)
        # First: a kill may then leave a mark without a change, and never a change without its mark.
        meta["anew"] = meta.get("anew", 0) + len(rows)
        write_meta(self.folder, meta)
        self.replace(rows)

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Puts rows in the places of those with the same ids; shards that have none of them are not touched."""
        self._flush()
        if not rows:
            return
        self._rows.replace(rows_table(list({row["id"]: row for row in rows}.values()), self.schema))


def _lock(folder: Path) -> FileLock:
    """The lock of a result folder, taken; the folder is made where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise TableError(
            f"{folder}: another process is writing to this result. Wait for it, or use another folder."
        ) from None
    except FileExistsError:
        raise TableError(f"{folder}: is a file, and no result folder. Name a folder.") from None
    except OSError as error:
        raise cannot_write(folder, error) from None
    return lock


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps others from writing to a result folder as long as the block runs.

    Raises:
        TableError: another process is writing to it.
    """
    lock = _lock(folder)
    try:
        yield
    finally:
        lock.release()


def _check_quick(folder: Path, found: Maker, wanted: Maker, say: Callable[[str], None] | None, costs: str) -> None:
    """Says that rows of another maker go, or raises where that is to be asked for first."""
    step = wanted.get("step", "step")
    if found.get("step") != wanted.get("step"):
        raise TableError(
            f"{folder}: holds the result of another step ({found.get('step', 'unknown')}, and this is {step}). Name "
            "another folder, or replace it by --overwrite."
        )
    changed, took = differences(found, wanted), _seconds(folder)
    if say is not None and not costs and took is not None and took < QUICK:
        say(f"{folder}: made anew, {changed} (it took {lasting(took)})")
        return
    price = [costs] if costs else []
    price += [] if took is None else [f"the {lasting(took)} that it took"]
    lost = f"would cost {' and '.join(price)}" if price else "loses what is there"
    raise TableError(
        f"{folder}: was made with other settings ({changed}); making it anew {lost}. Say --overwrite to do so, put the "
        "setting back, or name another folder."
    )


def _seconds(folder: Path) -> float | None:
    """How long the rows of a folder took; None where earlier versions did not write it down."""
    try:
        return sum(map(float, (folder / SECONDS).read_text().split()))
    except (OSError, ValueError):
        return None


def companion(folder: Path, name: str) -> Path:
    """A file or folder within a result folder that is no shard: `_name`, or `name` where an earlier version made it."""
    earlier, now = folder / name, folder / f"_{name}"
    return earlier if earlier.exists() and not now.exists() else now


def is_table(folder: Path) -> bool:
    """Whether a folder holds a result with at least one shard."""
    return companion(folder, EARLIER_META).is_file() and has_shards(folder)


def read_meta(folder: Path) -> dict[str, Any]:
    """What made a result folder.

    Raises:
        TableError: there is no readable `_meta.json`.
    """
    path = companion(folder, EARLIER_META)
    if not folder.exists():
        raise TableError(f"{folder}: there is no such result folder. Run the step that makes it, or correct the path.")
    if folder.is_dir() and not path.exists():
        raise TableError(f"{folder}: is no result folder, it has no {META}. Name one that a step of mdsvqa wrote.")
    try:
        meta: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TableError(
            f"{folder}: not a result folder, its {path.name} cannot be read ({error}). Name another, or delete it."
        ) from None
    if not isinstance(meta, dict) or not isinstance(meta.get("maker"), dict):
        raise TableError(
            f"{folder}: not a result folder, its {path.name} does not say what made it. Name another folder."
        )
    return meta


def read_table(folder: Path) -> pa.Table:
    """All rows of a result folder, in the order in which they were written.

    Raises:
        TableError: it is not a result folder, it has no rows yet, or a shard is damaged.
    """
    read_meta(folder)
    shards = shards_of(folder)
    if not shards:
        raise TableError(f"{folder}: has no rows yet; run the step that makes it first.")
    return joined([read_shard(shard) for shard in shards])


def made_by(folder: Path) -> dict[str, Any]:
    """What made a result, for the records of what is made of it in turn: its maker, and which state of its rows.

    Raises:
        TableError: as `read_meta`.
    """
    meta = read_meta(folder)
    maker: dict[str, Any] = meta["maker"]
    return {**maker, "anew": meta["anew"]} if meta.get("anew") else maker


def read_parts(folder: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of a result folder, shard by shard: for results larger than memory.

    Raises:
        TableError: as `read_table`.
    """
    read_meta(folder)
    for shard in shards_of(folder):
        yield read_shard(shard, columns)


def computed(table: ResultTable, rows: Callable[[], Sequence[Mapping[str, Any]]]) -> tuple[pa.Table, bool]:
    """A result that is written at once: read where its maker wrote it before, else computed and written.

    Args:
        table: open.
        rows: computes them, at least one; not called when they are there.

    Returns:
        The table, and whether it was there.
    """
    with table:
        reused = has_shards(table.folder)
        if not reused:
            table.append(rows())
    return read_table(table.folder), reused


@contextmanager
def claimed(
    folder: Path, maker: Maker, files: Sequence[str], *, overwrite: bool = False, where: bool = True
) -> Iterator[None]:
    """A result folder of other files than a table's, locked as long as the block runs.

    Args:
        folder, maker: as `ResultTable`.
        files: names of those that this maker writes; where another maker wrote them and `overwrite` is set they go.
        where: False in a process that writes nothing.

    Raises:
        TableError: as `ResultTable`.
    """
    if not where:
        yield
        return
    with ResultTable(folder, pa.schema([]), maker, overwrite=overwrite, files=files):
        yield


def column(table: pa.Table, ids: Sequence[str], name: str) -> Floats:
    """A column of numbers, for some videos in their order.

    Args:
        table: with an id column; its rows may stand in any order, and be of other videos too.
        ids: of the videos wanted.
        name: of the column.

    Returns:
        Shape (len(ids),), NaN where there is no row or no number.
    """
    values = dict(zip(table["id"].to_pylist(), table[name].to_pylist(), strict=True))
    return np.array([values.get(video) for video in ids], np.float64)


def matrix(table: pa.Table, column: str) -> Floats:
    """A column of equally long lists as a float64 array, shape (rows, length)."""
    flat = table[column].combine_chunks().flatten()
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float64).reshape(table.num_rows, -1)


def frame_matrices(table: pa.Table) -> list[NDArray[np.float32]]:
    """The frames of a content table as one float32 array (T, dims) a row."""
    column = table["frames"].combine_chunks()
    dims = column.type.value_type.list_size
    flat = np.asarray(column.values.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(-1, dims)
    offsets = column.offsets.to_numpy()
    return [flat[start:stop] for start, stop in itertools.pairwise(offsets)]

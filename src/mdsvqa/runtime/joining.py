"""Results of the parts of a pool as one result."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import mdsvqa
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.csv_beside import is_flat, write_csv_beside
from mdsvqa.runtime.makers import differences
from mdsvqa.runtime.results import SECONDS, read_meta
from mdsvqa.runtime.shards import (
    META,
    MOST,
    MOST_BYTES,
    TableError,
    joined,
    read_shard,
    shard_named,
    shards_of,
    write_meta,
    write_shard,
)

# Rows that are brought into order together, at the most.
_TOGETHER = 1 << 20
# Files of a result that are the same in every part.
_SAME = ("*.safetensors", "_predictor.json")


@dataclass(frozen=True)
class _Source:
    """The rows of all parts.

    Attributes:
        shards: of all parts, in the order of the parts.
        ids: of all rows.
        ends: how many rows there are up to the end of each shard.
    """

    shards: list[Path]
    ids: pa.ChunkedArray
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> "_Source":
        shards = [shard for folder in folders for shard in shards_of(folder)]
        ids = [read_shard(shard, ["id"])["id"] for shard in shards]
        chunks = [chunk for column in ids for chunk in column.chunks]
        return cls(shards, pa.chunked_array(chunks, pa.string()), np.cumsum([len(column) for column in ids]))

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """Some rows, by their places among all."""
        of = np.searchsorted(self.ends, rows, side="right")
        found, places = [], []
        for shard in np.unique(of):
            here = np.flatnonzero(of == shard)
            start = 0 if shard == 0 else self.ends[shard - 1]
            found.append(read_shard(self.shards[shard]).take(rows[here] - start))
            places.append(here)
        return joined(found).take(np.argsort(np.concatenate(places)))


def parts_within(folders: Sequence[Path]) -> list[Path]:
    """Result folders, and in place of a folder of parts these."""
    found: list[Path] = []
    for folder in folders:
        parts = sorted(each.parent for each in folder.glob(f"part-*-of-*/{META}"))
        found += parts if parts and not (folder / META).exists() else [folder]
    return found


def join(folders: Sequence[Path], out: Path, order: Sequence[str] | None = None, *, overwrite: bool = False) -> int:
    """Writes the results of parts as one, with the results that lie within them (`_features`, `readings`).

    Args:
        folders: of the parts, made by equal makers.
        out: folder of the whole, new; it is there when it is whole.
        order: ids of all videos, in the order in which rows are to stand; in that of the parts without.
        overwrite: replace a result that lies at `out`.

    Returns:
        The number of rows.

    Raises:
        TableError: makers differ, an id is there twice, a part or a video is missing, or there is something at `out`.
    """
    if overwrite and (out / META).exists():
        read_meta(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TableError(f"{out}: is there already. Name a new folder, or replace a result by --overwrite.")
    metas = [read_meta(folder) for folder in folders]
    _check_makers(folders, metas)
    _check_parts(folders, metas)
    unfinished = out.resolve().with_name(f".{out.resolve().name}.joining")
    shutil.rmtree(unfinished, ignore_errors=True)
    rows = _join(folders, unfinished, order, within=False)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
    for folder in (out, *(out / name for name in _within([out]))):
        shards = shards_of(folder)
        if shards and is_flat(read_shard(shards[0]).schema):
            write_csv_beside(folder, shards)
    return rows


def _join(folders: Sequence[Path], out: Path, order: Sequence[str] | None, *, within: bool) -> int:
    source = _Source.of(folders)
    rows = _rows(folders, source, order, within=within)
    out.mkdir(parents=True)
    size = _width(source)
    for number, start in enumerate(range(0, len(rows), MOST)):
        if start % size == 0:
            table = source.take(rows[start : start + size])
        write_shard(shard_named(out, number), table.slice(start % size, MOST))
    for name in _within(folders):
        _join([folder / name for folder in folders if (folder / name / META).exists()], out / name, order, within=True)
    for pattern in _SAME:
        for file in folders[0].glob(pattern):
            shutil.copyfile(file, out / file.name)
    seconds = [(folder / SECONDS).read_text() for folder in folders if (folder / SECONDS).exists()]
    write_atomically(out / SECONDS, "".join(seconds).encode())
    metas = [read_meta(folder) for folder in folders]
    anew = sum(meta.get("anew", 0) for meta in metas)
    record = {
        "maker": metas[0]["maker"],
        "versions": {"mdsvqa": mdsvqa.__version__},
        **({"anew": anew} if anew else {}),
    }
    write_meta(out, record)
    return len(rows)


def _width(source: _Source) -> int:
    """Rows that fit into memory together: whole shards."""
    if not source.shards:
        return MOST
    first = read_shard(source.shards[0])
    return max(MOST, min(_TOGETHER, MOST_BYTES * first.num_rows // max(first.nbytes, 1)) // MOST * MOST)


def _rows(folders: Sequence[Path], source: _Source, order: Sequence[str] | None, *, within: bool) -> NDArray[np.int64]:
    """Places of the rows in the order of the whole; of results within the parts each id's first."""
    every = np.arange(len(source.ids))
    if order is None:
        codes = pc.index_in(source.ids, value_set=source.ids.unique()).to_numpy()
    else:
        codes = pc.fill_null(pc.index_in(source.ids, value_set=pa.array(order, pa.string())), -1).to_numpy()
        every = every[codes >= 0]
        if len(every) < len(codes) and not within:
            extra = source.ids[int(np.flatnonzero(codes < 0)[0])].as_py()
            raise TableError(f"{_place(folders, source, extra)}: id {extra!r} is not in the order that was named.")
    known, first, times = np.unique(codes[every], return_index=True, return_counts=True)
    if len(known) < len(every) and not within:
        twice = source.ids[int(every[first[times > 1][0]])].as_py()
        raise TableError(f"id {twice!r} is in several of the folders, in {_place(folders, source, twice)} first.")
    if order is not None and len(known) < len(order) and not within:
        lacking = order[int(np.setdiff1d(np.arange(len(order)), known)[0])]
        raise TableError(
            f"{len(order) - len(known)} of the {len(order)} videos have no row in any folder, {lacking!r} the first. "
            "Run their parts to the end."
        )
    # `known` is sorted by the order that was named; without one the first rows stand where they are.
    found: NDArray[np.int64] = every[first] if order is not None else np.sort(every[first])
    return found


def _place(folders: Sequence[Path], source: _Source, video: str) -> Path:
    row = pc.index(source.ids, video).as_py()
    shard = source.shards[int(np.searchsorted(source.ends, row, side="right"))]
    return next(folder for folder in folders if folder == shard.parent)


def _within(folders: Sequence[Path]) -> list[str]:
    return sorted({meta.parent.name for folder in folders for meta in folder.glob(f"*/{META}")})


def _check_makers(folders: Sequence[Path], metas: Sequence[dict[str, Any]]) -> None:
    for folder, meta in zip(folders, metas, strict=True):
        if meta["maker"] != metas[0]["maker"]:
            differ = differences(metas[0]["maker"], meta["maker"]).replace(" there", "").replace(" now", "")
            raise TableError(
                f"{folder}: was made by other settings than {folders[0]} ({differ}). Join results of equal ones only; "
                "where each part trained the statistical model itself, train it once and name it by --model FILE."
            )


def _check_parts(folders: Sequence[Path], metas: Sequence[dict[str, Any]]) -> None:
    parts = {folder: meta["part"] for folder, meta in zip(folders, metas, strict=True) if "part" in meta}
    numbers = {part["of"] for part in parts.values()}
    if len(numbers) > 1:
        raise TableError(f"the folders are parts of {' and of '.join(map(str, sorted(numbers)))}; join those of one.")
    for of in numbers:
        lacking = sorted(set(range(1, of + 1)) - {part["number"] for part in parts.values()})
        if lacking:
            listed = ", ".join(map(str, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            raise TableError(
                f"of {of} parts {len(lacking)} {'are' if len(lacking) > 1 else 'is'} missing: {listed}. Run them, and "
                "name their folders too."
            )
    for folder, part in parts.items():
        rows = sum(read_shard(shard, ["id"]).num_rows for shard in shards_of(folder))
        if rows < part["videos"]:
            raise TableError(
                f"{folder}: has {rows} of the {part['videos']} rows of part {part['number']}/{part['of']}. Run it to "
                "the end first."
            )

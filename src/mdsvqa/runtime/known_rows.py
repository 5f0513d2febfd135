"""What an open result knows of its rows without their values: ids, statuses, files, and which shard each is in."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mdsvqa.runtime.shards import number_of, read_shard, replaced_rows, shard_named, shards_of, write_shard

FileStamp = tuple[int | None, int | None, str | None]
_STAMP = ("size", "mtime", "etag")
_KNOWN = ("id", "status", *_STAMP)


class KnownRows:
    """The rows of a folder, each shard read once.

    Args:
        folder: of the shards.
        keyed: whether rows have ids.

    Raises:
        TableError: a shard is damaged.
    """

    def __init__(self, folder: Path, *, keyed: bool) -> None:
        self._folder = folder
        self._shards = shards_of(folder)
        self._known = [read_shard(shard, _KNOWN) for shard in self._shards] if keyed else []

    def __bool__(self) -> bool:
        return bool(self._shards)

    def ids(self) -> set[str]:
        """Of all rows."""
        return {video for known in self._known for video in known["id"].to_pylist()}

    def add(self, table: pa.Table) -> None:
        """Writes rows as the next shard: behind the last one that was ever seen, also where a person deleted that."""
        number = number_of(self._shards[-1]) + 1 if self._shards else 0
        if shard_named(self._folder, number).exists():
            # A person put it there.
            number = number_of(shards_of(self._folder)[-1]) + 1
        shard = shard_named(self._folder, number)
        write_shard(shard, table)
        self._shards.append(shard)
        self._known.append(_known_of(table))

    def with_status(self, status: str) -> set[str]:
        """The ids of the rows that have this status."""
        found = [known.filter(pc.equal(known["status"], status))["id"].to_pylist() for known in self._known]
        return {video for ids in found for video in ids}

    def stamps(self) -> dict[str, FileStamp]:
        """Size, time of change and etag of the file of each row, where the second or the third is known."""
        found: dict[str, FileStamp] = {}
        for part in self._known:
            none = [None] * len(part)
            stamps = (part[name].to_pylist() if name in part.column_names else none for name in _STAMP)
            rows = zip(part["id"].to_pylist(), zip(*stamps, strict=True), strict=True)
            found |= {video: stamp for video, stamp in rows if stamp[1] is not None or stamp[2] is not None}
        return found

    def replace(self, new: pa.Table) -> None:
        """Puts rows in the places of those with the same ids; shards that have none of them are not touched."""
        ids = pa.chunked_array([chunk for known in self._known for chunk in known["id"].chunks], pa.string())
        found = np.flatnonzero(pc.is_in(ids, value_set=new["id"].combine_chunks()).to_numpy())
        ends = np.cumsum([len(known) for known in self._known])
        for place in np.unique(np.searchsorted(ends, found, side="right")):
            table = replaced_rows(read_shard(self._shards[place]), new)
            write_shard(self._shards[place], table)
            self._known[place] = _known_of(table)


def _known_of(table: pa.Table) -> pa.Table:
    return table.select([name for name in _KNOWN if name in table.column_names])

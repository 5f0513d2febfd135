"""Does something to every video of a table that is not in it yet, shard by shard."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import ResultTable
from mdsvqa.videos.decoding import map_in_workers
from mdsvqa.videos.manifest import Video

# Rows a shard: what a kill can lose.
SHARD = 32

Row = Mapping[str, Any]
RowOf = Callable[[Video], Row]
Finish = Callable[[Sequence[Row]], Sequence[Row]]


def sweep(
    table: ResultTable,
    videos: Sequence[Video],
    row_of: RowOf,
    workers: int,
    label: str,
    show: Show,
    *,
    finish: Finish | None = None,
    shard: int = SHARD,
) -> None:
    """Appends a row for each video that has none; tries those again that could not be decoded or failed.

    Args:
        table: open for adding rows.
        videos: which rows there should be; written in this order.
        row_of: picklable; makes the row of one video, in a worker process.
        workers: processes; 0 or 1 for none beside this one.
        label: of the progress.
        finish: makes the rows of a shard out of what `row_of` gave, in this process, while the workers make the next.
        shard: rows that are written at once.
    """
    ahead = shard if finish else 0
    finish = finish or list
    _retry(table, videos, row_of, finish, workers, shard, label, show)
    missing = [video for video in videos if video.id not in table.ids]
    if not missing:
        show.note(f"{label}: all {len(videos)} reused from {table.folder}")
        return
    if len(missing) < len(videos):
        show.note(f"{label}: {len(videos) - len(missing)} of {len(videos)} reused from {table.folder}")
    rows: list[Row] = []
    show.progress(label, 0, len(missing))
    for done, row in enumerate(map_in_workers(row_of, missing, workers, crashed=_crashed, ahead=ahead), 1):
        rows.append(row)
        if len(rows) == shard or done == len(missing):
            table.append(finish(rows))
            rows = []
        show.progress(label, done, len(missing))


def _retry(
    table: ResultTable,
    videos: Sequence[Video],
    row_of: RowOf,
    finish: Finish,
    workers: int,
    shard: int,
    label: str,
    show: Show,
) -> None:
    # A path may have been corrected since, a file mended. Rows keep their places: a rerun ends in the same tables.
    without = table.ids_with("undecodable") | table.ids_with("failed")
    again = [video for video in videos if video.id in without]
    if not again:
        return
    trying = f"{label}, tried again"
    show.progress(trying, 0, len(again))
    made = map_in_workers(row_of, again, workers, crashed=_crashed)
    mended = seen = 0
    while window := list(islice(made, shard)):
        seen += len(window)
        rows = [row for row in finish(window) if row["status"] == "ok"]
        table.replace(rows)
        mended += len(rows)
        show.progress(trying, seen, len(again))
    if mended:
        show.note(f"{label}: {mended} of {len(again)} that could not be decoded before")


def _crashed(video: Video) -> Row:
    return {"id": video.id, "status": "undecodable", "text": "the decoder crashed on it"}

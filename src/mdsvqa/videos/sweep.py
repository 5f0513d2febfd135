"""Does something to every video of a table that is not in it yet."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import ResultTable
from mdsvqa.videos.about import NAMES
from mdsvqa.videos.changes import changed_files, said_of_changed
from mdsvqa.videos.decoding import map_in_workers
from mdsvqa.videos.manifest import Video

# Rows that are finished together.
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
    """Appends a row for each video that has none; tries those again that could not be decoded or failed, and makes
    those anew whose files have changed.

    Args:
        table: open for adding rows.
        videos: which rows there should be; written in this order.
        row_of: picklable; makes the row of one video, in a worker process.
        workers: processes; 0 or 1 for none beside this one.
        label: of the progress.
        finish: makes the rows of a window out of what `row_of` gave, in this process, while the workers make the next;
            what they say of their files stays.
        shard: rows of a window.
    """
    ahead, window = (shard, shard) if finish else (0, 1)
    finish = partial(_finished, finish=finish or list)
    anew = _again(table, videos, row_of, finish, workers, shard, label, show)
    missing = [video for video in videos if video.id not in table.ids]
    reused = len(videos) - len(missing) - anew
    if reused:
        some = f"{reused} of" if reused < len(videos) else "all"
        show.note(f"{label}: {some} {len(videos)} reused from {table.folder}")
    if not missing:
        return
    rows: list[Row] = []
    show.progress(label, 0, len(missing))
    for done, row in enumerate(map_in_workers(row_of, missing, workers, crashed=_crashed, ahead=ahead), 1):
        rows.append(row)
        if len(rows) == window or done == len(missing):
            table.collect(finish(rows))
            rows = []
        show.progress(label, done, len(missing))


def _again(
    table: ResultTable,
    videos: Sequence[Video],
    row_of: RowOf,
    finish: Finish,
    workers: int,
    shard: int,
    label: str,
    show: Show,
) -> int:
    """How many rows are new."""
    # A path may have been corrected since, a file mended. Rows keep their places: a rerun ends in the same tables.
    without = table.ids_with("undecodable") | table.ids_with("failed")
    changed = changed_files(table, videos) - without
    if changed:
        show.note(said_of_changed(label, changed, len(videos)))
    again = [video for video in videos if video.id in without or video.id in changed]
    if not again:
        return 0
    trying = f"{label}, made again"
    show.progress(trying, 0, len(again))
    made = map_in_workers(row_of, again, workers, crashed=_crashed)
    mended = seen = 0
    while window := list(islice(made, shard)):
        rows = finish(window)
        seen += len(window)
        table.redo([row for row in rows if row["id"] in changed])
        table.replace(back := [row for row in rows if row["id"] in without and row["status"] == "ok"])
        mended += len(back)
        show.progress(trying, seen, len(again))
    if mended:
        show.note(f"{label}: {mended} of {len(without)} that could not be decoded before")
    return len(changed) + mended


def _finished(prepared: Sequence[Row], finish: Finish) -> Sequence[Row]:
    rows = zip(prepared, finish(prepared), strict=True)
    return [{**{name: given[name] for name in NAMES if name in given}, **row} for given, row in rows]


def _crashed(video: Video) -> Row:
    return {"id": video.id, "status": "undecodable", "text": "the decoder crashed on it"}

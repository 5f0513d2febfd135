"""Does something to every video of a table that is not in it yet, shard by shard."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mdsvqa.progress import Show
from mdsvqa.tables import ResultTable
from mdsvqa.videos.decoding import map_ahead
from mdsvqa.videos.manifest import Video

# Rows a shard: what a kill can lose.
SHARD = 32

RowOf = Callable[[Video], Mapping[str, Any]]


def sweep(table: ResultTable, videos: Sequence[Video], row_of: RowOf, workers: int, label: str, show: Show) -> None:
    """Appends a row for each video that has none; tries those again that could not be decoded.

    Args:
        table: open for adding rows.
        videos: which rows there should be; written in this order.
        row_of: picklable; makes the row of one video, in a worker process.
        workers: processes; 0 or 1 for none beside this one.
        label: of the progress.
    """
    _retry(table, videos, row_of, workers, label, show)
    missing = [video for video in videos if video.id not in table.ids]
    if not missing:
        show.note(f"{label}: all {len(videos)} reused from {table.folder}")
        return
    if len(missing) < len(videos):
        show.note(f"{label}: {len(videos) - len(missing)} of {len(videos)} reused from {table.folder}")
    rows: list[Mapping[str, Any]] = []
    for done, row in enumerate(map_ahead(row_of, missing, workers, crashed=_crashed), 1):
        rows.append(row)
        if len(rows) == SHARD or done == len(missing):
            table.append(rows)
            rows = []
        show.progress(label, done, len(missing))


def _retry(table: ResultTable, videos: Sequence[Video], row_of: RowOf, workers: int, label: str, show: Show) -> None:
    # A path may have been corrected since, a file mended. Rows keep their places: a rerun ends in the same tables.
    undecodable = table.ids_with("undecodable")
    again = [video for video in videos if video.id in undecodable]
    rows = [row for row in map_ahead(row_of, again, workers, crashed=_crashed) if row["status"] == "ok"]
    if rows:
        table.replace(rows)
        show.note(f"{label}: {len(rows)} of {len(again)} that could not be decoded before")


def _crashed(video: Video) -> Mapping[str, Any]:
    return {"id": video.id, "status": "undecodable", "text": "the decoder crashed on it"}

"""Does something to every video of a table that is not in it yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import Maker, ResultTable
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.windows import Clock, Done, Model, Progress, Told, Work
from mdsvqa.videos.about import NAMES
from mdsvqa.videos.changes import changed_files, said_of_changed
from mdsvqa.videos.manifest import Video

# Rows that are finished together.
SHARD = 32

Row = Mapping[str, Any]
# The rows of videos, in order, as they come; says how many more there are.
Rows = Callable[[Sequence[Video], Progress], Iterator[Done[Row]]]


def by_video(row_of: Callable[[Video], Row], run: Run) -> Rows:
    """Rows that are made each by itself.

    Args:
        row_of: picklable; makes the row of one video, in a worker process.
        run: how it works.
    """

    def rows(videos: Sequence[Video], progress: Progress) -> Iterator[Done[Row]]:
        for row in run.map(row_of, videos, crashed=crashed_row):
            yield Done([row], Clock(), "")
            progress(1)

    return rows


def by_model(model: Model[Video, Row], shard: int = SHARD) -> Rows:
    """Rows that a model makes, so many at once; see `row_work`."""

    def rows(videos: Sequence[Video], progress: Progress) -> Iterator[Done[Row]]:
        return model.done([videos[first : first + shard] for first in range(0, len(videos), shard)], progress)

    return rows


def row_work(
    prepare: Callable[[Video], Row],
    finish: Callable[[Sequence[Row]], Sequence[Row]],
    maker: Maker,
    begin: Callable[[], object] = lambda: None,
) -> Work[Video, Row]:
    """A model's work that makes rows.

    Args:
        prepare: picklable; of a video what the model reads, as a row.
        finish: makes the rows of the table out of these; what they say of their files stays.
        maker: of the rows.
        begin: see `Work`.
    """

    def finished(videos: Sequence[Video], prepared: Sequence[Row], progress: Progress) -> Sequence[Row]:
        rows = zip(prepared, finish(prepared), strict=True)
        found = [{**{name: given[name] for name in NAMES if name in given}, **row} for given, row in rows]
        progress(len(found))
        return found

    return Work(prepare, crashed_row, finished, dict(maker), begin=begin)


def sweep(table: ResultTable, videos: Sequence[Video], rows: Rows, label: str, show: Show) -> None:
    """Appends a row for each video that has none; tries those again that could not be decoded or failed, and makes
    those anew whose files have changed.

    Args:
        table: open for adding rows.
        videos: which rows there should be; written in this order.
        rows: makes them.
        label: of the progress.
        show: how it speaks.
    """
    anew = _again(table, videos, rows, label, show)
    missing = [video for video in videos if video.id not in table.ids]
    reused = len(videos) - len(missing) - anew
    if reused:
        some = f"{reused} of" if reused < len(videos) else "all"
        show.note(f"{label}: {some} {len(videos)} reused from {table.folder}")
    told = Told(show, label, len(missing))
    for done in rows(missing, told.more):
        table.collect(done.results)
        told.hear(done)


def _again(table: ResultTable, videos: Sequence[Video], rows: Rows, label: str, show: Show) -> int:
    """How many rows are new."""
    # A path may have been corrected since, a file mended. Rows keep their places: a rerun ends in the same tables.
    without = table.ids_with("undecodable") | table.ids_with("failed")
    changed = changed_files(table, videos) - without
    if changed:
        show.note(said_of_changed(label, changed, len(videos)))
    again = [video for video in videos if video.id in without or video.id in changed]
    told, mended = Told(show, f"{label}, made again", len(again)), 0
    made: list[Row] = []
    for done in rows(again, told.more):
        told.hear(done)
        made += done.results
        # Not for each: a shard is read and written.
        if len(made) >= SHARD:
            mended += _put_back(table, made, changed, without)
            made = []
    mended += _put_back(table, made, changed, without)
    if mended:
        show.note(f"{label}: {mended} of {len(without)} that could not be decoded before")
    return len(changed) + mended


def _put_back(table: ResultTable, made: Sequence[Row], changed: Set[str], without: Set[str]) -> int:
    """How many of those that had no result have one now."""
    table.redo([row for row in made if row["id"] in changed])
    table.replace(back := [row for row in made if row["id"] in without and row["status"] == "ok"])
    return len(back)


def crashed_row(video: Video) -> Row:
    """In place of the row of a video that kills its process."""
    return {"id": video.id, "status": "undecodable", "text": "the decoder crashed on it"}

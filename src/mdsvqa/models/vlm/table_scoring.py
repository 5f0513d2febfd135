"""Scores of a table of videos by a vision-language model: decoding ahead, batches, whole windows in a shard."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from mdsvqa.models.base import Score
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, crashed, read_clip
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import SCORES, Maker, ResultTable, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.words import counted
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.videos.about import NOTHING
from mdsvqa.videos.changes import changed_files, said_of_changed
from mdsvqa.videos.decoding import Undecodable
from mdsvqa.videos.video import Video

# Videos that are sorted into batches together; a shard has whole windows. The first are short, so that the model starts
# while the rest is decoded.
WINDOWS = (4, 8, 16)
WINDOW = 32


class ClipReader(Protocol):
    """A model that scores clips which are at its own size already."""

    sight: VisualLimits

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = ...) -> list[Score]:
        """One `Score` a clip, in their order; `progress` hears how many more are read."""
        ...


@dataclass
class Clock:
    """Where the time of a pass went, in seconds.

    Attributes:
        model: in which the model worked.
        waiting: in which it waited for frames, the start of the workers included.
        videos: read by the model.
        cut: replies that ended because no more tokens were allowed.
    """

    model: float = 0.0
    waiting: float = 0.0
    videos: int = 0
    cut: int = 0

    def verdict(self) -> str:
        """Which of the two was the limit.

        >>> Clock(model=9.0, waiting=1.0, videos=30).verdict()
        '30 videos read: the model worked 90% of the time and waited for frames 10%; the model was the limit'
        """
        share = self.waiting / max(self.model + self.waiting, 1e-9)
        limit = "decoding" if share > 0.5 else "the model"
        return (
            f"{counted(self.videos, 'video')} read: the model worked {1 - share:.0%} of the time and waited for frames "
            f"{share:.0%}; {limit} was the limit"
        )


def windows_of(count: int) -> Iterator[range]:
    """Cuts a number of videos into windows, always at the same places, so that a rerun reads the same batches.

    >>> [len(window) for window in windows_of(70)]
    [4, 8, 16, 32, 10]
    """
    start, sizes = 0, iter(WINDOWS)
    while start < count:
        stop = min(count, start + next(sizes, WINDOW))
        yield range(start, stop)
        start = stop


def score_with_reader(videos: Sequence[Video], reader: ClipReader, maker: Maker, run: Run) -> tuple[pa.Table, Clock]:
    """Scores each video that has no score yet.

    Args:
        videos: with paths.
        reader: f.
        maker: what makes these scores.

    Returns:
        The scores table, in the order of the videos, and where the time went.
    """
    clock = Clock()
    with run.open(SCORES, maker) as table:
        _again(table, videos, reader, run.workers, run.show)
        cut = ([videos[i] for i in window if videos[i].id not in table.ids] for window in windows_of(len(videos)))
        windows = [window for window in cut if window]
        missing = [video for window in windows for video in window]
        if len(missing) < len(videos):
            run.show.note(f"Scores: {len(videos) - len(missing)} of {len(videos)} reused from {run.out}")
        see = partial(read_clip, sight=reader.sight)
        # A whole window ahead: while the model reads one, the next is decoded.
        clips = map_in_workers(see, missing, run.workers, crashed=crashed, ahead=WINDOW)
        read = 0
        if missing:
            run.show.progress("Scores", 0, len(missing))

        def progress(more: int) -> None:
            nonlocal read
            read += more
            run.show.progress("Scores", read, len(missing))

        for window in windows:
            began = time.perf_counter()
            found = [next(clips) for _ in window]
            decoded = time.perf_counter()
            scores = score_window(reader, window, found, progress)
            table.collect(_rows(scores, found))
            clock.cut += sum(score.cut for score in scores)
            clock.waiting += decoded - began
            clock.model += time.perf_counter() - decoded
            clock.videos += len(window)
    if clock.videos:
        run.show.note(clock.verdict())
    if clock.cut:
        run.show.note(f"{clock.cut} of {clock.videos} replies were cut before their answer: more tokens give it room")
    return read_table(run.out), clock


def _rows(scores: Sequence[Score], found: Sequence[ModelClip | Undecodable]) -> list[dict[str, Any]]:
    """Scores with what is known of the files of their clips."""
    about = {clip.id: clip.about for clip in found if isinstance(clip, ModelClip)}
    return [asdict(score) | about.get(score.id, NOTHING).columns for score in scores]


def _again(table: ResultTable, videos: Sequence[Video], reader: ClipReader, workers: int, show: Show) -> None:
    # A path may have been corrected since, a file mended, a server woken up. Rows keep their places.
    without = table.ids_with("undecodable") | table.ids_with("failed")
    changed = changed_files(table, videos) - without
    if changed:
        show.note(said_of_changed("Scores", changed, len(videos)))
    again = [video for video in videos if video.id in without or video.id in changed]
    found = map_in_workers(partial(read_clip, sight=reader.sight), again, workers, crashed=crashed)
    mended, left = 0, iter(again)
    # By windows: after a server was away there may be more than fit into memory.
    while window := list(islice(found, WINDOW)):
        scores = score_window(reader, list(islice(left, len(window))), window, lambda more: None)
        rows = _rows(scores, window)
        table.redo([row for row in rows if row["id"] in changed])
        table.replace([row for row in rows if row["id"] in without and row["status"] != "undecodable"])
        mended += sum(row["status"] == "ok" for row in rows if row["id"] in without)
    if mended:
        show.note(f"Scores: {mended} of {len(without)} that had no score before")


def noted(reader: ClipReader, clips: Sequence[ModelClip], progress: Callable[[int], None]) -> list[Score]:
    """What a model reads in clips, with the notes on their files."""
    scores = reader.read(clips, progress)
    return [replace(score, note=clip.note) for score, clip in zip(scores, clips, strict=True)]


def score_window(
    reader: ClipReader,
    videos: Sequence[Video],
    found: Sequence[ModelClip | Undecodable],
    progress: Callable[[int], None],
) -> list[Score]:
    """The score of each video, or why there was nothing to read."""
    clips = [clip for clip in found if isinstance(clip, ModelClip)]
    progress(len(found) - len(clips))
    scores = iter(noted(reader, clips, progress))
    return [
        Score(video.id, None, "undecodable", clip.reason) if isinstance(clip, Undecodable) else next(scores)
        for video, clip in zip(videos, found, strict=True)
    ]

"""Scores of a table of videos by a vision-language model: decoding ahead, batches, whole windows in a shard."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from mdsvqa.models.base import Score
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, crashed, read_clip
from mdsvqa.runtime.results import SCORES, Maker, ResultTable, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.windows import Clock, Model, Progress, Told, Work
from mdsvqa.videos.about import NOTHING
from mdsvqa.videos.changes import changed_files, said_of_changed
from mdsvqa.videos.decoding import Undecodable
from mdsvqa.videos.sweep import Row
from mdsvqa.videos.video import Video

# Videos that are sorted into batches together; a shard has whole windows. The first are short, so that the model starts
# while the rest is decoded.
WINDOWS = (4, 8, 16)
WINDOW = 32
# What prepares clips imports it.
CLIPS = "mdsvqa.models.vlm.clips"


class ClipReader(Protocol):
    """A model that scores clips which are at its own size already."""

    sight: VisualLimits

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = ...) -> list[Score]:
        """One `Score` a clip, in their order; `progress` hears how many more are read."""
        ...


def windows_of(count: int, most: int = WINDOW) -> Iterator[range]:
    """Cuts a number of videos into windows of up to `most`, always at the same places, so that a rerun reads the same
    batches.

    >>> [len(window) for window in windows_of(70)]
    [4, 8, 16, 32, 10]
    """
    start, sizes = 0, iter(WINDOWS)
    while start < count:
        stop = min(count, start + next(sizes, most))
        yield range(start, stop)
        start = stop


def score_with_reader(
    videos: Sequence[Video], reader: ClipReader, maker: Maker, run: Run, most: int = WINDOW
) -> tuple[pa.Table, Clock]:
    """Scores each video that has no score yet, by a model that is here whatever the engine: that only decodes.

    Args:
        videos: with paths.
        reader: f.
        maker: what makes these scores.
        run: where to.
        most: videos that are read together.

    Returns:
        The scores table, in the order of the videos, and where the time went.
    """
    return _score(videos, run.here(lambda: reading(reader, maker), "", CLIPS), maker, run, most)


def score_with_model(
    videos: Sequence[Video], load: Callable[[], Work[Video, Row]], label: str, device: str, run: Run
) -> tuple[pa.Table, Maker]:
    """Scores each video that has no score yet, by a model in this process, or by one in each worker of a cluster.

    Args:
        videos: with paths.
        load: makes a `reading`; can be pickled where the engine is a cluster.
        label: of that.
        device: of the model, by name.
        run: where to.

    Returns:
        The scores table, in the order of the videos, and what makes it.
    """
    with run.model(load, label, _lost, imports=CLIPS, device=device) as model:
        maker, warning = model.begin()
        if warning:
            run.show.note(f"Warning: {warning}")
        return _score(videos, model, maker, run)[0], maker


def reading(reader: ClipReader, maker: Maker, warning: str = "") -> Work[Video, Row]:
    """What a model does to a window of videos: their rows of a scores table."""

    def finish(videos: Sequence[Video], found: Sequence[ModelClip | Undecodable], progress: Progress) -> Sequence[Row]:
        return _rows(score_window(reader, videos, found, progress), found)

    return Work(partial(read_clip, sight=reader.sight), crashed, finish, dict(maker), warning)


def _score(
    videos: Sequence[Video], model: Model[Video, Row], maker: Maker, run: Run, most: int = WINDOW
) -> tuple[pa.Table, Clock]:
    with run.open(SCORES, maker) as table:
        _again(table, videos, model, run)
        cut = ([videos[i] for i in window if videos[i].id not in table.ids] for window in windows_of(len(videos), most))
        windows = [window for window in cut if window]
        missing = sum(map(len, windows))
        if missing < len(videos):
            run.show.note(f"Scores: {len(videos) - missing} of {len(videos)} reused from {run.out}")
        told, cut_replies = Told(run.show, "Scores", missing), 0
        for done in model.done(windows, told.more):
            table.collect(done.results)
            told.hear(done)
            cut_replies += sum(row["cut"] for row in done.results)
    if missing:
        run.show.note(told.clock.verdict())
    if cut_replies:
        run.show.note(f"{cut_replies} of {missing} replies were cut before their answer: more tokens give it room")
    return read_table(run.out), told.clock


def _rows(scores: Sequence[Score], found: Sequence[ModelClip | Undecodable]) -> list[dict[str, Any]]:
    """Scores with what is known of the files of their clips."""
    about = {clip.id: clip.about for clip in found if isinstance(clip, ModelClip)}
    return [asdict(score) | about.get(score.id, NOTHING).columns for score in scores]


def _lost(video: Video) -> Row:
    return asdict(Score(video.id, None, "undecodable", "it killed one worker of the cluster after the other"))


def _again(table: ResultTable, videos: Sequence[Video], model: Model[Video, Row], run: Run) -> None:
    # A path may have been corrected since, a file mended, a server woken up. Rows keep their places.
    without = table.ids_with("undecodable") | table.ids_with("failed")
    changed = changed_files(table, videos) - without
    if changed:
        run.show.note(said_of_changed("Scores", changed, len(videos)))
    again = [video for video in videos if video.id in without or video.id in changed]
    mended = 0
    # By windows: after a server was away there may be more than fit into memory.
    for done in model.done([again[first : first + WINDOW] for first in range(0, len(again), WINDOW)]):
        table.redo([row for row in done.results if row["id"] in changed])
        table.replace([row for row in done.results if row["id"] in without and row["status"] != "undecodable"])
        mended += sum(row["status"] == "ok" for row in done.results if row["id"] in without)
    if mended:
        run.show.note(f"Scores: {mended} of {len(without)} that had no score before")


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

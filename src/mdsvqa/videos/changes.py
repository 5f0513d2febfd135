"""Rows whose file is another one than that which they were made of."""

from collections.abc import Collection, Iterable

from mdsvqa.runtime.results import ResultTable
from mdsvqa.videos.about import About, about_file
from mdsvqa.videos.video import Video

# A copy keeps the time of change in whole seconds where a file system or a tool knows no finer ones.
_SECOND = 1_000_000_000


def changed_files(table: ResultTable, videos: Iterable[Video]) -> set[str]:
    """Ids of videos whose file is another one than that which their row was made of.

    A file that is not there, or a row that does not know its file, is taken for unchanged.
    """
    stamps = table.stamps()
    return {video.id for video in videos if video.id in stamps and _differs(stamps[video.id], about_file(video.path))}


def _differs(then: tuple[int, int], now: About) -> bool:
    """
    >>> _differs((10, 5_000_000_007), About(10, 5_000_000_007)), _differs((10, 5_000_000_007), About(10, 5_000_000_000))
    (False, False)
    >>> _differs((10, 5_000_000_007), About(11, 5_000_000_007)), _differs((10, 5_000_000_007), About(10, 5_000_000_009))
    (True, True)
    """
    if now.mtime is None:
        return False
    size, mtime = then
    whole = mtime % _SECOND == 0 or now.mtime % _SECOND == 0
    same = mtime // _SECOND == now.mtime // _SECOND if whole else mtime == now.mtime
    return size != now.size or not same


def said_of_changed(label: str, changed: Collection[str], videos: int) -> str:
    """One line about rows that are done anew."""
    few = ", ".join(sorted(changed)[:3]) + (", ..." if len(changed) > 3 else "")
    return f"{label}: {len(changed)} of {videos} done anew, because their files changed since: {few}"

"""Rows whose file is another one than that which they were made of."""

from collections.abc import Collection, Iterable

from mdsvqa.runtime.known_rows import FileStamp
from mdsvqa.runtime.results import ResultTable
from mdsvqa.videos.about import About
from mdsvqa.videos.local_files import about_places
from mdsvqa.videos.video import Video

# A copy keeps the time of change in whole seconds where a file system or a tool knows no finer ones.
_SECOND = 1_000_000_000


def changed_files(table: ResultTable, videos: Iterable[Video]) -> set[str]:
    """Ids of videos whose file is another one than that which their row was made of.

    A file that is not there, or a row that does not know its file, is taken for unchanged; so is a file that went to a
    store, or came from one, and kept its size.
    """
    stamps = table.stamps()
    places = {video.id: video.path for video in videos if video.id in stamps and video.path is not None}
    return {id for id, about in about_places(places).items() if _differs(stamps[id], about)}


def _differs(then: FileStamp, now: About) -> bool:
    """
    >>> _differs((10, None, "a1"), About(10, etag="a1")), _differs((10, 5, None), About(10, etag="a1"))
    (False, False)
    >>> _differs((10, None, "a1"), About(10, etag="b2")), _differs((10, 5, None), About(11, etag="a1"))
    (True, True)
    >>> at = 5_000_000_007
    >>> _differs((10, at, None), About(10, at)), _differs((10, at, None), About(10, 5_000_000_000))
    (False, False)
    >>> _differs((10, at, None), About(11, at)), _differs((10, at, None), About(10, 5_000_000_009))
    (True, True)
    """
    if now.mtime is None and now.etag is None:
        return False
    size, mtime, etag = then
    if None not in (size, now.size) and size != now.size:
        return True
    if mtime is None or now.mtime is None:
        return None not in (etag, now.etag) and etag != now.etag
    whole = mtime % _SECOND == 0 or now.mtime % _SECOND == 0
    return mtime // _SECOND != now.mtime // _SECOND if whole else mtime != now.mtime


def said_of_changed(label: str, changed: Collection[str], videos: int) -> str:
    """One line about rows that are done anew."""
    few = ", ".join(sorted(changed)[:3]) + (", ..." if len(changed) > 3 else "")
    return f"{label}: {len(changed)} of {videos} done anew, because their files changed since: {few}"

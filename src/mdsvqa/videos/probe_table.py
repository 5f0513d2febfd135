"""What the files of many videos say of themselves, one row each."""

from collections.abc import Iterator, Sequence
from typing import Any

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.videos.films import look_at
from mdsvqa.videos.local_files import local_file
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable
from mdsvqa.videos.video import Video


def probe_rows(videos: Sequence[Video], workers: int) -> Iterator[dict[str, Any]]:
    """What each video says of itself; one frame of each is decoded.

    Args:
        videos: of a manifest or a folder.
        workers: processes, as in `map_in_workers`.

    Yields:
        id, status ("ok" or "undecodable") and text (why); of what can be decoded also width, height, fps, seconds,
        frames, codec, pix_fmt, and the columns of `About`.
    """
    return map_in_workers(_row, videos, workers, crashed=_crashed)


def _row(video: Video) -> dict[str, Any]:
    if video.path is None:
        return _undecodable(video, "the manifest gives no path")
    try:
        with local_file(video.path, video.id) as file:
            found = look_at(file.path, video.raw)
    except Undecodable as error:
        return _undecodable(video, error.reason)
    except InputError:
        # It is a ValueError too, and of no single video.
        raise
    except DECODING_ERRORS as error:
        return _undecodable(video, f"damaged: {error}")
    return {
        "id": video.id,
        "status": "ok",
        "text": None,
        "width": found.width,
        "height": found.height,
        "fps": found.fps,
        "seconds": found.duration,
        "frames": found.frames,
        "codec": found.codec,
        "pix_fmt": found.pix_fmt,
        **found.about.of(file.about).columns,
    }


def _undecodable(video: Video, reason: str) -> dict[str, Any]:
    return {"id": video.id, "status": "undecodable", "text": reason}


def _crashed(video: Video) -> dict[str, Any]:
    return _undecodable(video, "the decoder crashed on it")

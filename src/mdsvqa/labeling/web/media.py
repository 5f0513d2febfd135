"""Clips over HTTP: whole or in ranges, with headers that say nothing about what kind of clip it is."""

import stat
from pathlib import Path
from typing import Any

import anyio
from starlette.responses import FileResponse, Response

from mdsvqa.labeling.collecting.refusals import Refused

TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
# The day of a file would tell an old video from a trap that was made yesterday.
_ONE_DAY = "Thu, 01 Jan 2026 00:00:00 GMT"


class ClipResponse(FileResponse):
    """A file in large pieces: each costs a change of threads, which votes would wait for."""

    chunk_size = 1024 * 1024


async def clip_response(file: Path, slot: str, side: int) -> Response:
    """The answer with a clip, under a name that belongs to the slot.

    Raises:
        Refused: the file is gone.
    """
    try:
        found = await anyio.Path(file).stat()
    except OSError:
        raise Refused(410, "clip_gone") from None
    if not stat.S_ISREG(found.st_mode):
        raise Refused(410, "clip_gone")
    headers = {"etag": f'"{slot}-{side}"', "last-modified": _ONE_DAY, "cache-control": "private, no-store"}
    kind: Any = TYPES.get(file.suffix.lower(), "application/octet-stream")
    return ClipResponse(file, headers=headers, media_type=kind, stat_result=found)

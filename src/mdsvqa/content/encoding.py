"""The content features of a table of videos."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mdsvqa.config import ContentSettings
from mdsvqa.content.handcrafted import DIMS, SIDE, encode_frames
from mdsvqa.progress import Show
from mdsvqa.tables import ResultTable, content_schema, read_table
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.sweep import sweep

# Raise it when the same clip would give other features.
VERSION = 3


def encode_content(
    videos: Sequence[Video],
    folder: Path,
    settings: ContentSettings,
    workers: int,
    show: Show,
    *,
    overwrite: bool = False,
) -> pa.Table:
    """Encodes each video that is not encoded yet.

    Args:
        videos: with paths.
        folder: of the content table.
        settings: encoder and frames a video.
        workers: processes that decode and encode.

    Returns:
        The content table; a video that cannot be decoded has no frames, status "undecodable" and the reason.
    """
    maker = {"step": "content", "version": VERSION, "encoder": settings.encoder, "frames": settings.frames}
    with ResultTable(folder, content_schema(DIMS), maker, overwrite=overwrite) as table:
        sweep(table, videos, partial(_row, frames=settings.frames), workers, "Content", show)
    return read_table(folder)


def _row(video: Video, frames: int) -> dict[str, Any]:
    cv2.setNumThreads(1)
    clip = decode_video(video, Sampling(frames=frames, longest_side=4 * SIDE))
    if isinstance(clip, Undecodable):
        return {"id": video.id, "frames": [], "status": "undecodable", "text": clip.reason}
    encoded = encode_frames(clip.frames).astype(np.float16)
    return {"id": video.id, "frames": list(encoded), "status": "ok"}

"""The features that the statistical model reads, for a table of videos."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa

from mdsvqa.models.statistical.features import FEATURE_NAMES, clip_features
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import FEATURES, ResultTable, fingerprint, read_table
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.sweep import sweep

# Raise it when the same clip would give other features.
VERSION = 1


def extract_features(
    videos: Sequence[Video], folder: Path, frames: int, workers: int, show: Show, *, overwrite: bool = False
) -> pa.Table:
    """Computes the features of each video that has none yet.

    Args:
        videos: with paths.
        folder: of the features table.
        frames: sampled from each video.
        workers: processes that decode and compute.

    Returns:
        The features table; a video that cannot be decoded has status "undecodable", and the reason as its text.
    """
    maker = {
        "step": "features",
        "version": VERSION,
        "frames": frames,
        "names": fingerprint(FEATURE_NAMES),
    }
    with ResultTable(folder, FEATURES, maker, overwrite=overwrite) as table:
        sweep(table, videos, partial(_row, frames=frames), workers, "Features", show)
    return read_table(folder)


def _row(video: Video, frames: int) -> dict[str, Any]:
    cv2.setNumThreads(1)
    clip = decode_video(video, Sampling(frames=frames))
    if isinstance(clip, Undecodable):
        return {"id": video.id, "status": "undecodable", "text": clip.reason}
    return {"id": video.id, "features": clip_features(clip).tolist(), "status": "ok"}

"""The features that the statistical model reads, for a table of videos."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import pyarrow as pa

from mdsvqa.models.statistical.features import FEATURE_NAMES, WINDOW, clip_features
from mdsvqa.models.statistical.opencv import need_contrib
from mdsvqa.runtime.results import FEATURES, fingerprint, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.sweep import by_video, sweep
from mdsvqa.videos.view import PLAIN, View

# Raise it when the same clip would give other features.
VERSION = 1


def extract_features(videos: Sequence[Video], frames: int, run: Run, view: View = PLAIN) -> pa.Table:
    """Computes the features of each video that has none yet.

    Args:
        videos: with paths.
        frames: sampled from each video.
        view: what is done with HDR and interlaced pictures.

    Returns:
        The features table; a video that cannot be decoded has status "undecodable", and the reason as its text.

    Raises:
        InputError: another OpenCV took the place of the contrib build.
    """
    need_contrib()
    maker = {
        "step": "features",
        "version": VERSION,
        "frames": frames,
        "names": fingerprint(FEATURE_NAMES),
        **view.record(),
    }
    # Scaling to square pixels would hide what is measured: edges of blocks, noise, sharpness.
    sampling = Sampling(frames=frames, sar="stored", view=view, window=WINDOW)
    with run.open(FEATURES, maker) as table:
        sweep(table, videos, by_video(partial(_row, sampling=sampling), run), "Features", run.show)
    return read_table(run.out)


def _row(video: Video, sampling: Sampling) -> dict[str, Any]:
    cv2.setNumThreads(1)
    clip = decode_video(video, sampling)
    if isinstance(clip, Undecodable):
        return {"id": video.id, "status": "undecodable", "text": clip.reason}
    return {"id": video.id, "features": clip_features(clip).tolist(), "status": "ok", **clip.columns}

"""The content features of a table of videos, by the embedded encoder or a checkpoint."""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mdsvqa.models.encoders.handcrafted import DIMS, SIDE, encode_frames
from mdsvqa.models.settings import HANDCRAFTED, ContentSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import Maker, content_schema, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.sweep import by_video, sweep

# Raise it when the same clip would give other features.
VERSION = 3


def encode_content(videos: Sequence[Video], settings: ContentSettings, run: Run) -> pa.Table:
    """Encodes each video that is not encoded yet; a killed run goes on where it was.

    Args:
        videos: with paths.
        settings: encoder and frames a video.

    Returns:
        The content table; a video that cannot be decoded has no frames, status "undecodable" and the reason, one that
        the encoder cannot take the status "failed".

    Raises:
        InputError: the encoder is no checkpoint that is taken, or cannot be found, or its packages are missing.
    """
    if settings.encoder != HANDCRAFTED:
        _need_packages(settings.encoder)
        from mdsvqa.models.encoders.vision_encoding import encode_with_checkpoint  # noqa: PLC0415

        return encode_with_checkpoint(videos, settings, run)
    sampling = Sampling(frames=settings.frames, longest_side=4 * SIDE, view=settings.view())
    with run.open(content_schema(DIMS), content_maker(settings)) as table:
        sweep(table, videos, by_video(partial(_row, sampling=sampling), run), "Content", run.show)
    return read_table(run.out)


def content_maker(settings: ContentSettings) -> Maker:
    """What a table of content says made it.

    Raises:
        InputError: as `encode_content`.
    """
    if settings.encoder != HANDCRAFTED:
        _need_packages(settings.encoder)
        from mdsvqa.models.encoders.encoders import find_encoder  # noqa: PLC0415
        from mdsvqa.models.encoders.vision_encoding import maker_of  # noqa: PLC0415

        return maker_of(find_encoder(settings.encoder), settings)
    maker = {"step": "content", "version": VERSION, "encoder": settings.encoder, "frames": settings.frames}
    return maker | settings.view().record()


def _need_packages(encoder: str) -> None:
    missing = [name for name in ("transformers", "torchvision") if find_spec(name) is None]
    if missing:
        raise InputError(f"encoder {encoder!r}: needs {' and '.join(missing)}: pip install 'mdsvqa[vlm]'.")


def _row(video: Video, sampling: Sampling) -> dict[str, Any]:
    cv2.setNumThreads(1)
    clip = decode_video(video, sampling)
    if isinstance(clip, Undecodable):
        return {"id": video.id, "frames": [], "status": "undecodable", "text": clip.reason}
    encoded = encode_frames(clip.frames).astype(np.float16)
    return {"id": video.id, "frames": list(encoded), "status": "ok", **clip.columns}

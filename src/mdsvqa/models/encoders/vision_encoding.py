"""Content features of a table of videos by a vision encoder: decoding ahead, batches across videos, shard by shard."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mdsvqa.models.encoders.encoders import GPU_BATCH, EncoderFiles, VisionEncoder, find_encoder, load_encoder
from mdsvqa.models.encoders.pixels import Pixels, pixel_row
from mdsvqa.models.settings import ContentSettings
from mdsvqa.runtime.results import Maker, content_schema, is_table, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.threads import torch_threads
from mdsvqa.runtime.windows import Work
from mdsvqa.videos.decoding import Sampling
from mdsvqa.videos.sweep import SHARD, Row, by_model, crashed_row, row_work, sweep
from mdsvqa.videos.video import Video

# Raise it when the same clip would give other features.
VERSION = 1
# Weights above which a CPU's cores gain more by sharing a product than they lose by waiting for each other.
_LARGE = 20_000_000


def encode_with_checkpoint(videos: Sequence[Video], settings: ContentSettings, run: Run) -> pa.Table:
    """Encodes each video that is not encoded yet by the checkpoint that the settings name; see `encode_content`.

    Raises:
        InputError: the checkpoint cannot be found or is none of those that are taken.
    """
    files = find_encoder(settings.encoder)
    # Enough to fill a batch, and cut at the same places on any device.
    shard = max(SHARD, -(-(settings.batch_size or GPU_BATCH) // settings.frames))
    load = partial(_load, settings, run.workers if run.engine.name == "local" else run.engine.cpus_per_worker)
    label, imports = f"Loading {settings.encoder}", "mdsvqa.models.encoders.pixels"
    maker = maker_of(files, settings)
    with run.model(load, label, _lost, imports=imports, device=settings.device, maker=maker) as model:
        if run.overwrite or not is_table(run.out):
            # Now, so that a checkpoint that cannot be loaded changes no run.out. Else there are rows that it made
            # before.
            model.begin()
        with run.open(content_schema(files.dims), maker) as table:
            if any(video.id not in table.ids for video in videos):
                model.begin()
            sweep(table, videos, by_model(model, shard), "Content", run.show)
    return read_table(run.out)


def maker_of(files: EncoderFiles, settings: ContentSettings) -> Maker:
    """What a table of content by a checkpoint says made it."""
    maker = {"step": "content", "version": VERSION, **files.maker, "dtype": settings.dtype, "frames": settings.frames}
    return maker | settings.view().record()


def _load(settings: ContentSettings, workers: int) -> Work[Video, Row]:
    files = find_encoder(settings.encoder)
    # Not before there is a video that can be decoded.
    loaded = cache(partial(load_encoder, files, settings))
    sampling = Sampling(frames=settings.frames, view=settings.view())
    prepare = partial(pixel_row, sampling=sampling, preparation=files.preparation)
    finish = partial(_rows, loaded=loaded, workers=workers)
    return row_work(prepare, finish, maker_of(files, settings), loaded)


def _lost(video: Video) -> Row:
    return {"frames": [], **crashed_row(video)}


def _rows(prepared: Sequence[Row], loaded: Callable[[], VisionEncoder], workers: int) -> list[Row]:
    """Rows of the table, out of what `pixel_row` gave."""
    videos = [row["pixels"] for row in prepared if row["status"] == "ok"]
    encoded = iter(_encoded(videos, loaded(), workers) if videos else ())
    return [_row(row, next(encoded)) if row["status"] == "ok" else {"frames": [], **row} for row in prepared]


def _row(prepared: Row, found: NDArray[np.float32] | str) -> Row:
    about = {name: value for name, value in prepared.items() if name != "pixels"}
    if isinstance(found, str):
        return {**about, "frames": [], "status": "failed", "text": found}
    return {**about, "frames": list(found.astype(np.float16)), "status": "ok"}


def _encoded(videos: Sequence[Pixels], encoder: VisionEncoder, workers: int) -> list[NDArray[np.float32] | str]:
    large = encoder.device.type == "cpu" and sum(p.numel() for p in encoder.model.parameters()) > _LARGE
    with torch_threads(workers if large else None):
        return encoder.encode(videos)

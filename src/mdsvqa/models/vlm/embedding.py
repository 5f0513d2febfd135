"""What a vision-language model makes of a video before it answers: its frozen embedding, for a head to rank by."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from mdsvqa.models.batching import batches_by_tokens, run_halving
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, read_clip
from mdsvqa.models.vlm.load import load_vlm
from mdsvqa.models.vlm.reader import NO_MEMORY, VlmReader
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.results import FEATURES, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.windows import Work
from mdsvqa.videos.decoding import Undecodable
from mdsvqa.videos.sweep import Row, by_model, crashed_row, row_work, sweep
from mdsvqa.videos.video import Video


def embed_with_vlm(videos: Sequence[Video], model: str, settings: VlmSettings, run: Run) -> Floats:
    """The last hidden state behind the question, where the model is about to write its answer.

    Args:
        videos: with paths.
        model: a folder or a Hub name.
        settings: adapter, frames and the rest; the question is that of reading "expected".

    Returns:
        Shape (n, dims), NaN in the rows of videos that have none.

    Raises:
        ModelError: the checkpoint cannot be loaded.
    """
    asked = settings.model_copy(update={"reading": "expected", "samples": 1, "runner": "transformers"})
    load, imports = partial(_load, model, asked), "mdsvqa.models.vlm.clips"
    with run.model(load, f"Loading {model}", crashed_row, imports=imports, device=asked.device) as there:
        maker, _ = there.begin()
        with run.open(FEATURES, maker) as table:
            sweep(table, videos, by_model(there), "Embeddings", run.show)
    rows = {row["id"]: row["features"] for row in read_table(run.out).to_pylist() if row["status"] == "ok"}
    dims = max((len(values) for values in rows.values()), default=1)
    return np.array([rows.get(video.id, [np.nan] * dims) for video in videos], np.float64)


def _load(model: str, settings: VlmSettings) -> Work[Video, Row]:
    reader, maker = load_vlm(model, settings)
    return row_work(partial(_seen_row, sight=reader.sight), partial(_rows, reader), {**maker, "step": "embeddings"})


def _seen_row(video: Video, sight: VisualLimits) -> Row:
    found = read_clip(video, sight)
    if isinstance(found, Undecodable):
        return {"id": video.id, "status": "undecodable", "text": found.reason}
    return {"id": video.id, "status": "ok", "clip": found, **found.about.columns}


def _rows(reader: VlmReader, prepared: Sequence[Row]) -> list[Row]:
    clips = [row["clip"] for row in prepared if row["status"] == "ok"]
    found: dict[str, Row] = {}
    lengths = [clip.tokens + reader.prompt.tokens for clip in clips]
    for batch in batches_by_tokens(lengths, reader.batch_tokens(clips)):
        rows = run_halving([clips[i] for i in batch], partial(_embedded, reader), _too_large)
        found |= {row["id"]: row for row in rows}
    return [found.get(row["id"], row) for row in prepared]


@torch.inference_mode()
def _embedded(reader: VlmReader, clips: Sequence[ModelClip]) -> list[dict[str, Any]]:
    batch = reader.batch(clips, [reader.prompt] * len(clips))
    # Left-padded: the last place of every row is the end of its prompt.
    states = reader.family.inside(reader.model)(**batch, use_cache=False).last_hidden_state[:, -1]
    rows = zip(clips, states.float().cpu().numpy(), strict=True)
    return [{"id": clip.id, "features": state.tolist(), "status": "ok"} for clip, state in rows]


def _too_large(clip: ModelClip) -> dict[str, Any]:
    return {"id": clip.id, "status": "failed", "text": NO_MEMORY}

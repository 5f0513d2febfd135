"""`mdsvqa tiny-vlm`: an untrained model, a minute of training, a checkpoint, and how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mdsvqa.models.base import score_values
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, crashed, read_clip
from mdsvqa.models.vlm.families.catalogue import family_of_model
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.tiny.model import DEFAULT, FRAMES, PIXELS, WIDTH, make_model, make_processor, save_checkpoint
from mdsvqa.models.vlm.tiny.training import TinyTraining, train_tiny
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.videos.video import Video


@dataclass(frozen=True)
class HeldOut:
    """What a tiny model says of videos that it did not learn from.

    Attributes:
        expected: its expected scores, NaN where there is none, shape (n,).
        mos: shape (n,).
    """

    expected: Floats
    mos: Floats


def make_tiny_vlm(
    out: Path,
    train: Sequence[Video],
    held_out: Sequence[Video],
    training: TinyTraining,
    workers: int,
    show: Show,
    *,
    pixels: int = PIXELS,
    frames: int = FRAMES,
    width: int = WIDTH,
    family: str = DEFAULT,
) -> HeldOut:
    """Trains a tiny model on labeled videos and saves it as a checkpoint.

    Args:
        out: folder of the checkpoint; made if missing.
        train: labeled videos with files.
        held_out: labeled videos to look at afterwards.
        training: length and rates.
        workers: processes that decode.
        pixels, frames: what the model is to see of a video.
        width: of its language model; see `tiny.make_model`.
        family: its name in the catalogue.

    Returns:
        Its expected scores of the held-out videos.

    Raises:
        InputError: too few videos can be learned from.
    """
    processor = make_processor(pixels, frames, family)
    model = make_model(processor.tokenizer, training.seed, width, family)
    settings = VlmSettings(reading="expected")
    sight = family_of_model(model).sight(settings, processor)
    clips, mos = _labeled(train, sight, workers, show)
    if len(clips) < training.batch:
        raise InputError(
            f"the tiny model needs at least {training.batch} labeled videos to learn from; found {len(clips)}."
        )
    train_tiny(model, processor, sight, clips, mos, training, show)
    save_checkpoint(model, processor, out)
    others, other_mos = _labeled(held_out, sight, workers, show)
    scores = VlmReader(Checkpoint(model, processor, {}), settings).read(others)
    return HeldOut(score_values(scores), other_mos)


def _labeled(videos: Sequence[Video], sight: VisualLimits, workers: int, show: Show) -> tuple[list[ModelClip], Floats]:
    wanted = [video for video in videos if video.mos is not None]
    clips, mos = [], []
    seen = map_in_workers(partial(read_clip, sight=sight), wanted, workers, crashed=crashed)
    for done, (video, clip) in enumerate(zip(wanted, seen, strict=True), 1):
        show.progress("Decoding for the tiny model", done, len(wanted))
        if isinstance(clip, ModelClip):
            clips.append(clip)
            mos.append(video.mos)
    return clips, np.array(mos, np.float64)

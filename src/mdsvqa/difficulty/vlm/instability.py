"""How much the score of a vision-language model moves when it is disturbed: rules that need no label."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import torch

from mdsvqa.difficulty.mc_dropout import has_dropout, mc_dropout
from mdsvqa.models.base import Score, score_values
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.families.catalogue import family_of_model
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.arrays import Floats

Disturb = Callable[[VlmReader, Sequence[ModelClip], int, int], Floats]
# Of attention, where a model has no dropout of its own: that of its adapters' training.
DROPOUT = 0.05
# Standard deviation of pixel noise in 8-bit grey levels: hardly seen, and far above what decoders differ by.
PIXEL_NOISE = 2.0


class Unstable:
    """Reads the standard deviation of f's expected score where others read the score; a `ClipReader`.

    Args:
        reader: f, with reading "expected".
        rule: one of INSTABILITIES.
        passes: at least 2.
        seed: of the disturbances.
    """

    def __init__(self, reader: VlmReader, rule: str, passes: int, seed: int) -> None:
        self._reader, self._disturb = reader, INSTABILITIES[rule]
        self._passes, self._seed = passes, seed
        self.sight = reader.sight

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        """One `Score` a clip; it has none where fewer than half of the passes gave one."""
        spread = self._disturb(self._reader, clips, self._passes, self._seed) if clips else np.empty(0)
        progress(len(clips))
        return [
            Score(clip.id, float(value)) if np.isfinite(value) else Score(clip.id, None, "unparsable")
            for clip, value in zip(clips, spread, strict=True)
        ]


def dropout_spread(reader: VlmReader, clips: Sequence[ModelClip], passes: int, seed: int) -> Floats:
    """Spread of the score with dropout on: the adapter's where there is one, else of the language model's attention.

    Source: Gal and Ghahramani (2016).
    """
    if has_dropout(reader.model):
        return mc_dropout(reader.model, lambda: _expected(reader, clips), passes, seed, spread_of)
    with torch.random.fork_rng(), _attention_dropout(reader.model):
        torch.manual_seed(seed)
        return spread_of([_expected(reader, clips) for _ in range(passes)])


def noise_spread(reader: VlmReader, clips: Sequence[ModelClip], passes: int, seed: int) -> Floats:
    """Spread of the score under Gaussian noise on the pixels: of a video the same, whatever it is read with."""
    scores = []
    for draw in range(passes):
        noisy = []
        for clip in clips:
            rng = np.random.default_rng([seed, draw, crc32(clip.id.encode("utf-8", "surrogatepass"))])
            moved = clip.frames + PIXEL_NOISE * rng.standard_normal(clip.frames.shape, np.float32)
            noisy.append(replace(clip, frames=np.clip(np.rint(moved), 0, 255).astype(np.uint8)))
        scores.append(_expected(reader, noisy))
    return spread_of(scores)


def spread_of(passes: Sequence[Floats]) -> Floats:
    """Standard deviation of each video's scores; NaN where fewer than half of the passes gave one.

    Args:
        passes: scores of n videos, NaN where there is none, shape (n,) each.

    >>> spread_of([np.array([1.0, 2.0]), np.array([3.0, np.nan]), np.array([np.nan, np.nan])]).round(3).tolist()
    [1.414, nan]
    """
    scores = np.stack(passes)
    given = np.isfinite(scores)
    count = given.sum(0)
    known = np.where(given, scores, 0.0)
    mean = known.sum(0) / np.maximum(count, 1)
    squared = (np.where(given, scores - mean, 0.0) ** 2).sum(0)
    enough = (count >= 2) & (2 * count >= len(scores))
    return np.where(enough, np.sqrt(squared / np.maximum(count - 1, 1)), np.nan)


INSTABILITIES: dict[str, Disturb] = {"mc-dropout": dropout_spread, "noise-stability": noise_spread}


def _expected(reader: VlmReader, clips: Sequence[ModelClip]) -> Floats:
    return score_values(reader.read(clips))


@contextmanager
def _attention_dropout(model: Any) -> Iterator[None]:
    layers = [layer.self_attn for layer in family_of_model(model).language_model(model).layers]
    before = [(layer.attention_dropout, layer.training) for layer in layers]
    try:
        for layer in layers:
            layer.attention_dropout, layer.training = DROPOUT, True
        yield
    finally:
        for layer, (rate, training) in zip(layers, before, strict=True):
            layer.attention_dropout, layer.training = rate, training

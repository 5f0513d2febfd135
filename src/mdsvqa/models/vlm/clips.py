"""A video as a vision-language model reads it: which frames, how large, and how many tokens they take.

What differs from family to family is in `families/`; the frames are those of the paper's own inference for all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.videos.about import NOTHING, About
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import View

# A frame that is hundreds of times as wide as it is high has no size in whole patches.
MOST_ASPECT = 200
# Colours as in the training.
_TRAINED = View(chroma="reference")
# Times of frames are rounded to those that there are.
_SIMPLE, _NEAR = 24, 0.002


@dataclass(frozen=True)
class VisualLimits:
    """How much of a video a model gets to see.

    Attributes:
        rate: frames a second of video, None where `frames` says how many.
        spread: as many frames as `rate` gives, from the first to the last one, as the reference takes them; else those
            on screen at 0, 1/rate, 2/rate, ... seconds. See `Sampling`.
        frames: at equal distances, None where `rate` counts.
        fewest_frames, most_frames: limits of what `rate` gives.
        fewest_pixels, most_pixels: of a frame; smaller ones are enlarged, larger ones reduced.
        total_pixels: of all frames of a video; longer videos get smaller frames.
        patch: side of what the model turns into one token, in pixels.
        span: frames that share a token.
        side: of the squares that all frames are made, whatever their proportion; None where they keep it.
        beside: tokens that stand beside those of the frames, for each step of the temporal grid.
        view: what is done with HDR, interlaced pictures and chroma.
    """

    rate: float | None = 2.0
    spread: bool = True
    frames: int | None = None
    fewest_frames: int = 4
    most_frames: int = 768
    fewest_pixels: int = 128 * 28 * 28
    most_pixels: int = 768 * 28 * 28
    total_pixels: int = int(128_000 * 28 * 28 * 0.9)
    patch: int = 28
    span: int = 2
    side: int | None = None
    beside: int = 0
    view: View = _TRAINED

    def record(self) -> dict[str, object]:
        """JSON-able; what is younger than records on disk only where it is not as it was then."""
        known: dict[str, object] = {name: value for name, value in vars(self).items() if name != "view"}
        return known | self.view.record()


@dataclass(frozen=True)
class ModelClip:
    """A clip at the size at which the model reads it.

    Attributes:
        id: of the video.
        frames: uint8 RGB, shape (T, 3, H, W); T is a multiple of `VisualLimits.span`, H and W of `VisualLimits.patch`.
        seconds_per_grid: that one step of the temporal grid spans.
        tokens: that the video takes in the model's context.
        about: its file, and what its pictures are.
        note: see `Clip`.
        times: of each step of the temporal grid, in seconds: the mean of its first and its last frame's.
        seen: what a model's vision tower made of it, where that is known already: `frames` then has its shape, and
            nothing in it.
    """

    id: str
    frames: NDArray[np.uint8]
    seconds_per_grid: float
    tokens: int
    about: About = NOTHING
    note: str | None = None
    times: tuple[float, ...] = ()
    seen: Tensor | None = None


def resized_size(height: int, width: int, frames: int, sight: VisualLimits) -> tuple[int, int]:
    """Height and width at which frames are read: multiples of the patch, within the pixel limits, near the proportion.

    Args:
        height, width: in pixels; one is at most 200 times the other.
        frames: of the clip.
        sight: the limits.

    Raises:
        ValueError: the proportion is more extreme than 1:200.

    Source: the inference of Zou et al. (2026): `smart_resize` of its package of utilities, and its limits.

    >>> resized_size(1080, 1920, 40, VisualLimits())
    (560, 1008)
    """
    if max(height, width) > MOST_ASPECT * min(height, width):
        raise ValueError(f"a frame of {width}x{height} pixels is more than {MOST_ASPECT} times as long as it is wide")
    if sight.side is not None:
        return sight.side, sight.side
    patch = sight.patch
    share = sight.total_pixels / frames * sight.span
    most = max(min(sight.most_pixels, share), int(sight.fewest_pixels * 1.05))
    rows, columns = (max(patch, round(side / patch) * patch) for side in (height, width))
    if rows * columns > most:
        shrink = math.sqrt(height * width / most)
        rows, columns = (max(patch, math.floor(side / shrink / patch) * patch) for side in (height, width))
    elif rows * columns < sight.fewest_pixels:
        grow = math.sqrt(sight.fewest_pixels / (height * width))
        rows, columns = (math.ceil(side * grow / patch) * patch for side in (height, width))
    return rows, columns


def sampling_of(sight: VisualLimits) -> Sampling:
    """How the frames of a video are sampled."""
    if sight.frames is not None:
        return Sampling(frames=sight.frames, view=sight.view)
    return Sampling(
        rate=sight.rate,
        spread=sight.spread,
        at_least=sight.fewest_frames,
        at_most=sight.most_frames,
        view=sight.view,
    )


def read_clip(video: Video, sight: VisualLimits) -> ModelClip | Undecodable:
    """Decodes a video as a model sees it, or says why it cannot be; made for worker processes."""
    clip = decode_video(video, sampling_of(sight))
    return clip if isinstance(clip, Undecodable) else resize_clip(clip, sight, sight.rate)


def crashed(video: Video) -> ModelClip | Undecodable:
    """In place of what `read_clip` gives, for a video that kills its worker process."""
    return Undecodable(str(video.path or video.id), "the decoder crashed on it")


def resize_clip(clip: Clip, sight: VisualLimits, rate: float | None = None) -> ModelClip | Undecodable:
    """A clip at the size at which a model reads it.

    Frames are resized by antialiased bicubic interpolation; the last one is repeated until their number is a multiple
    of `VisualLimits.span`.

    Args:
        clip: frames of any size.
        sight: the limits.
        rate: at which frames were asked for, which is what the model is told, as in its training, also where a short
            video has more of them and a long one fewer; None measures it.
    """
    count, _, height, width = clip.frames.shape
    try:
        size = resized_size(height, width, count + -count % sight.span, sight)
    except ValueError as error:
        return Undecodable(clip.id, str(error))
    # Frame by frame: a 4K clip as one batch takes gigabytes.
    resized = [_resized(torch.from_numpy(frame)[None], size, sight)[0] for frame in clip.frames]
    resized += [resized[-1]] * (-count % sight.span)
    seconds = sight.span / rate if rate else measured_seconds(clip, sight.span)
    steps = len(resized) // sight.span
    tokens = steps * (size[0] * size[1] // sight.patch**2 + sight.beside)
    shown = [*clip.timestamps.tolist(), *[float(clip.timestamps[-1])] * (-count % sight.span)]
    times = tuple((shown[i] + shown[i + sight.span - 1]) / 2 for i in range(0, len(shown), sight.span))
    return ModelClip(clip.id, torch.stack(resized).numpy(), seconds, tokens, clip.about, clip.note, times)


def _resized(frame: Tensor, size: tuple[int, int], sight: VisualLimits) -> Tensor:
    """A frame, uint8 of shape (1, 3, H, W), at another size.

    Source: torchvision's resize, in single precision and rounded, as the inference of Zou et al. (2026) calls it; of
    squares Pillow's, which counts in integers, as PyTorch does for uint8.
    """
    if sight.side is not None:
        return interpolate(frame, size, mode="bicubic", antialias=True)
    # The same numbers channel by channel, sooner.
    channels = [interpolate(each.float(), size, mode="bicubic", antialias=True) for each in frame.split(1, 1)]
    return torch.cat([each.clamp_(0, 255).round_().to(torch.uint8) for each in channels], 1)


def made_up_clip(sight: VisualLimits, frames: int = 4, rate: float = 2.0) -> ModelClip:
    """A clip of noise, the same for the same sight, as if it were seen at a rate."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, 3, 112, 112), dtype=np.uint8)
    seen = resize_clip(Clip("made up", noise, np.arange(frames) / rate), sight, rate)
    assert isinstance(seen, ModelClip)
    return seen


def measured_seconds(clip: Clip, span: int) -> float:
    """Seconds that a step of the temporal grid spans, by the frames' times; a simple fraction where they are near one.

    The model counts time in whole steps and cuts off the rest: of 0.9997 s it would make 0, 1, 3, 5, ... in place of
    0, 2, 4, 6, ...

    >>> frames = np.zeros((3, 3, 1, 1), np.uint8)
    >>> measured_seconds(Clip("a", frames, np.array([0, 0.4999, 0.9997])), 2)
    1.0
    """
    gaps = np.diff(clip.timestamps)
    seconds = span * (float(gaps.mean()) if len(gaps) and gaps.mean() > 0 else 1 / (clip.fps or 1.0))
    near = float(Fraction(seconds).limit_denominator(_SIMPLE))
    return near if abs(near - seconds) <= _NEAR * seconds else seconds


def wanted_limits(settings: VlmSettings, frames: int | None = None, rate: float | None = None) -> VisualLimits:
    """How much of a video the settings ask for.

    Args:
        settings: sampling and limits of pixels.
        frames, rate: the checkpoint's own, where the settings leave them open.

    Raises:
        ModelError: frames are to be counted, and nothing says how many.
    """
    fewest = min(settings.min_pixels, settings.max_pixels)
    view = replace(settings.view(), chroma=settings.chroma)
    limits = VisualLimits(most_pixels=settings.max_pixels, fewest_pixels=fewest, view=view)
    counted = settings.frames or frames
    if settings.sampling == "count" and counted is None:
        raise ModelError("sampling count: say how many by `frames`; this checkpoint does not.")
    if counted is not None and settings.sampling in (None, "count"):
        return replace(limits, rate=None, frames=counted)
    return replace(limits, rate=settings.fps or rate or VisualLimits.rate, spread=settings.sampling != "rate")


@dataclass(frozen=True)
class Prompt:
    """A question in tokens, in two parts: what stands before the video's tokens, and what stands behind.

    Attributes:
        before, after: token ids.
    """

    before: Sequence[int]
    after: Sequence[int]

    @property
    def tokens(self) -> int:
        """Its length without the video."""
        return len(self.before) + len(self.after)

"""From clips to what a Qwen2.5-VL model reads. The numbers are those of its own processor, made in batches.

The processor spends more time on a short clip than a small model does: it matches the prompt anew for every video, and
patches one video at a time on the CPU. Here the prompt is split into tokens once, and frames stay uint8 until they are
where the model is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.video import Video

# A frame that is hundreds of times as wide as it is high has no size in whole patches.
MOST_ASPECT = 200
# Times of frames are rounded to those that there are.
_SIMPLE, _NEAR = 24, 0.002


@dataclass(frozen=True)
class Sight:
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


@dataclass(frozen=True)
class SeenClip:
    """A clip at the size at which the model reads it.

    Attributes:
        id: of the video.
        frames: uint8 RGB, shape (T, 3, H, W); T is a multiple of `Sight.span`, H and W of `Sight.patch`.
        seconds_per_grid: that one step of the temporal grid spans.
        tokens: that the video takes in the model's context.
    """

    id: str
    frames: NDArray[np.uint8]
    seconds_per_grid: float
    tokens: int


def seen_size(height: int, width: int, frames: int, sight: Sight) -> tuple[int, int]:
    """Height and width at which frames are read: multiples of the patch, within the pixel limits, near the proportion.

    Args:
        height, width: in pixels; one is at most 200 times the other.
        frames: of the clip.
        sight: the limits.

    Raises:
        ValueError: the proportion is more extreme than 1:200.

    Source: smart_resize and the limits of qwen-vl-utils, as in transformers' Qwen2VLVideoProcessor.

    >>> seen_size(1080, 1920, 40, Sight())
    (560, 1008)
    """
    if max(height, width) > MOST_ASPECT * min(height, width):
        raise ValueError(f"a frame of {width}x{height} pixels is more than {MOST_ASPECT} times as long as it is wide")
    patch = sight.patch
    share = sight.total_pixels * sight.span // frames
    most = max(min(sight.most_pixels, share), int(sight.fewest_pixels * 1.05))
    rows, columns = round(height / patch) * patch, round(width / patch) * patch
    if rows * columns > most:
        shrink = math.sqrt(height * width / most)
        rows, columns = (max(patch, math.floor(side / shrink / patch) * patch) for side in (height, width))
    elif rows * columns < sight.fewest_pixels:
        grow = math.sqrt(sight.fewest_pixels / (height * width))
        rows, columns = (math.ceil(side * grow / patch) * patch for side in (height, width))
    return rows, columns


def sampling_of(sight: Sight) -> Sampling:
    """How the frames of a video are sampled."""
    if sight.frames is not None:
        return Sampling(frames=sight.frames)
    return Sampling(rate=sight.rate, spread=sight.spread, at_least=sight.fewest_frames, at_most=sight.most_frames)


def see_video(video: Video, sight: Sight) -> SeenClip | Undecodable:
    """Decodes a video as a model sees it, or says why it cannot be; made for worker processes."""
    clip = decode_video(video, sampling_of(sight))
    return clip if isinstance(clip, Undecodable) else see(clip, sight, sight.rate)


def crashed(video: Video) -> SeenClip | Undecodable:
    """In place of what `see_video` gives, for a video that kills its worker process."""
    return Undecodable(video.path or video.id, "the decoder crashed on it")


def see(clip: Clip, sight: Sight, rate: float | None = None) -> SeenClip | Undecodable:
    """A clip at the size at which a model reads it.

    Frames are resized by antialiased bicubic interpolation, as the processor does; the last one is repeated until their
    number is a multiple of `Sight.span`.

    Args:
        clip: frames of any size.
        sight: the limits.
        rate: at which frames were asked for, which is what the model is told, as in its training, also where a short
            video has more of them and a long one fewer; None measures it.
    """
    count, _, height, width = clip.frames.shape
    try:
        size = seen_size(height, width, count + -count % sight.span, sight)
    except ValueError as error:
        return Undecodable(clip.id, str(error))
    # Frame by frame: a 4K clip as one batch takes gigabytes. On uint8, as torchvision does it for the processor.
    frames = (torch.from_numpy(frame)[None] for frame in clip.frames)
    resized = [interpolate(frame, size, mode="bicubic", antialias=True)[0] for frame in frames]
    resized += [resized[-1]] * (-count % sight.span)
    seconds = sight.span / rate if rate else measured_seconds(clip, sight.span)
    tokens = len(resized) // sight.span * size[0] * size[1] // sight.patch**2
    return SeenClip(clip.id, torch.stack(resized).numpy(), seconds, tokens)


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


def tokenise_prompt(processor: Any, question: str, reply: str = "") -> Prompt:
    """Puts a question about a video into a model's chat form.

    Args:
        processor: of the checkpoint; its chat template is used.
        question: as in `prompts`.
        reply: what the model's answer is made to begin with.
    """
    content = [{"type": "video"}, {"type": "text", "text": question}]
    turn = [{"role": "user", "content": content}]
    text = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) + reply
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    place = ids.index(processor.video_token_id)
    return Prompt(ids[:place], ids[place + 1 :])


@dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std of 8-bit pixels, a value a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, video_processor: Any) -> "Normalisation":
        scale = 1.0 / video_processor.rescale_factor
        return cls(
            tuple(m * scale for m in video_processor.image_mean), tuple(s * scale for s in video_processor.image_std)
        )


def patches(
    clips: Sequence[SeenClip], normalisation: Normalisation, patch: int, span: int, device: torch.device
) -> Tensor:
    """Clips as rows of normalised pixels, one a patch of the vision encoder, in the order in which it reads them.

    Args:
        clips: to be read.
        normalisation: of the checkpoint.
        patch: side of the encoder's own patch in pixels, half of `Sight.patch`.
        span: frames a patch.
        device: to work on.

    Returns:
        float32, shape (sum of T / span * H / patch * W / patch, 3 * span * patch * patch).

    Source: the order of transformers' Qwen2VLVideoProcessor.patchify.
    """
    mean, std = (torch.tensor(values, device=device).view(3, 1) for values in (normalisation.mean, normalisation.std))
    size = span * patch * patch
    pixels = torch.empty((sum(clip.frames.size for clip in clips) // (3 * size), 3, size), device=device)
    filled = 0
    for clip in clips:
        frames = torch.from_numpy(clip.frames).to(device)
        count, channels, height, width = frames.shape
        rows, columns = height // patch, width // patch
        grid = frames.view(count // span, span, channels, rows // 2, 2, patch, columns // 2, 2, patch)
        ordered = grid.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        # Straight to its place, and normalised while it is in the cache.
        part = pixels[filled : filled + count // span * rows * columns]
        part.view(ordered.shape).copy_(ordered)
        part.sub_(mean).div_(std)
        filled += len(part)
    return pixels.flatten(1)


def collate(
    clips: Sequence[SeenClip],
    prompts: Sequence[Prompt],
    *,
    video_token: int,
    pad_token: int,
    normalisation: Normalisation,
    patch: int,
    span: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """A left-padded batch: all arguments of the model's forward pass that a video needs.

    Args:
        clips: of any sizes and lengths.
        prompts: one a clip.
        video_token, pad_token: ids of the checkpoint's tokenizer.
        normalisation, patch, span, device: as in `patches`.

    Returns:
        input_ids, attention_mask, mm_token_type_ids (each (B, L)), pixel_values_videos, video_grid_thw (B, 3) and
        second_per_grid_ts (B,). Without one of the last three transformers raises nothing and computes something else.
    """
    rows = [[*p.before, *[video_token] * c.tokens, *p.after] for c, p in zip(clips, prompts, strict=True)]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad_token] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    grids = [(len(c.frames) // span, c.frames.shape[2] // patch, c.frames.shape[3] // patch) for c in clips]
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        # 2 stands for video.
        "mm_token_type_ids": ((ids == video_token) & (mask == 1)).int().to(device) * 2,
        "pixel_values_videos": patches(clips, normalisation, patch, span, device),
        "video_grid_thw": torch.tensor(grids, device=device),
        "second_per_grid_ts": torch.tensor([clip.seconds_per_grid for clip in clips], device=device),
    }


def wanted_sight(settings: VlmSettings, frames: int | None = None, rate: float | None = None) -> Sight:
    """How much of a video the settings ask for.

    Args:
        settings: sampling and limits of pixels.
        frames, rate: the checkpoint's own, where the settings leave them open.

    Raises:
        ModelError: frames are to be counted, and nothing says how many.
    """
    fewest = min(settings.min_pixels, settings.max_pixels)
    limits = Sight(most_pixels=settings.max_pixels, fewest_pixels=fewest)
    counted = settings.frames or frames
    if settings.sampling == "count" and counted is None:
        raise ModelError("sampling count: say how many by `frames`; this checkpoint does not.")
    if counted is not None and settings.sampling in (None, "count"):
        return replace(limits, rate=None, frames=counted)
    return replace(limits, rate=settings.fps or rate or Sight.rate, spread=settings.sampling != "rate")


def limited(sight: Sight, video_processor: Any) -> Sight:
    """A sight within what a checkpoint's own processor allows, so that a small model gets small frames."""
    size = video_processor.size
    most = min(sight.most_pixels, int(size["longest_edge"]))
    patch = int(video_processor.patch_size) * int(video_processor.merge_size)
    span = int(video_processor.temporal_patch_size)
    return replace(sight, most_pixels=most, fewest_pixels=min(sight.fewest_pixels, most), patch=patch, span=span)

"""From frames to the pixels that a vision encoder reads: the numbers of the checkpoint's own image processor.

The processor's work is done in two halves. Resizing and cropping happens on 8-bit pixels in the process that decoded
them, so that frames of 224 x 224 and not of 1920 x 1080 go to the model; scaling to floats happens where the model is,
for a whole batch. Frames are resized with their channels interleaved: the same numbers, in half the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdsvqa.models.transformers_vision import TorchvisionBackend
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.video import Video

# Arguments of a vision model's forward pass; the first axis of each counts frames.
Pixels = Mapping[str, NDArray[Any]]
# Sizes of frames on which the two halves are held against the whole: wide and larger, high and smaller.
_TRIALS = ((300, 500), (90, 60))
# Bytes of frames that are resized together.
_CACHED = 4 << 20


@dataclass(frozen=True)
class Preparation:
    """What an image processor does to frames.

    Attributes:
        processor: of the checkpoint.
        in_halves: whether its work can be split; else all of it is done by `shrink`.
    """

    processor: Any
    in_halves: bool

    @classmethod
    def of(cls, processor: Any) -> "Preparation":
        """In halves where those give what the processor gives, to the last bit."""
        return cls(processor, _halves_agree(processor))

    def shrink(self, frames: NDArray[np.uint8]) -> Pixels:
        """The first half: frames at the size at which the model reads them.

        Args:
            frames: uint8 RGB of one video, shape (T, 3, H, W).

        Returns:
            "pixel_values", uint8 of shape (T, 3, h, w); where the work is not split, all that the processor gives.
        """
        if not self.in_halves:
            listed = [torch.from_numpy(frame) for frame in frames]
            found = self.processor(images=listed, input_data_format="channels_first", return_tensors="pt")
            return {name: values.numpy() for name, values in found.items()}
        # Large frames one after the other, in one place that stays in the cache; small ones together.
        together = max(1, _CACHED // frames[0].size)
        packed = np.empty((together, *frames.shape[2:], 3), np.uint8)
        shrunk: list[NDArray[np.uint8]] = []
        for start in range(0, len(frames), together):
            part = frames[start : start + together]
            for place, frame in zip(packed, part, strict=False):
                cv2.merge(list(frame), place)
            pictures = self._resized(torch.from_numpy(packed[: len(part)]).permute(0, 3, 1, 2))
            shrunk += [np.stack(cv2.split(picture)) for picture in pictures.permute(0, 2, 3, 1).numpy()]
        return {"pixel_values": np.stack(shrunk)}

    def _resized(self, pictures: Tensor) -> Tensor:
        if self.processor.do_resize:
            pictures = self.processor.resize(pictures, self.processor.size, self.processor.resample)
        if self.processor.do_center_crop:
            pictures = self.processor.center_crop(pictures, self.processor.crop_size)
        return pictures

    def scale(self, pixel_values: Tensor) -> Tensor:
        """The second half: floats as the model expects them.

        Args:
            pixel_values: of `shrink`, frames of any number of videos, on any device.
        """
        if not self.in_halves:
            return pixel_values
        done = self.processor
        scaled: Tensor = done.rescale_and_normalize(
            pixel_values, done.do_rescale, done.rescale_factor, done.do_normalize, done.image_mean, done.image_std
        )
        return scaled


def _halves_agree(processor: Any) -> bool:
    if not isinstance(processor, TorchvisionBackend):
        return False
    halves, whole = Preparation(processor, True), Preparation(processor, False)
    for height, width in _TRIALS:
        frames = np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
        wanted = whole.shrink(frames)
        try:
            found = halves.scale(torch.from_numpy(halves.shrink(frames)["pixel_values"]))
        except (AttributeError, TypeError, ValueError, RuntimeError):
            return False
        if set(wanted) != {"pixel_values"} or not np.array_equal(found.numpy(), wanted["pixel_values"]):
            return False
    return True


def pixel_row(video: Video, sampling: Sampling, preparation: Preparation) -> dict[str, Any]:
    """Decodes a video and prepares its frames; made for worker processes.

    Args:
        sampling: which frames, and how they are shown.

    Returns:
        "id", "note", and "status": "ok" beside "pixels", or why there are none beside "text".
    """
    cv2.setNumThreads(1)
    clip = decode_video(video, sampling)
    if isinstance(clip, Undecodable):
        return {"id": video.id, "status": "undecodable", "text": clip.reason}
    try:
        return {"id": video.id, "status": "ok", "pixels": preparation.shrink(clip.frames), **clip.columns}
    except (ValueError, RuntimeError, MemoryError) as error:
        size = f"{clip.frames.shape[3]}x{clip.frames.shape[2]}"
        return {"id": video.id, "status": "failed", "text": f"its frames of {size} cannot be prepared: {error}"}

"""Vision encoders of the Hugging Face Hub: which are taken, how they are loaded, frames in, unit vectors out.

CLIP       the projected image embedding
SigLIP     the pooled output; SigLIP 2 too, of a fixed size or NaFlex
DINOv2     the class token behind the last norm; with registers or without
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from mdsvqa.models.batching import run_halving
from mdsvqa.models.checkpoints import find_checkpoint, pick_device, pick_dtype, short_reason, weights_fingerprint
from mdsvqa.models.encoders.pixels import Pixels, Preparation
from mdsvqa.models.settings import ContentSettings
from mdsvqa.models.transformers_vision import (
    AutoConfig,
    AutoImageProcessor,
    CLIPVisionModelWithProjection,
    Dinov2Model,
    Dinov2WithRegistersModel,
    Siglip2VisionModel,
    SiglipVisionModel,
    quiet,
)
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import fingerprint

# By the `model_type` of a checkpoint; each class loads the vision part of a full checkpoint, and nothing else of it.
CLASSES: Mapping[str, Any] = {
    "clip": CLIPVisionModelWithProjection,
    "clip_vision_model": CLIPVisionModelWithProjection,
    "siglip": SiglipVisionModel,
    "siglip_vision_model": SiglipVisionModel,
    "siglip2": Siglip2VisionModel,
    "siglip2_vision_model": Siglip2VisionModel,
    "dinov2": Dinov2Model,
    "dinov2_with_registers": Dinov2WithRegistersModel,
}
TAKEN = (
    "expected a CLIP, SigLIP, SigLIP 2 or DINOv2 checkpoint, such as openai/clip-vit-large-patch14, "
    "google/siglip2-base-patch16-224 or facebook/dinov2-base"
)
# Frames of a forward pass: what a CPU's caches like, what fills a large GPU.
CPU_BATCH, GPU_BATCH = 32, 256
# What a frame's feature depends on beside the weights.
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
NO_MEMORY = "one frame does not fit the device's memory"
NO_DIRECTION = "the encoder gives no finite numbers for its frames; try dtype float32"


class EncoderError(InputError):
    """A content encoder that cannot be used; the message names it, what was found and what is taken."""


@dataclass(frozen=True)
class EncoderFiles:
    """A vision encoder's checkpoint on this machine, its weights not loaded yet.

    Attributes:
        name: as it was asked for.
        folder: of the files.
        loader: transformers' class of its vision part.
        config: of the vision part.
        preparation: of frames.
        dims: of a feature.
        maker: names the files.
    """

    name: str
    folder: Path
    loader: Any
    config: Any
    preparation: Preparation
    dims: int
    maker: Mapping[str, str]


def find_encoder(name: str) -> EncoderFiles:
    """Finds a checkpoint, fetching it if need be, and reads all of it but the weights.

    Args:
        name: a folder, or owner/name on the Hugging Face Hub, with @revision if wanted.

    Raises:
        EncoderError: it is of another architecture, lacks weights in safetensors, or its files cannot be read.
        ModelError: there is no such folder, and it cannot be fetched.
    """
    folder = find_checkpoint(name, what="encoder")
    try:
        found: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"encoder {name!r}: {folder} has no readable config.json ({error}); {TAKEN}.") from None
    kind = found.get("model_type")
    if kind not in CLASSES:
        architecture = (found.get("architectures") or ["model without a class"])[0]
        raise EncoderError(f"encoder {name!r}: is a {architecture} of type {kind!r}; {TAKEN}.")
    if not any(folder.glob("*.safetensors")):
        raise EncoderError(
            f"encoder {name!r}: {folder} has no weights in safetensors, and pickled ones are never loaded; name a "
            "revision that has them, such as owner/name@refs/pr/1."
        )
    try:
        with quiet():
            whole = AutoConfig.from_pretrained(folder, local_files_only=True)
            preparation = Preparation.of(AutoImageProcessor.from_pretrained(folder, local_files_only=True))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = short_reason(error)
        raise EncoderError(
            f"encoder {name!r}: the image processor or the configuration in {folder} cannot be read: {reason}"
        ) from error
    config = getattr(whole, "vision_config", whole)
    if kind == "clip":
        # The projection belongs to the whole; the vision part has a number of its own, which may be another.
        config.projection_dim = whole.projection_dim
    loader = CLASSES[kind]
    if not getattr(config, "vision_use_head", True):
        raise EncoderError(f"encoder {name!r}: has no pooled output (vision_use_head is false); {TAKEN}.")
    dims = config.projection_dim if loader is CLIPVisionModelWithProjection else config.hidden_size
    return EncoderFiles(name, folder, loader, config, preparation, int(dims), _maker(name, folder))


def _maker(name: str, folder: Path) -> dict[str, str]:
    # By name and content, not by place: a checkpoint's folder may move.
    local = Path(name).expanduser().is_dir()
    configs = [(folder / file).read_text(encoding="utf-8") for file in _CONFIGS if (folder / file).is_file()]
    return {
        "encoder": folder.resolve().name if local else name.partition("@")[0],
        # The Hub's cache names a snapshot's folder by its commit.
        "revision": "" if local else folder.name,
        "weights": weights_fingerprint(folder),
        "configuration": fingerprint(configs),
    }


class VisionEncoder:
    """A loaded vision encoder.

    Args:
        model: in evaluation mode, on its device.
        preparation: of its frames.
        batch: frames of a forward pass; None takes what the device likes.
    """

    def __init__(self, model: Any, preparation: Preparation, batch: int | None = None) -> None:
        self.model, self.preparation = model, preparation
        weights = next(model.parameters())
        self.device, self.dtype = weights.device, weights.dtype
        self.batch = batch or (CPU_BATCH if self.device.type == "cpu" else GPU_BATCH)

    def encode(self, videos: Sequence[Pixels]) -> list[NDArray[np.float32] | str]:
        """Encodes the frames of videos in batches that are filled across videos.

        Args:
            videos: as `Preparation.shrink` makes them.

        Returns:
            For each video its frames' features, unit norm, shape (T, dims); or why it has none. A batch that does not
            fit the device's memory is halved.
        """
        encoded: list[list[NDArray[np.float32] | str]] = [[] for _ in videos]
        for batch in _batches(videos, self.batch):
            for (video, _), feature in zip(batch, self._encode_batch(videos, batch), strict=True):
                encoded[video].append(feature)
        return [_joined(features) for features in encoded]

    def _encode_batch(
        self, videos: Sequence[Pixels], batch: Sequence[tuple[int, int]]
    ) -> list[NDArray[np.float32] | str]:
        def run(places: Sequence[tuple[int, int]]) -> list[NDArray[np.float32] | str]:
            frames = [{name: values[frame] for name, values in videos[video].items()} for video, frame in places]
            return list(self._forward({name: np.stack([frame[name] for frame in frames]) for name in frames[0]}))

        return run_halving(batch, run, lambda place: NO_MEMORY)

    @torch.inference_mode()
    def _forward(self, pixels: Pixels) -> NDArray[np.float32]:
        inputs = {name: torch.from_numpy(values).to(self.device) for name, values in pixels.items()}
        inputs["pixel_values"] = self.preparation.scale(inputs["pixel_values"]).to(self.dtype)
        found = self.model(**inputs)
        feature = found.image_embeds if "image_embeds" in found else found.pooler_output
        return normalize(feature.float(), dim=-1).cpu().numpy()


def _batches(videos: Sequence[Pixels], size: int) -> Iterator[list[tuple[int, int]]]:
    """Places (video, frame) by at most `size`, in order; frames of different shapes are not in one batch."""
    groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, int]]] = {}
    for video, pixels in enumerate(videos):
        shapes = tuple(values.shape[1:] for values in pixels.values())
        groups.setdefault(shapes, []).extend((video, frame) for frame in range(len(pixels["pixel_values"])))
    for places in groups.values():
        for start in range(0, len(places), size):
            yield places[start : start + size]


def _joined(features: Sequence[NDArray[np.float32] | str]) -> NDArray[np.float32] | str:
    frames = []
    for feature in features:
        if isinstance(feature, str):
            return feature
        # Overflow in half precision makes NaN, or a vector of length 0.
        if not abs(float(np.linalg.norm(feature)) - 1) < 0.01:
            return NO_DIRECTION
        frames.append(feature)
    return np.stack(frames)


def load_encoder(files: EncoderFiles, settings: ContentSettings) -> VisionEncoder:
    """Loads the vision part of a checkpoint.

    Args:
        files: of `find_encoder`.
        settings: device, precision, batch.

    Raises:
        EncoderError: the weights do not fit, or some are not there.
    """
    device = pick_device(settings.device)
    half = settings.dtype == "auto" and device.type == "cuda"
    try:
        with quiet():
            model, report = files.loader.from_pretrained(
                files.folder,
                config=files.config,
                dtype=torch.float16 if half else pick_dtype(settings.dtype, device),
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
            model = model.to(device).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EncoderError(f"encoder {files.name!r}: {files.folder} cannot be loaded: {short_reason(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        # transformers would go on with random numbers.
        raise EncoderError(
            f"encoder {files.name!r}: its weights lack {missing[0]} ({len(missing)} missing) of a "
            f"{files.loader.__name__}; {TAKEN}."
        )
    return VisionEncoder(model, files.preparation, settings.batch_size)

"""Any class that transformers loads for images and text and that no file here knows: replies, by its own processor.

The processor is asked anew for every video, one video at a time. What needs a family's own knowledge is not offered:
the expected score and all that is trained by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits, wanted_limits
from mdsvqa.models.vlm.families.base import FirstLook
from mdsvqa.models.vlm.families.transformers_family import TransformersFamily

# Pictures of a video where the checkpoint takes pictures only and nothing says how many: they take whole contexts.
PICTURES = 8


@dataclass(frozen=True)
class AskedInWords(Prompt):
    """A question that a processor puts into tokens together with the video.

    Attributes:
        question: what is asked.
        reply: what the answer is made to begin with.
    """

    question: str = ""
    reply: str = ""


class Other(TransformersFamily):
    """A class by its name; see `Family`."""

    lora_targets = r".*\b[qkvo]_proj"
    specials = ()
    vision = "model.vision"

    def __init__(self, architecture: str) -> None:
        self.model_class = self.name = architecture
        self.architectures = (architecture,)
        self.placeholders: tuple[str, ...] = ()
        self.limits: str = (
            f"{architecture} is no family that is known here: its own processor reads one video at a time, which is "
            "slower; replies are offered, the expected score and what is trained by it are not."
        )

    def current_name(self, name: str) -> str:
        """See `Family`."""
        return name

    def old_name(self, name: str) -> str:
        """See `Family`."""
        return name

    def speed_up(self, model: Any) -> None:
        """See `Family`. Pixels come in the precision of the weights, which not all of these classes see to."""
        if getattr(model, "_takes_its_precision", False):
            return
        model.register_forward_pre_hook(_in_precision, with_kwargs=True)
        model._takes_its_precision = True

    def sight(self, settings: VlmSettings, processor: Any) -> VisualLimits:
        """See `Family`. Frames within the limits of pixels; their size for the model is the processor's affair.

        The tokens of pictures are those that the processor names.
        """
        named = (getattr(processor, name, None) for name in ("image_token", "video_token"))
        self.placeholders = tuple(token for token in named if isinstance(token, str))
        video = getattr(processor, "video_processor", None)
        counted = getattr(video, "num_frames", None) or (PICTURES if video is None else None)
        counted = counted if settings.fps is None and settings.sampling in (None, "count") else None
        limits = wanted_limits(settings, counted, getattr(video, "fps", None))
        return replace(limits, fewest_pixels=1, patch=1, span=1)

    def prompt(self, processor: Any, question: str, reply: str = "") -> Prompt:
        """See `Family`."""
        ids = processor.tokenizer(question + reply, add_special_tokens=False)["input_ids"]
        return AskedInWords([], ids, question, reply)

    def batch(
        self,
        clips: Sequence[ModelClip],
        prompts: Sequence[Prompt],
        processor: Any,
        sight: VisualLimits,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """See `Family`."""
        found = [_text(processor, clip, prompt) for clip, prompt in zip(clips, prompts, strict=True)]
        frames = [torch.from_numpy(clip.frames) for clip in clips]
        options: dict[str, Any] = {"text": found, "padding": True, "padding_side": "left", "return_tensors": "pt"}
        if getattr(processor, "video_processor", None) is not None:
            rates = [1 / clip.seconds_per_grid for clip in clips]
            options["videos"] = frames
            options["videos_kwargs"] = {"do_sample_frames": False}
            options["video_metadata"] = [
                {"fps": rate, "total_num_frames": len(f), "frames_indices": list(range(len(f)))}
                for rate, f in zip(rates, frames, strict=True)
            ]
        else:
            options["images"] = [list(each) for each in frames]
        batch = processor(**options)
        return {name: value.to(device) for name, value in batch.items() if isinstance(value, Tensor)}

    def visual_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Family`."""
        return {name: value for name, value in batch.items() if name not in ("input_ids", "attention_mask")}

    def token_kinds(self, ids: Tensor, mask: Tensor, processor: Any) -> dict[str, Tensor]:
        """See `Family`."""
        raise ModelError(self.limits)

    def tree_positions(self, model: Any, batch: Mapping[str, Tensor], depth: Tensor) -> tuple[Tensor, Tensor]:
        """See `Family`."""
        raise ModelError(self.limits)

    def tiny_processor(self, tokenizer: Any, pixels: int, frames: int) -> Any:
        """See `Family`."""
        raise ModelError(self.limits)

    def tiny_config(self, tokenizer: Any, width: int) -> Any:
        """See `Family`."""
        raise ModelError(self.limits)

    def first_look(self, model: Any) -> FirstLook:
        """See `Family`."""
        raise ModelError(self.limits)


def other(architecture: str) -> Other | None:
    """The family of a class that transformers loads for images and text; None where it does not."""
    known = transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values()
    return Other(architecture) if architecture in known and hasattr(transformers, architecture) else None


def _text(processor: Any, clip: ModelClip, prompt: Prompt) -> str:
    """The chat form of a question about a video, which is one placeholder or one for each frame."""
    assert isinstance(prompt, AskedInWords)
    as_video = getattr(processor, "video_processor", None) is not None
    seen = [{"type": "video"}] if as_video else [{"type": "image"}] * len(clip.frames)
    turn = [{"role": "user", "content": [*seen, {"type": "text", "text": prompt.question}]}]
    text: str = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    return text + prompt.reply


def _in_precision(model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    dtype = next(model.parameters()).dtype
    pixels = {
        name: value.to(dtype) if name.startswith("pixel") and value.is_floating_point() else value
        for name, value in named.items()
        if isinstance(value, Tensor)
    }
    return arguments, {**named, **pixels}

"""InternVL (2.5 to 3.5) in transformers' own classes: each frame is a square picture with its number before it.

Its language model counts positions as any other does. Checkpoints in the authors' own classes (InternVLChatModel) are
others' files: those that are named -hf are these.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits, wanted_limits
from mdsvqa.models.vlm.families.base import FirstLook
from mdsvqa.models.vlm.families.qwen2_5_vl import SEEING, SPREAD, Normalisation, tiny_text
from mdsvqa.models.vlm.families.transformers_family import TransformersFamily, padded

# Frames that InternVL3-VQAThinker-8B was trained and is tested with.
FRAMES = 12
_PATCH, _SHRINK = 14, 0.5
_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<IMG_CONTEXT>\n{% elif part['type'] == 'video' %}<video>\n"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class InternVL(TransformersFamily):
    """See `Family`.

    Source: frames at the centres of equal parts, one square picture each, as `get_index` and `load_video` of
    OpenGVLab/InternVL, internvl_chat/eval/mvbench/evaluate_mvbench.py, and of clh124/VQAThinker, test/single_infer.py.
    """

    name = "InternVL"
    model_class = "InternVLForConditionalGeneration"
    architectures: tuple[str, ...] = (model_class,)
    specials = ("<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>")
    placeholders = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>")
    vision = "model.vision_tower."

    def current_name(self, name: str) -> str:
        """See `Family`; transformers 4.52 gave modules other names.

        >>> current = InternVL().current_name
        >>> current("language_model.model.layers.0.mlp.up_proj"), current("language_model.lm_head")
        ('model.language_model.layers.0.mlp.up_proj', 'lm_head')
        """
        name = re.sub(r"^language_model\.lm_head\b", "lm_head", name)
        name = re.sub(r"^language_model\.model\b", "model.language_model", name)
        return re.sub(r"^(vision_tower|multi_modal_projector)\b", r"model.\1", name)

    def old_name(self, name: str) -> str:
        """See `Family`.

        >>> old = InternVL().old_name
        >>> old("model.language_model.norm"), old("lm_head"), old("model.vision_tower.encoder")
        ('language_model.model.norm', 'language_model.lm_head', 'vision_tower.encoder')
        """
        name = re.sub(r"^lm_head\b", "language_model.lm_head", name)
        name = re.sub(r"^model\.language_model\b", "language_model.model", name)
        return re.sub(r"^model\.(vision_tower|multi_modal_projector)\b", r"\1", name)

    def speed_up(self, model: Any) -> None:
        """See `Family`. All frames of a batch go through the vision tower at once as it is."""

    def sight(self, settings: VlmSettings, processor: Any) -> VisualLimits:
        """See `Family`. The size of frames is the checkpoint's, whatever the settings say of pixels."""
        video = processor.video_processor
        asked = settings.fps is not None or settings.sampling in ("rate", "reference")
        counted = None if asked else getattr(video, "num_frames", None) or FRAMES
        side = int(video.size["height"])
        return replace(
            wanted_limits(settings, counted, getattr(video, "fps", None)),
            most_pixels=side**2,
            fewest_pixels=side**2,
            patch=side // round(processor.image_seq_length**0.5),
            span=1,
            side=side,
            beside=len(_number(processor.tokenizer, 10)) + 2,
        )

    def batch(
        self,
        clips: Sequence[ModelClip],
        prompts: Sequence[Prompt],
        processor: Any,
        sight: VisualLimits,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """See `Family`."""
        told = zip(clips, prompts, strict=True)
        rows = [[*p.before, *_pictures(processor, len(c.frames)), *p.after] for c, p in told]
        ids, mask = padded(rows, processor.tokenizer.pad_token_id)
        normalisation = Normalisation.of(processor.video_processor)
        mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (normalisation.mean, normalisation.std))
        pixels = torch.cat([torch.from_numpy(clip.frames).to(device) for clip in clips])
        return {
            "input_ids": ids.to(device),
            "attention_mask": mask.to(device),
            "pixel_values": pixels.float().sub_(mean).div_(std),
        }

    def visual_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Family`."""
        return {"pixel_values": batch["pixel_values"]}

    def token_kinds(self, ids: Tensor, mask: Tensor, processor: Any) -> dict[str, Tensor]:
        """See `Family`. There are none."""
        return {}

    def tree_positions(self, model: Any, batch: Mapping[str, Tensor], depth: Tensor) -> tuple[Tensor, Tensor]:
        """See `Family`. Padding is counted too, as the forward pass counts: only distances matter."""
        size, length = batch["input_ids"].shape
        places = torch.arange(length, device=batch["input_ids"].device)
        return places.expand(size, -1), (length + depth.to(places.device)).expand(size, -1)

    def tiny_processor(self, tokenizer: Any, pixels: int, frames: int) -> Any:
        """See `Family`."""
        token = round(_PATCH / _SHRINK)
        side = max(1, round(pixels**0.5 / token)) * token
        named = {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        }
        tokenizer._set_model_specific_special_tokens(special_tokens=named)
        looks: dict[str, Any] = {
            "size": {"height": side, "width": side},
            "image_mean": (0.485, 0.456, 0.406),
            "image_std": (0.229, 0.224, 0.225),
        }
        return transformers.InternVLProcessor(
            image_processor=transformers.GotOcr2ImageProcessor(**looks),
            tokenizer=tokenizer,
            video_processor=transformers.InternVLVideoProcessor(**looks, num_frames=frames),
            image_seq_length=(side // token) ** 2,
            chat_template=_CHAT,
        )

    def tiny_config(self, tokenizer: Any, width: int) -> Any:
        """See `Family`. Positions of patches are those of a grid of 6 x 6, interpolated for others."""
        text = {"model_type": "qwen2", **tiny_text(tokenizer, width)}
        text["rope_parameters"].pop("mrope_section")
        vision = {
            "hidden_size": SEEING,
            "intermediate_size": 2 * SEEING,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "attention_bias": True,
            "initializer_range": SPREAD,
            "layer_scale_init_value": 1.0,
            "image_size": (6 * _PATCH, 6 * _PATCH),
            "patch_size": (_PATCH, _PATCH),
        }
        return transformers.InternVLConfig(
            text_config=text,
            vision_config=vision,
            image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
            downsample_ratio=_SHRINK,
            tie_word_embeddings=False,
        )

    def first_look(self, model: Any) -> FirstLook:
        """See `Family`."""
        tower = model.model.vision_tower
        mlp = tower.encoder.layer[0].mlp
        return FirstLook(tower.embeddings.patch_embeddings.projection, (mlp.fc1,), mlp.fc2)


def _pictures(processor: Any, frames: int) -> list[int]:
    """A video in tokens: the number of each frame, and its picture between the marks."""
    context = [processor.image_token_id] * processor.image_seq_length
    shown = [processor.start_image_token_id, *context, processor.end_image_token_id]
    return [token for k in range(1, frames + 1) for token in (*_number(processor.tokenizer, k), *shown)]


@lru_cache(maxsize=1024)
def _number(tokenizer: Any, frame: int) -> tuple[int, ...]:
    line = "" if frame == 1 else "\n"
    return tuple(tokenizer(f"{line}Frame{frame}: ", add_special_tokens=False)["input_ids"])


FAMILY = InternVL()

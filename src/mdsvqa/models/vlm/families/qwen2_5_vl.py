"""Qwen2.5-VL. The numbers of a batch are those of its own processor, made in batches.

The processor spends more time on a short clip than a small model does: it matches the prompt anew for every video, and
patches one video at a time on the CPU. Here the prompt is split into tokens once, and frames stay uint8 until they are
where the model is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits, wanted_limits
from mdsvqa.models.vlm.families.base import FirstLook
from mdsvqa.models.vlm.families.fused import gated, use_fused_norms
from mdsvqa.models.vlm.families.qwen2_5_vl_positions import keep_trained_positions
from mdsvqa.models.vlm.families.qwen2_5_vl_tower import speed_up
from mdsvqa.models.vlm.families.transformers_family import TransformersFamily, padded
from mdsvqa.models.vlm.tree_attention import use_tree_attention

# What transformers calls a token of a video.
_VIDEO = 2


# The tiny one's.
_PATCH, _SPAN, _MERGE = 14, 2, 2
# Of the weights at the start: one over the root of the width. The default of 0.02 is made for a width in thousands.
SPREAD = 0.1
# As the family's own: a system turn where there is none, one placeholder a picture or video.
_SYSTEM = (
    "{% if loop.first and m['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
)
TURNS = (
    "<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] in ('video', 'video_url') %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Qwen25VL(TransformersFamily):
    """The family of the paper's models; see `Family`."""

    name = "Qwen2.5-VL"
    model_class = "Qwen2_5_VLForConditionalGeneration"
    architectures: tuple[str, ...] = (model_class,)
    specials = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    placeholders = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
    seen: tuple[str, ...] = ("pixel_values_videos", "video_grid_thw", "second_per_grid_ts")

    def current_name(self, name: str) -> str:
        """See `Family`; transformers 4.52 gave modules other names.

        >>> current = Qwen25VL().current_name
        >>> current("model.layers.0.mlp.up_proj"), current("visual.merger"), current("lm_head")
        ('model.language_model.layers.0.mlp.up_proj', 'model.visual.merger', 'lm_head')
        """
        name = re.sub(r"^visual\b", "model.visual", name)
        return re.sub(r"^model\.(?!language_model\b|visual\b)", "model.language_model.", name)

    def old_name(self, name: str) -> str:
        """See `Family`.

        >>> old = Qwen25VL().old_name
        >>> old("model.language_model.layers.0.mlp.up_proj"), old("model.visual.merger"), old("lm_head")
        ('model.layers.0.mlp.up_proj', 'visual.merger', 'lm_head')
        """
        return re.sub(r"^model\.visual\b", "visual", re.sub(r"^model\.language_model\b", "model", name))

    def speed_up(self, model: Any) -> None:
        """See `Family`."""
        inside = self.inside(model)
        keep_trained_positions(inside)
        inside.get_video_features = MethodType(_video_features, inside)
        speed_up(inside.visual)
        use_fused_norms(inside.language_model)
        use_tree_attention(inside.language_model)
        for layer in inside.language_model.layers:
            layer.mlp.forward = MethodType(_feed_forward, layer.mlp)

    def sight(self, settings: VlmSettings, processor: Any) -> VisualLimits:
        """See `Family`."""
        video = processor.video_processor
        counted = getattr(video, "num_frames", None) if settings.fps is None else None
        return limited(wanted_limits(settings, counted, getattr(video, "fps", None)), video)

    def batch(
        self,
        clips: Sequence[ModelClip],
        prompts: Sequence[Prompt],
        processor: Any,
        sight: VisualLimits,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """See `Family` and `collate`."""
        return collate(
            clips,
            prompts,
            video_token=processor.video_token_id,
            pad_token=processor.tokenizer.pad_token_id,
            normalisation=Normalisation.of(processor.video_processor),
            patch=sight.patch // 2,
            span=sight.span,
            device=device,
        )

    def see(self, model: Any, batch: Mapping[str, Tensor]) -> list[Tensor] | None:
        """See `Family`: the tokens of each video, shape (tokens, width of the language model)."""
        found = self.inside(model).get_video_features(batch["pixel_values_videos"], batch["video_grid_thw"])
        return list(found.pooler_output)

    def visual_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Family`."""
        return {name: batch[name] for name in self.seen}

    def token_kinds(self, ids: Tensor, mask: Tensor, processor: Any) -> dict[str, Tensor]:
        """See `Family`."""
        return {"mm_token_type_ids": ((ids == processor.video_token_id) & (mask > 0)).int() * _VIDEO}

    def tree_positions(self, model: Any, batch: Mapping[str, Tensor], depth: Tensor) -> tuple[Tensor, Tensor]:
        """See `Family`. They go on behind the largest one of the prompt, which the grid of a video shifts."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        grid = {name: batch[name] for name in ("mm_token_type_ids", *self.seen[1:])}
        positions, deltas = self.inside(model).get_rope_index(ids, attention_mask=mask, **grid)
        start = mask.sum(1, keepdim=True) + deltas.to(ids.device)
        return positions.to(ids.device), (start + depth.to(ids.device)).expand(3, len(ids), len(depth))

    def tiny_processor(self, tokenizer: Any, pixels: int, frames: int) -> Any:
        """See `Family`."""
        size = {"shortest_edge": pixels, "longest_edge": pixels}
        sides: dict[str, Any] = {"patch_size": _PATCH, "temporal_patch_size": _SPAN, "merge_size": _MERGE, "size": size}
        return getattr(transformers, self.model_class.replace("ForConditionalGeneration", "Processor"))(
            image_processor=transformers.Qwen2VLImageProcessor(**sides),
            tokenizer=tokenizer,
            video_processor=transformers.Qwen2VLVideoProcessor(**sides, cap_pixels_per_frame=True, num_frames=frames),
            chat_template="{% for m in messages %}" + _SYSTEM + TURNS,
        )

    def tiny_config(self, tokenizer: Any, width: int) -> Any:
        """See `Family`."""
        vision = {
            "hidden_size": SEEING,
            "intermediate_size": 2 * SEEING,
            "out_hidden_size": width,
            "window_size": 4 * _MERGE * _PATCH,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        }
        return transformers.Qwen2_5_VLConfig(
            text_config=tiny_text(tokenizer, width), vision_config=TINY_VISION | vision, **vision_tokens(tokenizer)
        )

    def first_look(self, model: Any) -> FirstLook:
        """See `Family`."""
        visual = model.model.visual
        mlp = visual.blocks[0].mlp
        return FirstLook(visual.patch_embed.proj, (mlp.gate_proj, mlp.up_proj), mlp.down_proj)


def _video_features(self: Any, pixel_values_videos: Tensor, video_grid_thw: Tensor, **options: Any) -> Any:
    """transformers' own, which here also takes what it gave before in the place of pixels."""
    counts = (video_grid_thw.prod(-1) // self.visual.spatial_merge_size**2).tolist()
    if len(pixel_values_videos) == sum(counts):
        return BaseModelOutputWithPooling(pooler_output=pixel_values_videos.split(counts))
    return type(self).get_video_features(self, pixel_values_videos, video_grid_thw, **options)


def _feed_forward(self: Any, x: Tensor) -> Tensor:
    found: Tensor = self.down_proj(gated(self.gate_proj(x), self.up_proj(x), self.act_fn))
    return found


SEEING, _HEADS = 64, 4
TINY_VISION: dict[str, Any] = {
    "depth": 2,
    "initializer_range": SPREAD,
    "num_heads": _HEADS,
    "patch_size": _PATCH,
    "spatial_merge_size": _MERGE,
    "temporal_patch_size": _SPAN,
}


def tiny_text(tokenizer: Any, width: int) -> dict[str, Any]:
    """Configuration of a tiny language model that knows positions of three axes.

    Args:
        tokenizer: says how many words there are.
        width: vLLM wants 128 or another one whose quarter it knows.
    """
    half = width // _HEADS // 2
    # Sums to half of a head's width.
    sections = [half - 2 * (half // 3), half // 3, half // 3]
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "initializer_range": SPREAD,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 3,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS // 2,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": sections},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def vision_tokens(tokenizer: Any) -> dict[str, Any]:
    """What a configuration says of the tokens that stand for pictures."""
    names = {f"{what}_token_id": f"<|{what}_pad|>" for what in ("image", "video")}
    names |= {f"{what}_token_id": f"<|{what}|>" for what in ("vision_start", "vision_end")}
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    return {**ids, "tie_word_embeddings": False}


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
    clips: Sequence[ModelClip], normalisation: Normalisation, patch: int, span: int, device: torch.device
) -> Tensor:
    """Clips as rows of normalised pixels, one a patch of the vision encoder, in the order in which it reads them.

    Args:
        clips: to be read.
        normalisation: of the checkpoint.
        patch: side of the encoder's own patch in pixels, half of `VisualLimits.patch`.
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
    clips: Sequence[ModelClip],
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
        input_ids, attention_mask, mm_token_type_ids (each (B, L)), pixel_values_videos (where all clips have it, what
        the vision tower made of them), video_grid_thw (B, 3) and second_per_grid_ts (B,). Without one of the last three
        transformers raises nothing and computes something else.
    """
    told = zip(clips, prompts, strict=True)
    ids, mask = padded([[*p.before, *[video_token] * c.tokens, *p.after] for c, p in told], pad_token)
    grids = [(len(c.frames) // span, c.frames.shape[2] // patch, c.frames.shape[3] // patch) for c in clips]
    seen = [clip.seen for clip in clips if clip.seen is not None]
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        # 2 stands for video.
        "mm_token_type_ids": ((ids == video_token) & (mask == 1)).int().to(device) * 2,
        "pixel_values_videos": (
            torch.cat([each.to(device) for each in seen])
            if len(seen) == len(clips)
            else patches(clips, normalisation, patch, span, device)
        ),
        "video_grid_thw": torch.tensor(grids, device=device),
        "second_per_grid_ts": torch.tensor([clip.seconds_per_grid for clip in clips], device=device),
    }


def limited(sight: VisualLimits, video_processor: Any) -> VisualLimits:
    """A sight within what a checkpoint's own processor allows, so that a small model gets small frames."""
    size = video_processor.size
    most = min(sight.most_pixels, int(size["longest_edge"]))
    patch = int(video_processor.patch_size) * int(video_processor.merge_size)
    span = int(video_processor.temporal_patch_size)
    return replace(sight, most_pixels=most, fewest_pixels=min(sight.fewest_pixels, most), patch=patch, span=span)


FAMILY = Qwen25VL()

"""Qwen2.5-VL. The numbers of a batch are those of its own processor, made in batches.

The processor spends more time on a short clip than a small model does: it matches the prompt anew for every video, and
patches one video at a time on the CPU. Here the prompt is split into tokens once, and frames stay uint8 until they are
where the model is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import AutoConfig, quiet, transformers
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits, wanted_limits
from mdsvqa.models.vlm.families.fused import gated, use_fused_norms
from mdsvqa.models.vlm.families.qwen2_5_vl_positions import keep_trained_positions
from mdsvqa.models.vlm.families.qwen2_5_vl_tower import speed_up
from mdsvqa.models.vlm.tree_attention import use_tree_attention

# What transformers calls a token of a video.
_VIDEO = 2


class Qwen25VL:
    """The family of the paper's models; see `Family`."""

    name = "Qwen2.5-VL"
    architectures = ("Qwen2_5_VLForConditionalGeneration",)
    lora_targets = r".*\.language_model\..*_proj"
    placeholders = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
    vision = "model.visual."

    def load(self, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
        """See `Family`."""
        with quiet():
            loaded: Any = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder, **options, output_loading_info=True
            )
        return loaded[0], loaded[1]

    def without_weights(self, folder: Path) -> Any:
        """See `Family`."""
        with torch.device("meta"):
            return transformers.Qwen2_5_VLForConditionalGeneration(
                AutoConfig.from_pretrained(folder, local_files_only=True)
            )

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

    def prompt(self, processor: Any, question: str, reply: str = "") -> Prompt:
        """See `Family`."""
        return tokenise_prompt(processor, question, reply)

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

    def see(self, model: Any, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """See `Family`: the tokens of each video, shape (tokens, width of the language model)."""
        found = self.inside(model).get_video_features(batch["pixel_values_videos"], batch["video_grid_thw"])
        return list(found.pooler_output)

    def visual_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Family`."""
        return {name: batch[name] for name in ("pixel_values_videos", "video_grid_thw", "second_per_grid_ts")}

    def token_kinds(self, ids: Tensor, mask: Tensor, processor: Any) -> dict[str, Tensor]:
        """See `Family`."""
        return {"mm_token_type_ids": ((ids == processor.video_token_id) & (mask > 0)).int() * _VIDEO}

    def tree_positions(self, model: Any, batch: Mapping[str, Tensor], depth: Tensor) -> tuple[Tensor, Tensor]:
        """See `Family`. They go on behind the largest one of the prompt, which the grid of a video shifts."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        grid = {name: batch[name] for name in ("mm_token_type_ids", "video_grid_thw", "second_per_grid_ts")}
        positions, deltas = self.inside(model).get_rope_index(ids, attention_mask=mask, **grid)
        start = mask.sum(1, keepdim=True) + deltas.to(ids.device)
        return positions.to(ids.device), (start + depth.to(ids.device)).expand(3, len(ids), len(depth))

    def inside(self, model: Any) -> Any:
        """See `Family`: a Qwen2_5_VLModel."""
        return model.get_base_model().model if hasattr(model, "get_base_model") else model.model

    def language_model(self, model: Any) -> Any:
        """See `Family`."""
        return self.inside(model).language_model


def _video_features(self: Any, pixel_values_videos: Tensor, video_grid_thw: Tensor, **options: Any) -> Any:
    """transformers' own, which here also takes what it gave before in the place of pixels."""
    counts = (video_grid_thw.prod(-1) // self.visual.spatial_merge_size**2).tolist()
    if len(pixel_values_videos) == sum(counts):
        return BaseModelOutputWithPooling(pooler_output=pixel_values_videos.split(counts))
    return type(self).get_video_features(self, pixel_values_videos, video_grid_thw, **options)


def _feed_forward(self: Any, x: Tensor) -> Tensor:
    found: Tensor = self.down_proj(gated(self.gate_proj(x), self.up_proj(x), self.act_fn))
    return found


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
    rows = [[*p.before, *[video_token] * c.tokens, *p.after] for c, p in zip(clips, prompts, strict=True)]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad_token] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
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

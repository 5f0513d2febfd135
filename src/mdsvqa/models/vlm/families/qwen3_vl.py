"""Qwen3-VL: each step of the temporal grid is a picture of its own, with its time in words before it.

Positions do not count time, patches are of 16 pixels, and pixels are normalised by 0.5. transformers' processor of 5.23
puts the steps between the two marks that stood around the placeholder, so that these come twice; in 4.57, which the
checkpoints were released with, the steps replace placeholder and marks. Here they do.
"""

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
from mdsvqa.models.vlm.families.qwen2_5_vl import (
    SEEING,
    TINY_VISION,
    TURNS,
    Normalisation,
    Qwen25VL,
    patches,
    tiny_text,
    vision_tokens,
)
from mdsvqa.models.vlm.families.qwen2_5_vl_tower import speed_up
from mdsvqa.models.vlm.families.transformers_family import padded, tokenise_prompt

_PATCH, _MERGE = 16, 2
# Limits are the first family's in tokens, which are larger here.
_LARGER = (_PATCH * _MERGE / 28) ** 2


class Qwen3VL(Qwen25VL):
    """See `Family`.

    Source: sampling and limits in tokens a frame as in QwenLM/Qwen3-VL, qwen-vl-utils/src/qwen_vl_utils/
    vision_process.py; times as `_calculate_timestamps` of transformers' Qwen3VLProcessor makes them.
    """

    name = "Qwen3-VL"
    model_class = "Qwen3VLForConditionalGeneration"
    architectures = (model_class,)
    seen = ("pixel_values_videos", "video_grid_thw")

    def current_name(self, name: str) -> str:
        """See `Family`; it is younger than the names of today."""
        return name

    def old_name(self, name: str) -> str:
        """See `Family`."""
        return name

    def speed_up(self, model: Any) -> None:
        """See `Family`."""
        speed_up(self.inside(model).visual)

    def see(self, model: Any, batch: Mapping[str, Tensor]) -> list[Tensor] | None:
        """See `Family`: its tower's inner layers are read too, which no tensor of one width holds."""
        return None

    def sight(self, settings: VlmSettings, processor: Any) -> VisualLimits:
        """See `Family`."""
        video = processor.video_processor
        counted = getattr(video, "num_frames", None) if settings.fps is None else None
        limits = wanted_limits(settings, counted, getattr(video, "fps", None))
        patch = int(video.patch_size) * int(video.merge_size)
        usual = type(settings).model_fields
        most, fewest = (
            int(limit * _LARGER) if limit == usual[name].default else limit
            for name, limit in (("max_pixels", limits.most_pixels), ("min_pixels", limits.fewest_pixels))
        )
        most = min(most, int(video.max_video_tokens) * patch**2)
        span = int(video.temporal_patch_size)
        return replace(
            limits,
            most_pixels=most,
            fewest_pixels=min(fewest, most),
            total_pixels=min(int(limits.total_pixels * _LARGER), int(video.size["longest_edge"]) // span),
            patch=patch,
            span=span,
            beside=len(_time(processor.tokenizer, 888.8)) + 2,
        )

    def prompt(self, processor: Any, question: str, reply: str = "") -> Prompt:
        """See `Family`. Without the marks around the placeholder."""
        found = tokenise_prompt(processor, question, reply)
        marks = (processor.vision_start_token_id, processor.vision_end_token_id)
        assert (found.before[-1], found.after[0]) == marks
        return Prompt(found.before[:-1], found.after[1:])

    def batch(
        self,
        clips: Sequence[ModelClip],
        prompts: Sequence[Prompt],
        processor: Any,
        sight: VisualLimits,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """See `Family`."""
        patch = sight.patch // _MERGE
        grids = [(len(c.times), c.frames.shape[2] // patch, c.frames.shape[3] // patch) for c in clips]
        told = zip(clips, prompts, grids, strict=True)
        rows = [[*p.before, *_steps(processor, c.times, grid), *p.after] for c, p, grid in told]
        ids, mask = padded(rows, processor.tokenizer.pad_token_id)
        normalisation = Normalisation.of(processor.video_processor)
        return {
            "input_ids": ids.to(device),
            "attention_mask": mask.to(device),
            **{name: kinds.to(device) for name, kinds in self.token_kinds(ids, mask, processor).items()},
            "pixel_values_videos": patches(clips, normalisation, patch, sight.span, device),
            "video_grid_thw": torch.tensor(grids, device=device),
        }

    def tiny_processor(self, tokenizer: Any, pixels: int, frames: int) -> Any:
        """See `Family`."""
        side = _PATCH * _MERGE
        sides: dict[str, Any] = {"patch_size": _PATCH, "temporal_patch_size": 2, "merge_size": _MERGE}
        video = transformers.Qwen3VLVideoProcessor(
            **sides,
            size={"shortest_edge": side**2, "longest_edge": 24_576 * side**2},
            max_video_tokens=pixels // side**2,
            cap_pixels_per_frame=True,
            num_frames=frames,
        )
        half = (0.5, 0.5, 0.5)
        image = transformers.Qwen2VLImageProcessor(
            **sides, size={"shortest_edge": pixels, "longest_edge": pixels}, image_mean=half, image_std=half
        )
        return transformers.Qwen3VLProcessor(
            image_processor=image,
            tokenizer=tokenizer,
            video_processor=video,
            chat_template="{% for m in messages %}" + TURNS,
        )

    def tiny_config(self, tokenizer: Any, width: int) -> Any:
        """See `Family`."""
        text = tiny_text(tokenizer, width)
        text["head_dim"] = width // text["num_attention_heads"]
        text["rope_parameters"] |= {"mrope_interleaved": True}
        vision = {
            "hidden_size": SEEING,
            "intermediate_size": 2 * SEEING,
            "out_hidden_size": width,
            "patch_size": _PATCH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        }
        return transformers.Qwen3VLConfig(
            text_config=text, vision_config=TINY_VISION | vision, **vision_tokens(tokenizer)
        )

    def first_look(self, model: Any) -> FirstLook:
        """See `Family`."""
        visual = model.model.visual
        mlp = visual.blocks[0].mlp
        return FirstLook(visual.patch_embed.proj, (mlp.linear_fc1,), mlp.linear_fc2)


def _steps(processor: Any, times: Sequence[float], grid: tuple[int, int, int]) -> list[int]:
    """A video in tokens: the time of each step, and its picture between the marks."""
    picture = [processor.video_token_id] * (grid[1] * grid[2] // _MERGE**2)
    shown = [processor.vision_start_token_id, *picture, processor.vision_end_token_id]
    return [token for time in times for token in (*_time(processor.tokenizer, time), *shown)]


@lru_cache(maxsize=4096)
def _time(tokenizer: Any, seconds: float) -> tuple[int, ...]:
    # What is a tie of two tenths but for the last bit is one.
    return tuple(tokenizer(f"<{round(seconds, 6):.1f} seconds>", add_special_tokens=False)["input_ids"])


FAMILY = Qwen3VL()

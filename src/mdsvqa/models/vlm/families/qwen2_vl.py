"""Qwen2-VL: the model before Qwen2.5-VL, with the same tokens and patches; time counts in steps of the grid.

Its vision tower attends to whole frames, and its positions do not say how long a step lasts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits
from mdsvqa.models.vlm.families.base import FirstLook
from mdsvqa.models.vlm.families.qwen2_5_vl import SEEING, TINY_VISION, Qwen25VL, tiny_text, vision_tokens


class Qwen2VL(Qwen25VL):
    """See `Family`. Frames are those of the family behind it: the authors' code for both is one package.

    Source: positions as `get_rope_index` of transformers 4.45 gives them, which `qwen2_5_vl_positions` keeps; sampling
    and sizes as in QwenLM/Qwen2.5-VL, qwen-vl-utils/src/qwen_vl_utils/vision_process.py.
    """

    name = "Qwen2-VL"
    model_class = "Qwen2VLForConditionalGeneration"
    architectures = (model_class,)
    seen = ("pixel_values_videos", "video_grid_thw")

    def batch(
        self,
        clips: Sequence[ModelClip],
        prompts: Sequence[Prompt],
        processor: Any,
        sight: VisualLimits,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """See `Family`."""
        batch = super().batch(clips, prompts, processor, sight, device)
        del batch["second_per_grid_ts"]
        return batch

    def tiny_config(self, tokenizer: Any, width: int) -> Any:
        """See `Family`."""
        vision = TINY_VISION | {"embed_dim": SEEING, "hidden_size": width, "mlp_ratio": 2}
        return transformers.Qwen2VLConfig(
            text_config=tiny_text(tokenizer, width), vision_config=vision, **vision_tokens(tokenizer)
        )

    def first_look(self, model: Any) -> FirstLook:
        """See `Family`."""
        visual = model.model.visual
        mlp = visual.blocks[0].mlp
        return FirstLook(visual.patch_embed.proj, (mlp.fc1,), mlp.fc2)


FAMILY = Qwen2VL()

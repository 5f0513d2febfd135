"""What a family of vision-language models is: all that tells its checkpoints from those of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits


@dataclass(frozen=True)
class FirstLook:
    """The first layers of a vision tower, for `tiny.training.initialise_vision`.

    Attributes:
        embed: the convolution of patches, over time too or not.
        up: what makes the first block's hidden units, a gate among them or not.
        down: what reads them.
    """

    embed: Any
    up: tuple[nn.Linear, ...]
    down: nn.Linear


class Family(Protocol):
    """One family; `families.catalogue` finds the one that a checkpoint belongs to.

    Attributes:
        name: for readers.
        architectures: classes in a checkpoint's config.json.
        lora_targets: regular expression of the full names of the layers that an adapter changes.
        specials: tokens of its tokenizer that stand for no text.
        placeholders: tokens that stand for a picture: a reply that holds one crashes the pass that reads it.
        vision: beginning of the names of the modules that see.
        limits: what is not offered of it, in one sentence; None where everything is.
    """

    name: str
    architectures: tuple[str, ...]
    lora_targets: str
    specials: tuple[str, ...]
    placeholders: tuple[str, ...]
    vision: str
    limits: str | None

    def load(self, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
        """The model of a folder, and what transformers says of its loading; options are those of `from_pretrained`."""
        ...

    def without_weights(self, folder: Path) -> Any:
        """The model of a folder on the device "meta"."""
        ...

    def untrained(self, config: Any) -> Any:
        """A model of a configuration with weights as they are drawn."""
        ...

    def current_name(self, name: str) -> str:
        """The name that a module or tensor has today, where older files call it otherwise."""
        ...

    def old_name(self, name: str) -> str:
        """The name that it had before."""
        ...

    def speed_up(self, model: Any) -> None:
        """Makes a loaded model compute as its checkpoints were trained, and faster; changed in place."""
        ...

    def sight(self, settings: VlmSettings, processor: Any) -> VisualLimits:
        """How much of a video the settings let a checkpoint see, within what its own processor allows.

        Raises:
            ModelError: frames are to be counted, and nothing says how many.
        """
        ...

    def prompt(self, processor: Any, question: str, reply: str = "") -> Prompt:
        """A question about a video in the model's chat form.

        Args:
            processor: of the checkpoint; its chat template is used.
            question: as in `prompts`.
            reply: what the model's answer is made to begin with.
        """
        ...

    def batch(
        self,
        clips: Sequence[ModelClip],
        prompts: Sequence[Prompt],
        processor: Any,
        sight: VisualLimits,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """A left-padded batch: all arguments of the model's forward pass that videos need, one prompt a clip."""
        ...

    def see(self, model: Any, batch: Mapping[str, Tensor]) -> list[Tensor] | None:
        """What the vision tower makes of each clip of a batch, to stand in `ModelClip.seen` for its frames.

        One tensor of any shape a clip; `batch` puts it in the place of pixels where all clips of a batch have it. None
        where a family cannot do that: its videos are then looked at whenever they are read.
        """
        ...

    def visual_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those arguments of a batch that carry the videos."""
        ...

    def token_kinds(self, ids: Tensor, mask: Tensor, processor: Any) -> dict[str, Tensor]:
        """Those arguments that say of each token what it is, for ids and mask of shape (B, L)."""
        ...

    def tree_positions(self, model: Any, batch: Mapping[str, Tensor], depth: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary positions of a batch, shape (..., B, L), and of tokens at some depths behind it, shape (..., B, N).

        What stands before B is the family's own, such as the three axes of pictures.
        """
        ...

    def inside(self, model: Any) -> Any:
        """The model below its head, with or without a PEFT adapter; its output is hidden states."""
        ...

    def language_model(self, model: Any) -> Any:
        """The language model in it."""
        ...

    def tiny_processor(self, tokenizer: Any, pixels: int, frames: int) -> Any:
        """A processor of the family around a tokenizer with its `specials`.

        Args:
            pixels: of every frame, nearly.
            frames: of every video.
        """
        ...

    def tiny_config(self, tokenizer: Any, width: int) -> Any:
        """A configuration of well under a million parameters.

        Args:
            tokenizer: says how many words there are.
            width: of the language model, a multiple of 8.
        """
        ...

    def first_look(self, model: Any) -> FirstLook:
        """The first layers that see."""
        ...

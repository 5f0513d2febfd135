"""What families of transformers' own classes have in common: loading, the chat form, batches of rows of tokens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdsvqa.models.transformers_vision import AutoConfig, quiet, transformers
from mdsvqa.models.vlm.clips import Prompt


class TransformersFamily:
    """Those parts of a `Family` that follow from the name of a class.

    Attributes:
        model_class: of transformers.
        specials: tokens of the family's tokenizer that stand for no text, for a tiny checkpoint.
    """

    model_class: str
    specials: tuple[str, ...]
    lora_targets = r".*\.language_model\..*_proj"
    vision = "model.visual."
    limits: str | None = None

    def load(self, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
        """See `Family`."""
        with quiet():
            loaded: Any = getattr(transformers, self.model_class).from_pretrained(
                folder, **options, output_loading_info=True
            )
        return loaded[0], loaded[1]

    def without_weights(self, folder: Path) -> Any:
        """See `Family`."""
        with torch.device("meta"):
            return self.untrained(AutoConfig.from_pretrained(folder, local_files_only=True))

    def untrained(self, config: Any) -> Any:
        """See `Family`."""
        return getattr(transformers, self.model_class)(config)

    def prompt(self, processor: Any, question: str, reply: str = "") -> Prompt:
        """See `Family`."""
        return tokenise_prompt(processor, question, reply)

    def see(self, model: Any, batch: Mapping[str, Tensor]) -> list[Tensor] | None:
        """See `Family`."""
        return None

    def inside(self, model: Any) -> Any:
        """See `Family`."""
        return model.get_base_model().model if hasattr(model, "get_base_model") else model.model

    def language_model(self, model: Any) -> Any:
        """See `Family`."""
        return self.inside(model).language_model


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
    place = ids.index(processor.tokenizer.convert_tokens_to_ids(processor.video_token))
    return Prompt(ids[:place], ids[place + 1 :])


def padded(rows: Sequence[Sequence[int]], pad_token: int) -> tuple[Tensor, Tensor]:
    """Rows of tokens with padding before them, and 1 where there is none; each of shape (B, L).

    >>> padded([[5], [6, 7]], 0)
    (tensor([[0, 5],
            [6, 7]]), tensor([[0, 1],
            [1, 1]]))
    """
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad_token] * (longest - len(row)) + [*row] for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask

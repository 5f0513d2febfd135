"""The expected score: the mean of all answers that a language model could give, weighed by their probabilities.

Behind `<answer>` a model writes one digit a token, such as 3 . 4 2. The tree of all answers from 1 to 5 with two
decimals has few nodes, so its probabilities come from one pass over the prompt and a short one over the tree, in which
every node sees the prompt and its own ancestors only. The result has no ties, is the same each time, and can be
differentiated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mdsvqa.models.vlm.families.base import Family
from mdsvqa.models.vlm.tree_attention import TREE_ATTENTION

# Of the probability of the first token behind `<answer>`: with less than this on the digits 1 to 5 the model does not
# mean to give a score, and the mean of what is left would be a guess.
LEAST_MASS = 0.5
FIRST_DIGITS = (1, 2, 3, 4, 5)
# "5." can only go on with zeros.
BRANCHING = (1, 2, 3, 4)


@dataclass(frozen=True)
class AnswerTokens:
    """Token ids of what an answer is written in.

    Attributes:
        digits: of 0 to 9.
        point: of the decimal point.
    """

    digits: tuple[int, ...]
    point: int

    @classmethod
    def of(cls, tokenizer: Any) -> "AnswerTokens":
        """Those of a tokenizer.

        Raises:
            ValueError: it does not write every digit and the point as a token of its own.
        """
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in [*"0123456789", "."]]
        whole = tokenizer("3.42", add_special_tokens=False)["input_ids"]
        if any(len(found) != 1 for found in ids) or whole != [ids[3][0], ids[10][0], ids[4][0], ids[2][0]]:
            raise ValueError(
                "the tokenizer does not write each digit as a token of its own, which the expected score needs. Read "
                "the score of this model by `generate`."
            )
        return cls(tuple(found[0] for found in ids[:10]), ids[10][0])


@dataclass(frozen=True)
class AnswerTree:
    """All ways to go on behind `<answer>`, as tokens that are read in one pass.

    For each first digit 1 to 4: the digit, the point, and the first decimals 0 to 9, in this order.

    Attributes:
        tokens: shape (N,), N = 48.
        depth: of each token, 0 for the first digits, shape (N,).
        visible: whether a token (row) sees another one (column): itself and its ancestors, shape (N, N).
    """

    tokens: Tensor
    depth: Tensor
    visible: Tensor

    @classmethod
    def of(cls, answer: AnswerTokens) -> "AnswerTree":
        tokens: list[int] = []
        depth: list[int] = []
        parents: list[int] = []
        for first in BRANCHING:
            root = len(tokens)
            tokens += [answer.digits[first], answer.point, *answer.digits]
            depth += [0, 1, *[2] * 10]
            parents += [-1, root, *[root + 1] * 10]
        visible = torch.eye(len(tokens), dtype=torch.bool)
        for node, parent in enumerate(parents):
            if parent >= 0:
                visible[node] |= visible[parent]
        return cls(torch.tensor(tokens), torch.tensor(depth), visible)


@dataclass(frozen=True)
class Expectation:
    """What the probabilities behind `<answer>` say, for each of B videos.

    Attributes:
        value: expected score in [1, 5], shape (B,); meaningless where `on_scale` is low.
        on_scale: probability that the answer begins with a digit from 1 to 5, shape (B,).
        numeric: probability that it begins with any digit, shape (B,).
    """

    value: Tensor
    on_scale: Tensor
    numeric: Tensor


def expected_value(first: Tensor, tree: Tensor, answer: AnswerTokens) -> Expectation:
    """The mean answer under a model's probabilities.

    The first digit d is one of 1 to 5. Behind it stands a point, or the answer ends at d. Behind the point stands a
    first decimal, behind that a second one, or the answer ends there. Digits are compared with each other, ends with
    all that is no digit.

    Args:
        first: logits of the token behind `<answer>`, shape (B, V).
        tree: logits behind each token of `AnswerTree`, shape (B, N, V).
        answer: token ids.

    Returns:
        sum over d of p(d) * (d + p(. | d) * E[decimals | d.]) and the masses; differentiable.
    """
    digits = torch.tensor(answer.digits, device=first.device)
    probabilities = first.float().softmax(-1)[:, digits]
    on_scale = probabilities[:, 1:6].sum(1)
    leading = probabilities[:, 1:6] / on_scale.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(1)
    tenths = torch.arange(10, device=first.device) / 10
    branches = tree.float().view(len(first), len(BRANCHING), -1, tree.shape[-1])
    point = branches[:, :, 0].softmax(-1)[..., answer.point]
    decimal = branches[:, :, 1][..., digits].softmax(-1)
    behind = branches[:, :, 2:].softmax(-1)[..., digits]
    hundredths = (behind * tenths / 10).sum(-1)
    fraction = point * (decimal * (tenths + hundredths)).sum(-1)
    whole = torch.tensor(FIRST_DIGITS, device=first.device, dtype=torch.float32)
    value = (leading * whole).sum(1) + (leading[:, : len(BRANCHING)] * fraction).sum(1)
    return Expectation(value, on_scale, probabilities.sum(1))


def read_tree(family: Family, model: Any, batch: dict[str, Tensor], tree: AnswerTree) -> tuple[Tensor, Tensor]:
    """Logits behind a batch of prompts, and behind each token of the tree.

    Args:
        family: of the model.
        model: with a head.
        batch: as `Family.batch` makes it, left-padded.
        tree: on any device.

    Returns:
        Shapes (B, V) and (B, N, V).
    """
    outputs = model(**batch, use_cache=True, logits_to_keep=1)
    mask, device = batch["attention_mask"], batch["input_ids"].device
    size, count = len(mask), len(tree.tokens)
    _, positions = family.tree_positions(model, batch, tree.depth)
    sees = torch.cat([mask[:, None, :].expand(-1, count, -1) > 0, tree.visible.to(device).expand(size, -1, -1)], -1)
    floor = torch.finfo(outputs.logits.dtype).min
    additive = torch.zeros(sees.shape, device=device, dtype=outputs.logits.dtype).masked_fill(~sees, floor)
    with _masked_attention(family.language_model(model).config):
        behind = model(
            input_ids=tree.tokens.to(device).expand(size, -1),
            attention_mask=additive[:, None],
            position_ids=positions,
            past_key_values=outputs.past_key_values,
            use_cache=True,
        )
    return outputs.logits[:, -1], behind.logits


def read_tree_at_once(family: Family, model: Any, batch: dict[str, Tensor], tree: AnswerTree) -> tuple[Tensor, Tensor]:
    """What `read_tree` gives, in one pass without a cache, so that gradients can be checkpointed; for training.

    Args:
        family, model, batch, tree: as there.
    """
    mask, ids, device = batch["attention_mask"], batch["input_ids"], batch["input_ids"].device
    (size, length), count = ids.shape, len(tree.tokens)
    positions = torch.cat(family.tree_positions(model, batch, tree.depth), -1)
    behind = torch.cat([mask[:, None] > 0, torch.zeros(size, 1, count, dtype=torch.bool, device=device)], 2)
    behind = behind.repeat(1, count, 1)
    behind[:, :, length:] = tree.visible.to(device)
    if family.language_model(model).config._attn_implementation == TREE_ATTENTION and bool(mask.all()):
        sees = behind
    else:
        causal = torch.ones(length, length + count, dtype=torch.bool, device=device).tril()
        sees = torch.cat([causal & torch.nn.functional.pad(mask > 0, (0, count))[:, None], behind], 1)
        # Padding sees itself: a row without anything to see has no softmax.
        sees |= torch.eye(length + count, dtype=torch.bool, device=device)
    seen = family.visual_inputs(batch)
    known = {"input_ids", "attention_mask", *seen}
    # What the rest says of tokens, it says of those of the answer too: none is a picture's.
    kinds = {name: torch.nn.functional.pad(batch[name], (0, count)) for name in batch.keys() - known}
    with _masked_attention(family.language_model(model).config):
        outputs = model(
            input_ids=torch.cat([ids, tree.tokens.to(device).expand(size, -1)], 1),
            attention_mask=sees[:, None],
            position_ids=positions,
            use_cache=False,
            logits_to_keep=count + 1,
            **kinds,
            **seen,
        )
    return outputs.logits[:, 0], outputs.logits[:, 1:]


@contextmanager
def _masked_attention(config: Any) -> Iterator[None]:
    """Attention that takes a mask of its own for each token, which flash attention does not, as long as it lasts."""
    usual = config._attn_implementation
    if usual not in ("sdpa", "eager", TREE_ATTENTION):
        config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        config._attn_implementation = usual

"""Scores of models that answer by a level, "excellent" to "bad", in place of a number."""

from typing import Any

import torch
from torch import Tensor

from mdsvqa.models.vlm.expected import Expectation

# Those of the five-point scale of ITU-T P.910, and what each counts.
LEVELS = {"excellent": 5.0, "good": 4.0, "fair": 3.0, "poor": 2.0, "bad": 1.0}


def level_tokens(tokenizer: Any) -> tuple[int, ...]:
    """The first token of each level as it stands behind other words, best first.

    Raises:
        ValueError: two levels begin alike.
    """
    first = [tokenizer(f" {level}", add_special_tokens=False)["input_ids"][0] for level in LEVELS]
    if len(set(first)) < len(LEVELS):
        raise ValueError(
            "`answers: levels`: the tokenizer begins two of the levels with the same token, so that their "
            "probabilities cannot be told apart."
        )
    return tuple(first)


def level_score(logits: Tensor, tokens: tuple[int, ...]) -> Expectation:
    """The mean of the levels by their probabilities among themselves.

    Args:
        logits: of the token where the level stands, shape (B, V).
        tokens: of `level_tokens`.

    Returns:
        The scores, and how probable it is that a level stands there at all, each of shape (B,).

    Source: Wu et al. (2024), Q-Align, equation 3, which weighs by 1 to 5; Q-Future/Q-Align, q_align/evaluate/scorer.py.

    >>> level_score(torch.tensor([[0.0, 0.0, -99.0, -99.0, -99.0, -99.0]]), (0, 1, 2, 3, 4)).value
    tensor([4.5000])
    """
    chosen = logits[:, list(tokens)].float()
    weights = torch.tensor(list(LEVELS.values()), device=logits.device)
    there = (chosen.logsumexp(-1) - logits.float().logsumexp(-1)).exp()
    return Expectation(chosen.softmax(-1) @ weights, there, there)

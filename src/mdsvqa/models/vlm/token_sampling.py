"""Replies drawn for training, and the log-probabilities that their rewards weigh."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mdsvqa.models.vlm.answers import parse_answer
from mdsvqa.models.vlm.clips import ModelClip, Prompt
from mdsvqa.models.vlm.reader import VlmReader


@dataclass(frozen=True)
class Drawn:
    """A reply drawn at temperature 1.

    Attributes:
        tokens: as the model wrote them, padding cut off.
        text: the whole reply, without special tokens.
        value: of its answer, 1-5; None where there is none.
    """

    tokens: tuple[int, ...]
    text: str
    value: float | None


@torch.no_grad()
def draw_replies(reader: VlmReader, clips: Sequence[ModelClip], opening: str = "") -> list[Drawn]:
    """One reply to each clip, by torch's own generator as it stands; dropout is off meanwhile.

    Args:
        reader: with reading "generate".
        clips: one batch.
        opening: with which the reader's prompt makes the reply begin; part of the text, not of the tokens.
    """
    model, tokenizer = reader.model, reader.tokenizer
    training = model.training
    model.eval()
    written = reader.written(clips, 1, 1.0)
    model.train(training)
    drawn = []
    for row in written.tolist():
        while row and row[-1] == tokenizer.pad_token_id:
            row.pop()
        text = opening + tokenizer.decode(row, skip_special_tokens=True)
        drawn.append(Drawn(tuple(row), text, parse_answer(text).value))
    return drawn


def log_probabilities(reader: VlmReader, clips: Sequence[ModelClip], replies: Sequence[Sequence[int]]) -> Tensor:
    """Log-probability of each reply, differentiable; see `token_log_probabilities`.

    Returns:
        Sum over the reply's tokens, shape (B,).
    """
    return token_log_probabilities(reader, clips, replies).sum(1)


def token_log_probabilities(
    reader: VlmReader,
    clips: Sequence[ModelClip],
    replies: Sequence[Sequence[int]],
    any_digit: Sequence[Sequence[bool]] | None = None,
) -> Tensor:
    """Log-probability of each token of replies, under the distribution that `draw_replies` draws from.

    Args:
        reader: with the prompt that the replies are to.
        clips: one batch.
        replies: tokens of one reply a clip, each at least one.
        any_digit: of each token, whether any digit would have been as good: its probability is that of all digits.

    Returns:
        Shape (B, tokens of the longest): shorter replies stand at the end of their rows, with 0 before them.
    """
    told = [Prompt(reader.prompt.before, [*reader.prompt.after, *reply]) for reply in replies]
    batch = reader.batch(clips, told)
    longest = max(len(reply) for reply in replies)
    logits = reader.model(**batch, use_cache=False, logits_to_keep=longest + 1).logits[:, :-1].float()
    wanted = batch["input_ids"][:, -longest:]
    lengths = torch.tensor([len(reply) for reply in replies], device=wanted.device)
    written = torch.arange(longest, device=wanted.device) >= longest - lengths[:, None]
    found = chosen_log_probabilities(reader, logits, wanted, written)
    if any_digit is not None and reader.answer is not None:
        loose = torch.zeros_like(written)
        for row, flags in enumerate(any_digit):
            loose[row, longest - len(flags) :] = torch.tensor(flags, device=loose.device)
        digits = logits[..., list(reader.answer.digits)].logsumexp(-1) - logits.logsumexp(-1)
        found = torch.where(loose, digits, found)
    return torch.where(written, found, 0.0)


def chosen_log_probabilities(reader: VlmReader, logits: Tensor, tokens: Tensor, written: Tensor) -> Tensor:
    """Log-probability of tokens under logits without those that are never drawn.

    Args:
        reader: says which are never drawn.
        logits: shape (B, T, V).
        tokens: shape (B, T).
        written: which of them were drawn, shape (B, T); the value of others means nothing.
    """
    if reader.suppressed:
        never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        never[reader.suppressed] = True
        logits = logits.masked_fill(never, torch.finfo(logits.dtype).min)
    safe = torch.where(written, tokens, torch.zeros_like(tokens))
    return logits.log_softmax(-1).gather(2, safe[..., None])[..., 0]

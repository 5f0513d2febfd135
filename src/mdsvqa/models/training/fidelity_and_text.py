"""f' learns to rank and keeps writing: the fidelity loss, and the cross-entropy of the base model's own replies."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.loop import Figures, Readings
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.replies import DIGITS, answer_place
from mdsvqa.models.vlm.token_sampling import token_log_probabilities
from mdsvqa.runtime.arrays import Ints


class FidelityAndText:
    """`Fidelity`, plus cross-entropy on what the base model wrote about some of the videos.

    In the answer any digit is as good as another: what is kept is its form. Its digits are read as those of the score
    that f' gives now, because what follows a digit that the base model hardly wrote is to be learned too.

    Args:
        ranking: the first part.
        writer: reads a generated reply to the question with thinking.
        replies: the base model's well-formed ones, by index of the video.
        weight: of the second part.
        share: of a batch's videos that it is computed on.
    """

    def __init__(
        self, ranking: Fidelity, writer: VlmReader, replies: Mapping[int, str], weight: float, share: float
    ) -> None:
        self._ranking, self._writer, self._weight, self._share = ranking, writer, weight, share
        self._replies = {index: reply_tokens(writer, text) for index, text in replies.items()}
        longest = max((len(tokens) for tokens, _ in self._replies.values()), default=0)
        self.overhead = max(ranking.overhead, writer.prompt.tokens + longest)
        self._read: set[int] = set()
        self._scores: dict[int, float] = {}

    def read(self, clips: Sequence[ModelClip]) -> Readings:
        """See `Objective`."""
        return self._ranking.read(clips)

    def coefficients(self, values: Tensor, batch: Ints) -> tuple[Tensor, Figures]:
        """See `Objective`."""
        coefficients, figures = self._ranking.coefficients(values, batch)
        written = [int(index) for index in batch if int(index) in self._replies]
        # Batches are sorted by data set: every so many of them is a part of each.
        every = max(1, round(1 / self._share))
        self._read = set(written[::every])
        self._scores = dict(zip(batch.tolist(), values.detach().tolist(), strict=True))
        return coefficients, figures

    def surrogate(self, clips: Sequence[ModelClip], part: Ints, readings: Readings, coefficients: Tensor) -> Tensor:
        """See `Objective`."""
        ranking = self._ranking.surrogate(clips, part, readings, coefficients)
        reading = [(clip, int(index)) for clip, index in zip(clips, part, strict=True) if int(index) in self._read]
        if not reading or not self._weight:
            return ranking
        tokens, any_digit = zip(*(self._rewritten(index) for _, index in reading), strict=True)
        found = token_log_probabilities(self._writer, [clip for clip, _ in reading], tokens, any_digit)
        lengths = torch.tensor([len(reply) for reply in tokens], device=found.device)
        return ranking - self._weight * (found.sum(1) / lengths).sum() / len(self._read)

    def _rewritten(self, index: int) -> tuple[list[int], list[bool]]:
        """The base model's reply with the present score in its answer."""
        tokens, any_digit = self._replies[index]
        if self._writer.answer is None:
            return tokens, any_digit
        digits = f"{min(max(self._scores[index], 1.0), 5.0):.2f}".replace(".", "")
        places = [place for place, free in enumerate(any_digit) if free]
        changed = dict(zip(places, (self._writer.answer.digits[int(digit)] for digit in digits), strict=False))
        return [changed.get(place, token) for place, token in enumerate(tokens)], any_digit


def reply_tokens(writer: VlmReader, text: str) -> tuple[list[int], list[bool]]:
    """A reply in tokens with its end, and which of them are digits of its answer.

    Args:
        writer: says how text becomes tokens.
        text: with an answer in its tags.
    """
    tokenizer = writer.tokenizer
    tokens = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    pieces = [tokenizer.decode([token]) for token in tokens]
    start = answer_place(pieces)
    return tokens, [start is not None and place >= start and piece in DIGITS for place, piece in enumerate(pieces)]

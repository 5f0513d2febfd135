"""What a generated reply says about the score: the parsed answer, and the expected one at its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdsvqa.models.base import Score
from mdsvqa.models.vlm.answers import HIGHEST, Answer
from mdsvqa.models.vlm.expected import AnswerTokens
from mdsvqa.models.vlm.prompts import ANSWER_CLOSING, ANSWER_OPENING

DIGITS = tuple("0123456789")
# The mean of 0.00, 0.01, ..., 0.99: of decimals that were not read.
_UNREAD = 0.495
_UNREAD_HUNDREDTHS = 0.045


@dataclass(frozen=True)
class Reply:
    """One reply about one video.

    Attributes:
        text: what the model wrote.
        answer: what that says.
        expected: mean answer at its place, None where there is none.
        cut: it ended because no more tokens were allowed.
    """

    text: str
    answer: Answer
    expected: float | None
    cut: bool = False


class AnswerRecorder:
    """Keeps the log-probabilities of digits and point at every step of a generation; a logits processor.

    The whole vocabulary at every step would take gigabytes.
    """

    def __init__(self, answer: AnswerTokens) -> None:
        self._columns = torch.tensor([*answer.digits, answer.point])
        self._steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Records a step and changes nothing."""
        columns = self._columns.to(scores.device)
        self._steps.append(scores[:, columns].float() - scores.float().logsumexp(-1, keepdim=True))
        return scores

    def probabilities(self) -> Tensor:
        """Of digits 0 to 9 and the point, shape (rows, steps, 11), on the CPU."""
        return torch.stack(self._steps, 1).exp().cpu()


class RepetitionPenalty:
    """Makes tokens that a row holds already less likely: positive logits are divided by it; a logits processor.

    Padding of shorter prompts counts as nothing, so that a reply does not depend on its batch.

    Args:
        penalty: above 0; 1 changes nothing.
        mask: 1 where a prompt's tokens are no padding, shape (B, L).

    Source: Keskar et al. (2019), CTRL, section 4.1; over question and reply, as transformers and vLLM apply it.
    """

    def __init__(self, penalty: float, mask: Tensor) -> None:
        self._penalty = penalty
        self._mask = mask > 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores of all tokens, shape (rows, V), where `input_ids` are what each row holds."""
        rows, length = self._mask.shape
        # Padding counts as the prompt's last token, which is held in any case.
        real = self._mask.repeat_interleave(len(input_ids) // rows, 0)
        prompt = torch.where(real, input_ids[:, :length], input_ids[:, length - 1 : length])
        held = torch.zeros_like(scores, dtype=torch.bool)
        held.scatter_(1, torch.cat([prompt, input_ids[:, length:]], 1), True)
        penalised = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        return torch.where(held, penalised, scores)


class AnswerEnd:
    """Says which replies have closed their answer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, ids: Tensor, start: int) -> Tensor:
        """Whether each row ends in the closing tag, shape (rows,).

        Args:
            ids: question and reply, shape (rows, L).
            start: of the replies.
        """
        tail = ids[:, max(start, ids.shape[1] - 8) :].tolist()
        # Most tokens close nothing: only rows whose last token does are decoded.
        ends = [
            ">" in self._tokenizer.decode(row[-1:]) and ANSWER_CLOSING in self._tokenizer.decode(row).replace(" ", "")
            for row in tail
        ]
        return torch.tensor(ends, device=ids.device)


def expected_in_reply(pieces: Sequence[str], probabilities: Tensor) -> float | None:
    """The expected score at the place where a reply gives its answer, from what was computed anyway.

    Along the digits that were written, the probabilities of each next digit are known. Of a first digit that was not
    written the decimals are not: they count as their mean.

    Args:
        pieces: the reply, token by token.
        probabilities: of digits 0 to 9 and the point at each of its steps, shape (steps, 11).

    Returns:
        In [1, 5]; None where behind the last opening tag no digit from 1 to 5 is a token.
    """
    place = answer_place(pieces)
    if place is None or pieces[place] not in ("1", "2", "3", "4", "5"):
        return None
    written = int(pieces[place])
    first = probabilities[place, 1:6] / probabilities[place, 1:6].sum()
    values = [min(HIGHEST, digit + _UNREAD) for digit in range(1, 6)]
    values[written - 1] = min(HIGHEST, written + _fraction(pieces, probabilities, place + 1))
    return float(first @ torch.tensor(values))


def _fraction(pieces: Sequence[str], probabilities: Tensor, place: int) -> float:
    """Expected decimals behind the first digit, times the probability of the point that leads to them."""
    if place >= len(pieces):
        return 0.0
    point = float(probabilities[place, 10])
    if pieces[place] != "." or place + 1 >= len(pieces) or pieces[place + 1] not in DIGITS:
        return point * _UNREAD
    tenths = probabilities[place + 1, :10] / probabilities[place + 1, :10].sum()
    hundredths = torch.full((10,), _UNREAD_HUNDREDTHS)
    if place + 2 < len(pieces):
        hundredths[DIGITS.index(pieces[place + 1])] = float(probabilities[place + 2, :10] @ torch.arange(10.0)) / 100
    return point * float(tenths @ (torch.arange(10) / 10 + hundredths))


def answer_place(pieces: Sequence[str]) -> int | None:
    """Index of the first token behind the last opening tag that is more than white space; None where there is none.

    >>> answer_place(["<ans", "wer>", " ", "3", "."]), answer_place(["3", "."])
    (3, None)
    """
    text = "".join(pieces)
    found = text.rfind(ANSWER_OPENING)
    if found < 0:
        return None
    end, length = found + len(ANSWER_OPENING), 0
    for index, piece in enumerate(pieces):
        if length >= end and piece.strip():
            return index
        length += len(piece)
    return None


def score_of_replies(video: str, replies: Sequence[Reply]) -> Score:
    """The score of one or several replies.

    Args:
        video: its id.
        replies: at least one.

    Returns:
        Of one reply its answer; of several the mean of those that are on the scale, with their standard deviation as
        spread, if they are at least half. `text` is the first reply, `cut` says whether any was.
    """
    cut = any(reply.cut for reply in replies)
    usable = [reply.answer.value for reply in replies if reply.answer.value is not None]
    text = replies[0].text
    if 2 * len(usable) < len(replies) or not usable:
        failed = [reply.answer.status for reply in replies if reply.answer.value is None]
        out_of_range = failed.count("out_of_range") * 2 > len(failed)
        return Score(video, None, "out_of_range" if out_of_range else "unparsable", text, cut=cut)
    expected = [reply.expected for reply in replies if reply.expected is not None]
    spread = float(np.std(usable, ddof=1)) if len(usable) > 1 else None
    mean = float(np.mean(expected)) if expected else None
    return Score(video, float(np.mean(usable)), "ok", text, spread, mean, cut)

"""The expected score of a model behind vLLM, as it is computed of one that is loaded here: replies are begun for it.

Each request asks how one beginning of an answer goes on, until what was not asked can no longer move the score. The
server has the video from the first of them on: its cache of prompts makes the others cheap, and they go without frames.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from mdsvqa.models.base import Score
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.answer_odds import AnswerOdds
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.expected import LEAST_MASS
from mdsvqa.models.vlm.reader import expected_score
from mdsvqa.models.vlm.served_messages import answer_fields, answer_odds, named_parts, without_frames

T = TypeVar("T")
Message = dict[str, Any]
# From messages and fields to the `logprobs.content` of the reply.
Ask = Callable[[Sequence[Message], Mapping[str, Any]], Awaitable[Sequence[Any]]]
# By how much what a server was not asked may move a score, and how many beginnings are asked about together.
_UNSURE, _TOGETHER = 0.002, 8


class RefusedError(Exception):
    """The server does not want a request as it is; the message is in its words."""


async def expect(
    ask: Ask,
    clip: ModelClip,
    parts: Sequence[Message],
    question: str,
    tokens: Sequence[int],
    *,
    as_video: bool,
    says_times: bool | None,
) -> Score:
    """The expected score of one clip.

    Args:
        ask: sends a request; raises `RefusedError`.
        clip: to be scored.
        parts: of a message that show it.
        question: the prompt.
        tokens: ids of the digits and the point.
        as_video, says_times: as in `request_fields`.
    """
    odds = AnswerOdds()
    named = named_parts(clip, parts)

    async def learn(beginning: str) -> None:
        begun = {"role": "assistant", "content": prompts.ANSWER_OPENING + beginning}
        fields = answer_fields(clip, beginning, tokens, as_video=as_video, says_times=says_times)

        def shown(frames: Sequence[Message]) -> list[Message]:
            return [{"role": "user", "content": [*frames, {"type": "text", "text": question}]}, begun]

        try:
            steps = await ask(shown(without_frames(named) if odds.behind else named), fields)
        except RefusedError:
            if not odds.behind:
                raise
            # It has forgotten the video.
            steps = await ask(shown(named), fields)
        odds.add(beginning, *answer_odds(steps, tokens))

    await learn("")
    while odds.on_scale >= LEAST_MASS and (asked := odds.unsure(_UNSURE)):
        await all_or_first_error([learn(beginning) for beginning in asked[:_TOGETHER]])
    return expected_score(clip.id, odds.value, odds.on_scale, odds.numeric)


async def all_or_first_error(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of what is done at the same time; the first error ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

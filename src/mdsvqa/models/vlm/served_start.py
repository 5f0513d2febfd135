"""What a vLLM server can do, found out once before the first video: by asking, not by believing its version.

A server that reads all frames of a video and not when they were shown gives scores like any other, of another video: in
a trial its first token was off by up to 2.3 in log-probability. So a made-up clip is asked about as the run will ask,
and again with other times: where that changes nothing, the server does not mind times.
"""

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from openai import APIStatusError, AsyncOpenAI, BadRequestError

from mdsvqa.models.base import ModelError
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, made_up_clip
from mdsvqa.models.vlm.prompts import ANSWER_OPENING
from mdsvqa.models.vlm.replies import DIGITS
from mdsvqa.models.vlm.served_messages import TOP_LOGPROBS, UNSAID_RATE, frame_parts, times_of, words_of

OLDEST = "0.19"
FLAG = "--trust-request-mm-kwargs"
SERVER_TIMES = '--media-io-kwargs \'{"video": {"num_frames": -1, "fps": 2.0}}\''
# Eight steps of time, and another rate by far.
_FRAMES, _SLOWER = 16, 8
# Differences of log-probabilities: of what is the same question; of wrong times to other wrong times; of right times to
# wrong ones, with room for 16-bit precision.
_SAME, _LITTLE, _OFF = 1e-3, 0.1, 0.05


def minds_times(version: str | None) -> bool:
    """Whether a version of vLLM hands times of frames to the model behind it.

    >>> minds_times("0.32.0"), minds_times("0.18.1"), minds_times(None), minds_times("dev")
    (True, False, False, False)
    """
    numbers = [int(part) for part in re.findall(r"\d+", version or "")]
    return numbers[:2] >= [int(part) for part in OLDEST.split(".")]


@dataclass(frozen=True)
class Abilities:
    """What a server was found to do.

    Attributes:
        version: that it says it has; None where it says none.
        tokens: ids of the digits 0 to 9 and the point, in this order; None where they are not tokens of their own, or
            probabilities cannot be asked for by them.
        opening: tokens of `<answer>`, where a reply can be begun with it; 0 where it cannot.
        says_times: the times of frames go with every request, or only those that the server does not assume, or None:
            no times.
        overhead: tokens of the question and what stands around it, where it was asked about a video.
    """

    version: str | None = None
    tokens: tuple[int, ...] | None = None
    opening: int = 0
    says_times: bool | None = False
    overhead: int | None = None

    @property
    def exact(self) -> bool:
        """Whether the expected score can be asked for as it is computed of a model here."""
        return self.opening > 0 and self.tokens is not None


class Start:
    """The questions that are asked before the first video.

    Args:
        client: of the server.
        model: as the server calls it.
        url: of the server, in messages.
        sight: with which the run sees videos.
        question: that it asks.
        note: says a line.
    """

    def __init__(
        self, client: AsyncOpenAI, model: str, url: str, sight: VisualLimits, question: str, note: Callable[[str], None]
    ) -> None:
        self._client, self._model, self._url, self._note = client, model, url, note
        self._sight, self._question = sight, question
        self._overhead: int | None = None

    async def find(self, *, as_video: bool, counts_time: bool = True) -> Abilities:
        """Everything that a run wants to know of vLLM.

        Args:
            as_video: frames go as one video, so that their times matter.
            counts_time: the model is one that counts the seconds between frames.

        Raises:
            ModelError: it does not mind the times of frames, or refuses to be told.
        """
        version = await self._version()
        tokens = await self._tokens()
        begun = await self._begun(tokens, as_video=as_video)
        says_times = as_video and await self._minds_times(version, counts_time=counts_time)
        return Abilities(version, tokens if begun is not None else None, begun or 0, says_times, self._overhead)

    async def _version(self) -> str | None:
        found = await self._other("/version")
        return str(found["version"]) if isinstance(found, Mapping) and "version" in found else None

    async def _tokens(self) -> tuple[int, ...] | None:
        """Ids of the digits and the point, if the tokenizer keeps them apart."""
        text = "".join(DIGITS) + "."
        found = await self._tokenised(text)
        if len(found) != len(text) or await self._tokenised("3.42") != [found[text.index(each)] for each in "3.42"]:
            return None
        return tuple(found)

    async def _tokenised(self, text: str) -> list[int]:
        fields = {"model": self._model, "prompt": text, "add_special_tokens": False}
        found = await self._other("/tokenize", fields)
        tokens = found.get("tokens") if isinstance(found, Mapping) else None
        return [int(token) for token in tokens] if isinstance(tokens, list) else []

    async def _other(self, path: str, fields: Mapping[str, Any] | None = None) -> Any:
        """What lies beside the protocol, above its /v1; None where it is not there."""
        address = str(self._client.base_url).rstrip("/").removesuffix("/v1") + path
        try:
            if fields is None:
                return await self._client.get(address, cast_to=object)
            return await self._client.post(address, cast_to=object, body=fields)
        except (APIStatusError, ValueError):
            return None

    async def _begun(self, tokens: tuple[int, ...] | None, *, as_video: bool) -> int | None:
        """Tokens with which a reply can be begun, 0 for none; None where probabilities cannot be asked for by token."""
        if tokens is None:
            return None
        clip = made_up_clip(self._sight, _FRAMES, UNSAID_RATE)
        content = [*frame_parts(clip, as_video=as_video), {"type": "text", "text": self._question}]
        opening = len(await self._tokenised(ANSWER_OPENING))
        try:
            plain = await self._ask(content, {"logprob_token_ids": list(tokens)})
            begun = await self._ask(content, {"logprob_token_ids": list(tokens)}, ANSWER_OPENING)
        except BadRequestError:
            return None
        asked = {f"token_id:{token}" for token in tokens}
        if not all(asked <= set(_first(completion)) for completion in (plain, begun)):
            return None
        # A server that ends the turn behind what was begun reads more tokens than these.
        lengths = [completion.usage.prompt_tokens if completion.usage else 0 for completion in (plain, begun)]
        return opening if lengths[1] == lengths[0] + opening else 0

    async def _minds_times(self, version: str | None, *, counts_time: bool) -> bool | None:
        """Whether the times of frames have to be said although the server should assume them; see `Abilities`."""
        if self._sight.frames is not None and self._sight.frames <= self._sight.span:
            # A single step of time.
            return False
        # Of counted frames each video has a rate of its own.
        rate = self._sight.rate or 1.0
        if not counts_time:
            await self._at(rate, told=False)
            return None
        told = rate != UNSAID_RATE
        try:
            first = await self._at(rate, told=told)
        except BadRequestError as error:
            if not told:
                # For a reason that will be said of the first video.
                return False
            raise ModelError(
                f"server {self._url}: refuses to be told the times of frames ({words_of(error)}). Start vLLM with "
                f"{FLAG}, or take {UNSAID_RATE:g} frames a second."
            ) from None
        try:
            other = await self._at(rate / _SLOWER, told=True)
        except BadRequestError:
            await self._check_assumed(first)
            return False
        if not first or not other:
            self._note(f"{self._doubt}: it gives no probabilities.")
            return False
        change = _distance(first, other)
        if change <= _SAME:
            known_not_to = version is not None and not minds_times(version)
            if not known_not_to and await self._splits_frames_otherwise(rate):
                self._note(
                    f"{self._url}: a clip at {rate:g} frames a second and one at {rate / _SLOWER:g} are the same to "
                    "it, and two frames do not share their tokens: taken for one of a family that counts no time, "
                    "InternVL for example."
                )
                return False
            says = f" (this one says that it is {version})" if version else ""
            raise ModelError(
                f"server {self._url}: ignores the times of frames: a clip at {rate:g} frames a second and the same one "
                f"at {rate / _SLOWER:g} are one to it. vLLM minds them from {OLDEST} on{says}. Is the model one that "
                "counts no time (docs/models.md), say so by --no-counts-time."
            )
        if told:
            return True
        # Of itself it should assume two frames a second.
        return _distance(first, await self._at(rate, told=True)) > max(_SAME, _LITTLE * change)

    async def _splits_frames_otherwise(self, rate: float) -> bool:
        """Whether more frames are another number of tokens more than they are where two of them share theirs."""
        clips = [made_up_clip(self._sight, frames, rate) for frames in (_FRAMES // 2, _FRAMES)]
        counted = [(await self._about(clip, {})).usage for clip in clips]
        if None in counted:
            return False
        fewer, more = (usage.prompt_tokens for usage in counted)
        return more != fewer and more - fewer != clips[1].tokens - clips[0].tokens

    @property
    def _doubt(self) -> str:
        return f"Whether {self._url} minds the times of frames cannot be found out"

    async def _check_assumed(self, first: Mapping[str, float]) -> None:
        """Holds what a server makes of frames without times against the same frames as a file, which has its own."""
        content = [
            file_part(made_up_clip(self._sight, _FRAMES, UNSAID_RATE), UNSAID_RATE),
            {"type": "text", "text": self._question},
        ]
        try:
            found = _first(await self._ask(content, {}))
        except APIStatusError:
            found = {}
        if not first or not found:
            self._note(
                f"{self._doubt}: it refuses to be told them. It does if vLLM was started with {SERVER_TIMES}; {FLAG} "
                "beside it lets it be checked."
            )
        elif _distance(first, found) > _OFF:
            raise ModelError(
                f"server {self._url}: takes frames at {UNSAID_RATE:g} a second to have other times. Start vLLM with "
                f"{SERVER_TIMES}."
            )

    async def _at(self, rate: float, *, told: bool) -> dict[str, float]:
        """Log-probabilities of the first token about the made-up clip at a rate."""
        clip = made_up_clip(self._sight, _FRAMES, rate)
        completion = await self._about(clip, times_of(clip) if told else {})
        if completion.usage:
            self._overhead = completion.usage.prompt_tokens - clip.tokens
        return _first(completion)

    async def _about(self, clip: ModelClip, extra: Mapping[str, Any]) -> Any:
        return await self._ask([*frame_parts(clip, as_video=True), {"type": "text", "text": self._question}], extra)

    async def _ask(self, content: Sequence[Any], extra: Mapping[str, Any], begun: str | None = None) -> Any:
        messages: list[Any] = [{"role": "user", "content": content}]
        if begun is not None:
            messages.append({"role": "assistant", "content": begun})
            extra = {**extra, "continue_final_message": True, "add_generation_prompt": False}
        return await self._client.chat.completions.create(
            model=self._model,
            messages=messages,
            max_tokens=1,
            temperature=0.0,
            logprobs=True,
            top_logprobs=TOP_LOGPROBS,
            extra_body={"return_tokens_as_token_ids": True, **extra},
        )


def file_part(clip: ModelClip, rate: float) -> dict[str, Any]:
    """A clip as an MP4 file in a message, without loss."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("libx264rgb", rate=Fraction(rate))
        stream.height, stream.width, stream.pix_fmt = *clip.frames.shape[2:], "rgb24"
        stream.options = {"qp": "0", "preset": "ultrafast"}
        for picture in clip.frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.transpose(1, 2, 0)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {
        "type": "video_url",
        "video_url": {"url": f"data:video/mp4;base64,{base64.b64encode(sink.getvalue()).decode()}"},
    }


def _first(completion: Any) -> dict[str, float]:
    """Log-probabilities of the first token that were listed, by token."""
    choice = completion.choices[0] if completion.choices else None
    steps = choice.logprobs.content if choice is not None and choice.logprobs else None
    if not steps:
        return {}
    return {each.token: float(each.logprob) for each in [steps[0], *steps[0].top_logprobs]}


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Largest difference of log-probabilities; a token that is not listed is as improbable as the last one that is."""
    pairs = ((one.get(token, min(one.values())), other.get(token, min(other.values()))) for token in {*one, *other})
    return max(abs(first - second) for first, second in pairs)

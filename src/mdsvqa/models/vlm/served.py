"""f behind a server that speaks the OpenAI protocol: vLLM, SGLang, `transformers serve`.

The videos are decoded here, so that any server reads the same frames, and go out as one video (which vLLM takes) or as
pictures. docs/served.md says what the way they go changes.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI, Timeout

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, wanted_limits
from mdsvqa.models.vlm.replies import score_of_replies
from mdsvqa.models.vlm.served_expectation import RefusedError, all_or_first_error, expect
from mdsvqa.models.vlm.served_messages import (
    Kind,
    frame_parts,
    reply_of,
    reply_text,
    request_fields,
    score_of_probabilities,
    seed_of,
    wait_before,
    words_of,
)
from mdsvqa.models.vlm.served_start import SERVER_TIMES, Abilities, Start

# Seconds to reach a server that is there.
_CONNECT = 10.0
# Overloaded, or not there behind a proxy: nothing that a video can be blamed for.
_BUSY = {408, 429, 502, 503, 504}
# Videos together of which none gets a reply: then it is for what they share.
TOO_MANY = 3
_NO_LOGPROBS = (
    "the server gives no probabilities of tokens, which the expected score needs (vLLM does). Use --read generate."
)


class NoReplyError(RefusedError):
    """No reply to one video; the message is in the server's words.

    Attributes:
        by_failing: the server failed or was late; else it does not want this video.
    """

    def __init__(self, words: str, *, by_failing: bool) -> None:
        super().__init__(words)
        self.by_failing = by_failing


class GoneError(ModelError):
    """A server that is not there, or stays overloaded; another one may be.

    Attributes:
        asked: the Retry-After of one that is overloaded, "" where it has none; None of one that is not there.
    """

    def __init__(self, words: str, asked: str | None = None) -> None:
        super().__init__(words)
        self.asked = asked


class ServedModel:
    """A model behind a server; a `table_scoring.ClipReader`.

    Args:
        served: where it is, and how it is asked.
        settings: reading, samples, limits on frames and pixels.
        note: says a line.

    Attributes:
        sight: how a clip must be seen.
        kind: of server.
        as_video: whether frames go as one video.
        abilities: of a vLLM, as they were found out.

    Raises:
        ModelError: the server cannot be reached, refuses the key, or speaks other models; it does not mind the times
            of frames, or cannot be told what the settings ask for.
    """

    abilities = Abilities()
    _note: Callable[[str], None] | None = None
    # Whether somebody else asks another server where this one is gone.
    hands_over = False

    def __init__(
        self, served: ServedSettings, settings: VlmSettings, note: Callable[[str], None] = lambda text: None
    ) -> None:
        if settings.adapter is not None:
            raise ModelError(
                f"adapter {settings.adapter!r}: a server loads its own adapters. Start it with this one, and name the "
                "adapter by --model."
            )
        if settings.answers == "levels":
            raise ModelError("`answers: levels` are read from weights here, and not from a server.")
        self.served, self.settings = served, settings
        self._note: Callable[[str], None] | None = note
        self._answered = False
        self.kind: Kind = asyncio.run(self.look())
        self.as_video = served.frames_as == "video" or (served.frames_as == "auto" and self.kind == "vllm")
        # A picture shares its tokens with no other.
        self.sight = replace(wanted_limits(settings), span=VisualLimits.span if self.as_video else 1)
        if settings.repetition_penalty is not None and self.kind == "openai":
            raise ModelError(
                f"server {self._url}: repetition_penalty: the protocol has no word for it, and this is none of the "
                "servers that are known to have one (vLLM, SGLang, transformers serve)."
            )
        if self.kind == "vllm":
            self.abilities = asyncio.run(self._start(note))

    @property
    def _url(self) -> str:
        return ", ".join(self.served.urls)

    def client(self) -> AsyncOpenAI:
        """What talks to the server; to be closed."""
        key = os.environ.get("MDSVQA_API_KEY") or os.environ.get("OPENAI_API_KEY") or "none"
        patience = Timeout(self.served.timeout, connect=min(_CONNECT, self.served.timeout))
        # Repeated here: the client gives up within seconds, and asks again where a reply took too long.
        return AsyncOpenAI(base_url=api_root(self._url), api_key=key, timeout=patience, max_retries=0)

    async def look(self) -> Kind:
        """Asks which kind of server it is, and whether it speaks the model."""
        async with self.client() as client:
            try:
                listed = (await client.models.list()).data or []
            except APIConnectionError as error:
                raise self._unreachable(error) from None
            except APIStatusError as error:
                # `transformers serve` fails so where it has no cache.
                if error.status_code < 500 or error.status_code in _BUSY:
                    raise self._refused(error) from None
                listed = []
            owners = {entry.owned_by for entry in listed}
            kind: Kind = "vllm" if "vllm" in owners else "sglang" if "sglang" in owners else "openai"
            if kind == "openai" and await _loads_models(client):
                kind = "transformers"
            if self.served.model not in {entry.id for entry in listed}:
                await self._try_unlisted(client, kind, [entry.id for entry in listed])
        return kind

    async def _start(self, note: Callable[[str], None]) -> Abilities:
        async with self.client() as client:
            start = Start(client, self.served.model, self._url, self.sight, self.question, note)
            try:
                return await start.find(as_video=self.as_video, counts_time=self.served.counts_time)
            except APIConnectionError as error:
                raise self._unreachable(error) from None
            except APIStatusError as error:
                raise self._refused(error) from None

    async def _try_unlisted(self, client: AsyncOpenAI, kind: Kind, known: Sequence[str]) -> None:
        if kind != "transformers":
            raise self._other_model(", ".join(known) or "none")
        # It lists what is in its cache, and loads others when they are asked for.
        try:
            await client.chat.completions.create(
                model=self.served.model, messages=[{"role": "user", "content": "1"}], max_tokens=1, temperature=0.0
            )
        except APIConnectionError as error:
            raise self._unreachable(error) from None
        except APIStatusError as error:
            raise self._other_model(f"{', '.join(known) or 'no other listed'} ({words_of(error)})") from None

    def _unreachable(self, error: Exception) -> GoneError:
        cause = error.__cause__ or error
        return GoneError(
            f"server {self._url}: cannot be reached ({cause or type(cause).__name__}). Start it, or correct "
            "--server; what was scored is safe, run it again to go on."
        )

    def _refused(self, error: APIStatusError) -> ModelError:
        said = words_of(error)
        if error.status_code in (401, 403):
            said = f"refuses the key ({said}); set MDSVQA_API_KEY to one that it knows"
        elif error.status_code in _BUSY:
            said = f"stays overloaded ({said}); what was scored is safe, run it again later or with less --concurrency"
            return GoneError(f"server {self._url}: {said}.", error.response.headers.get("Retry-After", ""))
        return ModelError(f"server {self._url}: {said}.")

    def _other_model(self, has: str) -> ModelError:
        return ModelError(
            f"server {self._url}: was asked for model {self.served.model!r}, and has {has}. Name one of these by "
            "--model, or start the server with the model that you want."
        )

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        """Scores clips, `concurrency` requests at a time, in their order.

        Args:
            clips: as `vlm_inputs.see` makes them for `sight`.
            progress: called after each with 1.

        Raises:
            ModelError: the server is gone, stays overloaded, or fails on all of several; or wants none of the first.
        """
        without: list[NoReplyError] = []
        scores = asyncio.run(self._read(clips, progress, without)) if clips else []
        self._answered = self._answered or len(without) < len(scores)
        if len(scores) == len(without) >= TOO_MANY and (not self._answered or all(no.by_failing for no in without)):
            raise ModelError(
                f"server {self._url}: replies to none of {len(scores)} videos, so it is not for the videos: "
                f"{without[0]}"
            )
        return scores

    async def _read(
        self, clips: Sequence[ModelClip], progress: Callable[[int], None], without: list[NoReplyError]
    ) -> list[Score]:
        room = asyncio.Semaphore(self.served.concurrency)
        async with self.client() as client:

            async def score(clip: ModelClip) -> Score:
                async with room:
                    return await self.score(client, clip)

            return await each_score(clips, score, progress, without)

    async def score(self, client: AsyncOpenAI, clip: ModelClip) -> Score:
        """The score of one clip.

        Raises:
            NoReplyError: it gets no reply.
            ModelError: it is not for the clip.
        """
        # Packing takes the time of many small messages; the others go on meanwhile.
        parts = await asyncio.to_thread(frame_parts, clip, as_video=self.as_video, picture=self.served.picture)
        if self.settings.reading == "expected" and self.abilities.exact:
            return await self._expect(client, clip, parts)
        content = [*parts, {"type": "text", "text": self.question}]
        samples = self.settings.samples
        choices = await self._choices(client, clip, content, samples, 0 if samples > 1 else None)
        if self.settings.reading == "expected":
            return score_of_probabilities(clip.id, reply_text(choices[0]), self._steps(choices[0]))
        replies = [reply_of(choice) for choice in choices]
        for attempt in range(1, self.settings.retries + 1 if samples == 1 else 1):
            if replies[0].answer.status != "unparsable":
                break
            fresh = reply_of((await self._choices(client, clip, content, 1, attempt))[0])
            replies = [fresh] if fresh.answer.status != "unparsable" else replies
        return score_of_replies(clip.id, replies)

    async def _expect(self, client: AsyncOpenAI, clip: ModelClip, parts: Sequence[dict[str, Any]]) -> Score:
        async def ask(messages: Sequence[dict[str, Any]], fields: Mapping[str, Any]) -> Sequence[Any]:
            completion = await self._complete(client, {"messages": messages, **fields})
            begun = len(messages[-1]["content"]) - len(prompts.ANSWER_OPENING) + self.abilities.opening
            self._check_frames(clip, completion.usage, begun)
            if not completion.choices:
                raise NoReplyError("the server's answer holds no reply", by_failing=True)
            return self._steps(completion.choices[0])

        tokens, says_times = self.abilities.tokens or (), self.abilities.says_times
        return await expect(ask, clip, parts, self.question, tokens, as_video=self.as_video, says_times=says_times)

    @property
    def question(self) -> str:
        """The prompt. Where a reply cannot be begun with `<answer>`, the server writes the tags itself."""
        return prompts.quality_prompt(self.settings.reading, self.settings.prompt)

    def _steps(self, choice: Any) -> Sequence[Any]:
        steps = choice.logprobs.content if choice.logprobs else None
        if not steps:
            raise ModelError(f"server {self._url}: {_NO_LOGPROBS}")
        return list(steps)

    async def _choices(
        self, client: AsyncOpenAI, clip: ModelClip, content: Any, samples: int, attempt: int | None
    ) -> list[Any]:
        """Replies to one clip, greedy where there is no attempt to tell draws apart by."""
        found: list[Any] = []
        while len(found) < samples:
            # Servers that do not know `n` send one reply at a time.
            more = samples - len(found)
            seed = None if attempt is None else seed_of(self.settings.seed, clip.id, attempt * samples + len(found))
            fields = request_fields(
                self.kind,
                self.settings,
                clip,
                as_video=self.as_video,
                says_times=self.abilities.says_times,
                replies=more,
                seed=seed,
            )
            completion = await self._complete(client, {"messages": [{"role": "user", "content": content}], **fields})
            if not completion.choices:
                raise NoReplyError("the server's answer holds no reply", by_failing=True)
            self._check_frames(clip, completion.usage)
            found += completion.choices[:more]
        return found

    def _check_frames(self, clip: ModelClip, usage: Any, begun: int = 0) -> None:
        if self.as_video and usage and usage.prompt_tokens < clip.tokens:
            raise ModelError(
                f"server {self._url}: read {usage.prompt_tokens} tokens of video {clip.id!r}, which has "
                f"{clip.tokens}: it drops frames. Start vLLM with {SERVER_TIMES}, or use --frames-as images."
            )
        if self.abilities.overhead is None or not usage or self._note is None:
            return
        read = usage.prompt_tokens - self.abilities.overhead - begun
        if read != clip.tokens:
            self._note(
                f"Warning: {self._url} reads {read} tokens of video {clip.id!r}, which has {clip.tokens}: it "
                "changes the size of frames, so scores are those of other pictures. Give its model the limits of "
                "pixels that are asked for here, or ask for its own."
            )
            # Once is enough.
            self._note = None

    async def _complete(self, client: AsyncOpenAI, fields: dict[str, Any]) -> Any:
        """Sends a request, again where the reason may pass.

        Raises:
            NoReplyError: the server does not want this one, fails on it, or takes longer than `timeout`.
            ModelError: it is gone, does not let us in, has not the model, or stays overloaded.
        """
        for attempt in range(self.served.retries + 1):
            asked = None
            try:
                return await client.chat.completions.create(model=self.served.model, **fields)
            except APITimeoutError:
                # Not again: the server may still be at it.
                raise NoReplyError(f"no answer within {self.served.timeout:g} s", by_failing=True) from None
            except APIConnectionError as error:
                problem: Exception = self._unreachable(error)
            except APIStatusError as error:
                problem, asked = self._problem(error), error.response.headers.get("Retry-After")
                if error.status_code < 500 and error.status_code not in _BUSY:
                    raise problem from None
            if self.hands_over and isinstance(problem, GoneError):
                break
            if attempt < self.served.retries:
                await asyncio.sleep(wait_before(attempt, asked, random.random(), time.time()))
        raise problem

    def _problem(self, error: APIStatusError) -> Exception:
        said = words_of(error)
        if error.status_code == 404 or "pinned to" in said:
            return self._other_model(f"not that one ({said})")
        if error.status_code in {401, 403} | _BUSY:
            return self._refused(error)
        if self.settings.reading == "expected" and "logprobs" in said:
            return ModelError(f"server {self._url}: {_NO_LOGPROBS} It said: {said}")
        return NoReplyError(said, by_failing=error.status_code >= 500)


async def each_score(
    clips: Sequence[ModelClip],
    score: Callable[[ModelClip], Awaitable[Score]],
    progress: Callable[[int], None],
    without: list[NoReplyError],
) -> list[Score]:
    """The scores of clips, all asked for at the same time.

    Args:
        clips: to be scored.
        score: of one of them.
        progress: called after each with 1.
        without: gets the reason of each that has none.
    """

    async def found(clip: ModelClip) -> Score:
        try:
            result = await score(clip)
        except NoReplyError as reason:
            without.append(reason)
            result = Score(clip.id, None, "failed", str(reason))
        progress(1)
        return result

    return await all_or_first_error([found(clip) for clip in clips])


def api_root(url: str) -> str:
    """The address below which a server's interface lies; /v1 where none is given.

    >>> api_root("http://localhost:8000"), api_root("https://host/models/v1/")
    ('http://localhost:8000/v1', 'https://host/models/v1')
    """
    return url.rstrip("/") if urlsplit(url).path.strip("/") else url.rstrip("/") + "/v1"


async def _loads_models(client: AsyncOpenAI) -> bool:
    """Whether it is `transformers serve`, which does not say who it is, by a path that only its interface has."""
    try:
        found: Any = await client.get(
            str(client.base_url).rstrip("/").removesuffix("/v1") + "/openapi.json", cast_to=object
        )
    except (APIError, ValueError):
        return False
    return isinstance(found, dict) and "/load_model" in found.get("paths", {})

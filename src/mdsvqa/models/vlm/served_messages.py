"""What goes to a server that speaks the OpenAI protocol, what comes back, and how long to wait in between.

Nothing here touches the network. Servers share the form of a chat completion and differ in what they add to it.
"""

import base64
import email.utils
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import cv2
import torch
from openai import APIStatusError
from torch import Tensor

from mdsvqa.models.base import Score
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.answers import parse_answer
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.expected import LEAST_MASS
from mdsvqa.models.vlm.reader import expected_score
from mdsvqa.models.vlm.replies import DIGITS, Reply, answer_place, expected_in_reply

Kind = Literal["vllm", "sglang", "transformers", "openai"]
# The most that the protocol gives, and enough for ten digits and the point.
TOP_LOGPROBS = 20
# Colours at full resolution: what the usual halving would blur is to be measured.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
# Packed fast, not small: it is unpacked again at once.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
# Frames a second at which nothing is said of their times: vLLM has to be started so that it assumes them.
UNSAID_RATE = 2.0
_SPECIAL = re.compile(r"<\|[a-z_]+\|>")
# Seconds before the first repetition, and at most before any that the server does not ask for itself.
FIRST_WAIT, LONGEST_WAIT, LONGEST_ASKED = 1.0, 60.0, 600.0


def frame_parts(clip: ModelClip, *, as_video: bool, picture: str = "png") -> list[dict[str, Any]]:
    """A clip as content of a message: one video of decoded frames, or a picture a frame.

    Args:
        clip: to be sent.
        as_video: in vLLM's form of a video that is decoded already, which may hold PNG: it looks at each frame.
        picture: "png" or "jpeg".
    """
    packed = [_packed(frame, picture) for frame in clip.frames]
    if as_video:
        return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{','.join(packed)}"}}]
    return [{"type": "image_url", "image_url": {"url": f"data:image/{picture};base64,{frame}"}} for frame in packed]


def named_parts(clip: ModelClip, parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parts of a message with names by which vLLM knows them again: a further request may leave out what they hold."""
    digest = hashlib.sha256(clip.frames.tobytes())
    digest.update(f"{clip.frames.shape} {clip.seconds_per_grid}".encode())
    return [{**part, "uuid": f"{digest.hexdigest()[:32]}-{place}"} for place, part in enumerate(parts)]


def without_frames(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Named parts without what they hold."""
    return [{**part, str(part["type"]): None} for part in parts]


def times_of(clip: ModelClip) -> dict[str, Any]:
    """Fields of a request to vLLM that say when the frames of a clip were shown."""
    # Two frames share a step of the temporal grid.
    return {"media_io_kwargs": {"video": {"num_frames": -1, "fps": 2 / clip.seconds_per_grid}}}


def _packed(frame: Any, picture: str) -> str:
    ending, options = (".jpg", _JPEG) if picture == "jpeg" else (".png", _PNG)
    shown = cv2.cvtColor(frame.transpose(1, 2, 0).copy(), cv2.COLOR_RGB2BGR)
    return base64.b64encode(cv2.imencode(ending, shown, options)[1].tobytes()).decode()


def request_fields(
    kind: Kind,
    settings: VlmSettings,
    clip: ModelClip,
    *,
    as_video: bool,
    says_times: bool | None = False,
    replies: int = 1,
    seed: int | None = None,
) -> dict[str, Any]:
    """What a request says beside the model and the message, as arguments of the client.

    Args:
        kind: of server.
        settings: reading, length of a reply.
        clip: that is asked about.
        as_video: whether its frames go as one video.
        says_times: also where the server should assume them; None: nowhere.
        replies: wanted.
        seed: of drawn replies; None for a greedy one.
    """
    fields: dict[str, Any] = {
        "max_tokens": settings.max_new_tokens,
        "temperature": 0.0 if seed is None else 1.0,
        "top_p": 1.0,
    }
    extra: dict[str, Any] = {}
    if kind in ("vllm", "sglang"):
        # Both take what is not said from the checkpoint's generation_config.json: its repetition penalty, for example.
        extra["top_k"] = -1
        if settings.repetition_penalty is not None:
            extra["repetition_penalty"] = settings.repetition_penalty
        # Only they say at what a reply stopped. `transformers serve` 5.23 fails on a text to stop at, where the model
        # has a processor.
        fields["stop"] = [prompts.ANSWER_CLOSING]
    if kind == "transformers" and settings.repetition_penalty is not None:
        # Its way to say it.
        fields["frequency_penalty"] = settings.repetition_penalty - 1
    if settings.reading == "expected" or kind in ("vllm", "sglang"):
        fields |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    if seed is not None:
        fields["seed"] = seed
        if replies > 1:
            fields["n"] = replies
        if kind == "transformers":
            # A temperature alone does not make it draw.
            drawn = {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
            extra["generation_config"] = json.dumps(drawn)
    unusual = not math.isclose(2 / clip.seconds_per_grid, UNSAID_RATE, rel_tol=1e-6)
    # Two frames share a step of time; one step has no times.
    if as_video and len(clip.frames) > 2 and says_times is not None and (says_times or unusual):
        extra |= times_of(clip)
    return {**fields, "extra_body": extra} if extra else fields


def answer_fields(
    clip: ModelClip, beginning: str, tokens: Sequence[int], *, as_video: bool, says_times: bool | None
) -> dict[str, Any]:
    """What a request for the probabilities of an answer says beside the model and the message; for vLLM.

    Args:
        clip: that is asked about.
        beginning: of the answer, which the message begins for the model.
        tokens: ids of the digits and the point: no others are written, and the probabilities of all of them come back,
            as they were before others were ruled out.
        as_video, says_times: as in `request_fields`.
    """
    fields = request_fields("vllm", VlmSettings(), clip, as_video=as_video, says_times=says_times)
    del fields["stop"]
    extra = {
        **fields["extra_body"],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "logprob_token_ids": list(tokens),
        "allowed_token_ids": list(tokens),
        "return_tokens_as_token_ids": True,
    }
    # The first digit, the point and two decimals.
    return {**fields, "max_tokens": 4 - len(beginning), "extra_body": extra}


def answer_odds(steps: Sequence[Any], tokens: Sequence[int]) -> tuple[list[str], list[list[float]]]:
    """What a server wrote behind the beginning of an answer, and the probabilities of digits and point at each step.

    Args:
        steps: the `logprobs.content` of a choice, with ids for tokens.
        tokens: ids of the digits and the point.
    """
    places = {f"token_id:{token}": place for place, token in enumerate(tokens)}
    written, odds = [], []
    for step in steps:
        row = [0.0] * len(tokens)
        for candidate in [step, *step.top_logprobs]:
            if candidate.token in places:
                row[places[candidate.token]] = math.exp(candidate.logprob)
        odds.append(row)
        written.append([*DIGITS, "."][places[step.token]] if step.token in places else "")
    return written, odds


def words_of(error: APIStatusError) -> str:
    """What a server said when it refused, in one line."""
    body: Any = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return f"{error.status_code}: {' '.join(str(body or error.message).split())[:300]}"


def seed_of(seed: int, video: str, attempt: int) -> int:
    """Of a drawn reply: the same whenever the same video is asked about again.

    >>> seed_of(0, "a", 1) == seed_of(0, "a", 1), seed_of(0, "a", 1) == seed_of(0, "b", 1)
    (True, False)
    """
    return zlib.crc32(f"{seed} {attempt} {video}".encode()) >> 1


def reply_text(choice: Any) -> str:
    """The whole text of a reply, put together from where servers keep its parts.

    Some take the thinking out. Some take the closing tag away, and say so; a reply that was cut off for another reason
    stays unclosed: it may have lost digits.
    """
    text: str = choice.message.content or ""
    thought = getattr(choice.message, "reasoning_content", None) or getattr(choice.message, "reasoning", None)
    if thought:
        text = f"<think>{thought}</think>\n{text}" if text else f"<think>{thought}"
    # Some leave the tokens in that end a turn.
    text = _SPECIAL.sub("", text)
    stopped = getattr(choice, "stop_reason", None) or getattr(choice, "matched_stop", None)
    taken = stopped == prompts.ANSWER_CLOSING and not text.endswith(prompts.ANSWER_CLOSING)
    return text + prompts.ANSWER_CLOSING if taken else text


def reply_of(choice: Any) -> Reply:
    """A reply as it is scored, from a choice of a completion."""
    text = reply_text(choice)
    answer, expected = parse_answer(text), None
    steps = choice.logprobs.content if choice.logprobs else None
    if steps and answer.status == "ok":
        expected = expected_in_reply([step.token for step in steps], digit_probabilities(steps))
    return Reply(text, answer, expected, cut=choice.finish_reason == "length" and answer.status == "unparsable")


def digit_probabilities(steps: Sequence[Any]) -> Tensor:
    """Probabilities of digits 0 to 9 and the point at each step of a reply, 0 where the server did not list them.

    Args:
        steps: the `logprobs.content` of a choice.

    Returns:
        Shape (steps, 11).
    """
    columns = {token: place for place, token in enumerate([*DIGITS, "."])}
    found = torch.zeros(len(steps), 11)
    for row, step in enumerate(steps):
        for candidate in [step, *step.top_logprobs]:
            if candidate.token in columns:
                found[row, columns[candidate.token]] = math.exp(candidate.logprob)
    return found


def score_of_probabilities(video: str, text: str, steps: Sequence[Any]) -> Score:
    """The expected score along the answer that a server wrote.

    Args:
        video: its id.
        text: of the reply.
        steps: the `logprobs.content` of the choice.
    """
    pieces, probabilities = [step.token for step in steps], digit_probabilities(steps)
    place, value = answer_place(pieces), expected_in_reply(pieces, probabilities)
    if place is None:
        return Score(video, None, "unparsable", text)
    on_scale, numeric = float(probabilities[place, 1:6].sum()), float(probabilities[place, :10].sum())
    if value is None and on_scale >= LEAST_MASS:
        # The written token is another one than the digits that are likely together.
        return Score(video, None, "unparsable", text)
    found = expected_score(video, value or 0.0, on_scale, numeric)
    return replace(found, text=text) if found.status == "ok" else found


def wait_before(attempt: int, asked: str | None, chance: float, now: float) -> float:
    """Seconds to wait before a request is sent again.

    Args:
        attempt: 0 before the first repetition; each wait is twice the one before, up to a minute.
        asked: the server's Retry-After, minded up to ten minutes.
        chance: in [0, 1); a wait is between a half and the whole, so that requests do not come back all at once.
        now: seconds since 1970.

    >>> wait_before(2, None, 0.5, 0.0), wait_before(0, "7", 0.5, 0.0), wait_before(20, None, 0.0, 0.0)
    (3.0, 7.0, 30.0)
    """
    own = min(FIRST_WAIT * 2 ** min(attempt, 10), LONGEST_WAIT) * (0.5 + chance / 2)
    return max(own, min(retry_after(asked, now), LONGEST_ASKED))


def retry_after(header: str | None, now: float) -> float:
    """Seconds that a Retry-After asks for, as a number or a date; 0 where there is none that can be read.

    >>> retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 45.0), retry_after("1.5", 0.0), retry_after("soon", 0.0)
    (15.0, 1.5, 0.0)
    """
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0

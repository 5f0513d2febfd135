"""What goes to a server that speaks the OpenAI protocol, what comes back, and how long to wait in between.

Nothing here touches the network. Servers share the form of a chat completion and differ in what they add to it.
"""

import base64
import email.utils
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import cv2
import torch
from torch import Tensor

from mdsvqa.config import VlmSettings
from mdsvqa.quality import prompts
from mdsvqa.quality.base import Score
from mdsvqa.quality.expected import LEAST_MASS
from mdsvqa.quality.qwen import expected_score
from mdsvqa.quality.replies import DIGITS, answer_place, expected_in_reply
from mdsvqa.quality.vlm_inputs import SeenClip

Kind = Literal["vllm", "sglang", "transformers", "openai"]
# The most that the protocol gives, and enough for ten digits and the point.
TOP_LOGPROBS = 20
# Colours at full resolution: what the usual halving would blur is to be measured.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
# Packed fast, not small: it is unpacked again at once.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
# That vLLM takes decoded frames to have.
_ASSUMED_RATE = 2.0
_SPECIAL = re.compile(r"<\|[a-z_]+\|>")
# Seconds before the first repetition, and at most before any that the server does not ask for itself.
FIRST_WAIT, LONGEST_WAIT, LONGEST_ASKED = 1.0, 60.0, 600.0


def frame_parts(clip: SeenClip, *, as_video: bool, picture: str = "png") -> list[dict[str, Any]]:
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


def _packed(frame: Any, picture: str) -> str:
    ending, options = (".jpg", _JPEG) if picture == "jpeg" else (".png", _PNG)
    shown = cv2.cvtColor(frame.transpose(1, 2, 0).copy(), cv2.COLOR_RGB2BGR)
    return base64.b64encode(cv2.imencode(ending, shown, options)[1].tobytes()).decode()


def request_fields(
    kind: Kind, settings: VlmSettings, clip: SeenClip, *, as_video: bool, replies: int = 1, seed: int | None = None
) -> dict[str, Any]:
    """What a request says beside the model and the message, as arguments of the client.

    Args:
        kind: of server.
        settings: reading, length of a reply.
        clip: that is asked about.
        as_video: whether its frames go as one video.
        replies: wanted.
        seed: of drawn replies; None for a greedy one.
    """
    fields: dict[str, Any] = {
        "max_tokens": settings.most_tokens,
        "temperature": 0.0 if seed is None else 1.0,
        "top_p": 1.0,
    }
    extra: dict[str, Any] = {}
    if kind in ("vllm", "sglang"):
        # Both take what is not said from the checkpoint's generation_config.json: 1.05 of Qwen2.5-VL, for example.
        extra |= {"top_k": -1, "repetition_penalty": 1.0}
        # Only they say at what a reply stopped. `transformers serve` 5.23 fails on a text to stop at, where the model
        # has a processor.
        fields["stop"] = [prompts.ANSWER_CLOSING]
    if kind == "transformers":
        # Its way to say repetition_penalty 1.
        fields["frequency_penalty"] = 0.0
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
    # Two frames share a step of the temporal grid.
    rate = 2 / clip.seconds_per_grid
    if as_video and not math.isclose(rate, _ASSUMED_RATE, rel_tol=0.02):
        extra["mm_processor_kwargs"] = {"fps": rate, "do_sample_frames": False}
    return {**fields, "extra_body": extra} if extra else fields


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
    unclosed = text.rfind(prompts.ANSWER_OPENING) > text.rfind(prompts.ANSWER_CLOSING)
    return text + prompts.ANSWER_CLOSING if stopped == prompts.ANSWER_CLOSING and unclosed else text


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

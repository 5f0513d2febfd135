"""f as a vision-language model: batches of videos in, scores out, read in either of two ways.

generate   the model thinks and answers, the answer is parsed; the expected score at its place comes for free
expected   the mean of all answers that it could give, in one pass and a short one; of levels, in one pass
"""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.batching import MemoryUse, batches_by_tokens, free_memory, run_halving
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.adapter_rounding import Rounding, merge_into, rounding_of
from mdsvqa.models.vlm.answers import parse_answer
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.clips import ModelClip, Prompt, made_up_clip, resize_clip
from mdsvqa.models.vlm.expected import (
    LEAST_MASS,
    AnswerTokens,
    AnswerTree,
    Expectation,
    expected_value,
    read_tree,
    read_tree_at_once,
)
from mdsvqa.models.vlm.families.catalogue import family_of_model
from mdsvqa.models.vlm.generation import Step, Writing, end_tokens, write, write_by_generate
from mdsvqa.models.vlm.levels import level_score, level_tokens
from mdsvqa.models.vlm.replies import (
    AnswerEnd,
    AnswerRecorder,
    RepetitionPenalty,
    Reply,
    expected_in_reply,
    score_of_replies,
)
from mdsvqa.runtime.workers import cores
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Undecodable

# What a CPU's caches like, where a step of generation costs much whatever the batch. A GPU's memory is measured.
CPU_BATCH_TOKENS = {"generate": 24_576, "expected": 8_192}
# Tokens of questions that a GPU reads at a time before it writes replies to many of them: more are no faster.
GROUP_TOKENS = 32_768
# Bytes that a pair of tokens takes where a batch is padded: masks of the attention in three forms.
_MASKED = 4
# Tokens that a batch has room for behind each question. Replies may be longer; one that then does not fit is halved.
_USUAL_REPLY = 256
NO_MEMORY = "this video alone does not fit the device's memory; allow fewer frames or pixels"


class VlmReader:
    """A loaded checkpoint that scores clips; a `QualityModel`.

    Args:
        checkpoint: base model, with its adapter if any.
        settings: reading, limits, batch size.
        question: what is asked of each video, in place of its quality.

    Attributes:
        family: that the checkpoint belongs to.
        sight: how a clip must be seen to be read.
        penalty: on repeated tokens in the replies that are scored, 1 for none.

    Raises:
        ModelError: `settings.reading` is "expected", and the tokenizer has no token for each digit.
    """

    def __init__(self, checkpoint: Checkpoint, settings: VlmSettings, question: str | None = None) -> None:
        self.model, self.processor, self.settings = checkpoint.model, checkpoint.processor, settings
        self.tokenizer = checkpoint.processor.tokenizer
        self.family = family_of_model(checkpoint.model)
        self.sight = self.family.sight(settings, checkpoint.processor)
        self.device = next(self.model.parameters()).device
        own = getattr(self.model.generation_config, "repetition_penalty", None)
        self.penalty = float(settings.repetition_penalty or own or 1.0)
        on_cpu = self.device.type == "cpu"
        self._batch_tokens = settings.batch_tokens or (CPU_BATCH_TOKENS[settings.reading] if on_cpu else None)
        self.family.speed_up(self.model)
        # What else is asked than quality is asked for a score.
        by_level = settings.answers == "levels" and question is None
        wants_tree = settings.reading == "expected" and not by_level
        if wants_tree and self.family.limits:
            raise ModelError(f"reading expected: {self.family.limits}")
        try:
            self.levels = level_tokens(self.tokenizer) if by_level else None
            self.answer: AnswerTokens | None = AnswerTokens.of(self.tokenizer)
        except ValueError as error:
            if wants_tree or by_level:
                raise ModelError(str(error)) from None
            self.answer = None
        self._tree = AnswerTree.of(self.answer) if self.answer else None
        known = self.tokenizer.get_vocab()
        self.suppressed = [known[token] for token in self.family.placeholders if token in known]
        asked = question or prompts.quality_prompt(settings.reading, settings.prompt, settings.answers)
        opening = prompts.ANSWER_OPENING if settings.reading == "expected" else ""
        opening = prompts.LEVELS_OPENING if by_level else opening
        self.prompt = self.family.prompt(self.processor, asked, opening)

    def close(self) -> None:
        """Nothing: memory goes with what holds it."""

    def merge_if_as_good(self) -> Rounding | None:
        """Merges the model's adapter where that rounds no more than the model does; what was measured for it."""
        model = self.model
        found = rounding_of(model, self.batch([made_up_clip(self.sight)], [self.prompt]))
        if found is not None and found.may_merge:
            self.model = merge_into(model)
        return found

    @property
    def overhead(self) -> int:
        """Tokens that a clip takes beside those of its video: the question, and room for the answer."""
        if self.settings.reading == "expected" and self._tree is not None:
            return self.prompt.tokens + len(self._tree.tokens)
        return self.prompt.tokens + min(self.settings.max_new_tokens, _USUAL_REPLY)

    def batch_tokens(self, clips: Sequence[ModelClip]) -> int:
        """Tokens of a batch of clips: as set, else what fits the GPU's memory by what the longest of them takes."""
        if self._batch_tokens is None and self.family.limits:
            self._batch_tokens = GROUP_TOKENS
        if self._batch_tokens is None and clips:
            longest = max(clips, key=lambda clip: clip.tokens)
            batch = self.batch([longest], [self.prompt])
            length = batch["input_ids"].shape[1]
            with MemoryUse(self.device) as use, torch.inference_mode():
                outputs = self.model(**batch, use_cache=True, logits_to_keep=1)
            del outputs, batch
            free, kept, most = free_memory(self.device), use.kept / length, use.most / length + _MASKED * length
            if self.settings.reading == "generate":
                free -= int(most * max(GROUP_TOKENS, length))
                most = kept
            self._batch_tokens = max(length, int(free / most))
        return self._batch_tokens or 1

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """Scores clips of any size; see `QualityModel`."""
        with ThreadPoolExecutor(min(cores(0), 8)) as threads:
            seen = list(threads.map(partial(resize_clip, sight=self.sight), clips))
        scores = iter(self.read([clip for clip in seen if isinstance(clip, ModelClip)]))
        return [
            Score(clip.id, None, "undecodable", found.reason) if isinstance(found, Undecodable) else next(scores)
            for clip, found in zip(clips, seen, strict=True)
        ]

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        """Scores clips that are at the size at which the model reads them, in their order.

        Args:
            clips: as `clips.resize_clip` makes them.
            progress: called after each batch with how many more clips are read.
        """
        run = self._expect if self.settings.reading == "expected" else self._reply
        lengths = [(clip.tokens + self.overhead) * self.settings.samples for clip in clips]
        scores: dict[str, Score] = {}
        for batch in batches_by_tokens(lengths, self.batch_tokens(clips)):
            found = run_halving([clips[i] for i in batch], run, lambda clip: Score(clip.id, None, "failed", NO_MEMORY))
            scores |= {score.id: score for score in found}
            progress(len(batch))
        return [scores[clip.id] for clip in clips]

    def batch(self, clips: Sequence[ModelClip], prompt_of_each: Sequence[Prompt]) -> dict[str, Tensor]:
        """Arguments of the model's forward pass; see `Family.batch`."""
        if any(clip.seen is not None for clip in clips):
            clips = [self.looked_at(clip) for clip in clips]
        return self.family.batch(clips, prompt_of_each, self.processor, self.sight, self.device)

    def looked_at(self, clip: ModelClip) -> ModelClip:
        """A clip with what the vision tower makes of it in place of its frames; the clip where it has that already."""
        if clip.seen is not None:
            return clip
        with torch.no_grad():
            found = self.family.see(self.model, self.batch([clip], [self.prompt]))
        if found is None:
            return clip
        return replace(clip, frames=np.broadcast_to(np.uint8(0), clip.frames.shape), seen=found[0])

    def expectation(self, clips: Sequence[ModelClip]) -> Expectation:
        """The mean answer behind `<answer>`, differentiable, for training; see `read_tree_at_once`.

        Args:
            clips: one batch, in any state of the model, with the prompt of reading "expected".
        """
        assert self.answer is not None
        assert self._tree is not None
        first, behind = read_tree_at_once(
            self.family, self.model, self.batch(clips, [self.prompt] * len(clips)), self._tree
        )
        return expected_value(first, behind, self.answer)

    @torch.inference_mode()
    def _expect(self, clips: Sequence[ModelClip]) -> list[Score]:
        if self.levels is not None:
            return self._rate(clips, self.levels)
        assert self.answer is not None
        assert self._tree is not None
        first, behind = read_tree(self.family, self.model, self.batch(clips, [self.prompt] * len(clips)), self._tree)
        found = expected_value(first, behind, self.answer)
        rows = zip(clips, found.value.tolist(), found.on_scale.tolist(), found.numeric.tolist(), strict=True)
        return [expected_score(clip.id, value, on_scale, numeric) for clip, value, on_scale, numeric in rows]

    def _rate(self, clips: Sequence[ModelClip], levels: tuple[int, ...]) -> list[Score]:
        logits = self.model(**self.batch(clips, [self.prompt] * len(clips)), use_cache=False, logits_to_keep=1).logits
        found = level_score(logits[:, -1], levels)
        return [
            Score(clip.id, value, expected=value)
            if there >= LEAST_MASS
            else Score(clip.id, None, "unparsable", f"the five levels have a probability of {there:.2f}")
            for clip, value, there in zip(clips, found.value.tolist(), found.on_scale.tolist(), strict=True)
        ]

    def _reply(self, clips: Sequence[ModelClip]) -> list[Score]:
        samples = self.settings.samples
        replies = self.replies(clips, samples, drawn=samples > 1)
        for attempt in range(1, self.settings.retries + 1 if samples == 1 else 1):
            again = [i for i, found in enumerate(replies) if found[0].answer.status == "unparsable"]
            if not again:
                break
            fresh = self.replies([clips[i] for i in again], 1, drawn=True, attempt=attempt)
            for i, found in zip(again, fresh, strict=True):
                replies[i] = found if found[0].answer.status != "unparsable" else replies[i]
        return [score_of_replies(clip.id, found) for clip, found in zip(clips, replies, strict=True)]

    @torch.inference_mode()
    def replies(self, clips: Sequence[ModelClip], samples: int, *, drawn: bool, attempt: int = 0) -> list[list[Reply]]:
        """What the model writes about each clip.

        Args:
            clips: one batch.
            samples: replies to each.
            drawn: at temperature 1 instead of greedily; the same for the same seed, clips and attempt.
            attempt: which draw it is.
        """
        recorder = AnswerRecorder(self.answer) if self.answer else None
        if drawn:
            torch.manual_seed(zlib.crc32(f"{self.settings.seed} {attempt} {clips[0].id}".encode()))

        def steps(mask: Tensor) -> list[Step]:
            # Recorded are the model's own probabilities, before the penalty.
            penalty = [] if self.penalty == 1 else [RepetitionPenalty(self.penalty, mask)]
            return [*([recorder] if recorder else []), *penalty]

        written = self.written(clips, samples, 1.0 if drawn else None, steps)
        seen = recorder.probabilities() if recorder else [None] * len(written)
        found = [self._reply_of(row, odds) for row, odds in zip(written.tolist(), seen, strict=True)]
        return [found[i : i + samples] for i in range(0, len(found), samples)]

    def written(
        self,
        clips: Sequence[ModelClip],
        samples: int,
        temperature: float | None,
        steps_of: Callable[[Tensor], Sequence[Step]] = lambda mask: (),
        *,
        answer_ends: bool = True,
    ) -> Tensor:
        """Tokens that the model writes about each clip; see `generation.write`.

        Args:
            clips: one batch.
            samples, temperature, steps_of: as there.
            answer_ends: whether a reply ends with its answer, or goes on until the model ends it.
        """
        tokenizer = self.tokenizer
        writing = Writing(
            self.settings.max_new_tokens,
            samples,
            temperature,
            self.suppressed,
            tokenizer.pad_token_id,
            end_tokens(self.model),
        )
        ended = AnswerEnd(tokenizer) if answer_ends else None
        if self.family.limits:
            return write_by_generate(
                self.model, self.batch(clips, [self.prompt] * len(clips)), writing, steps_of, ended
            )
        longest = max(clip.tokens for clip in clips) + self.prompt.tokens
        size = len(clips) if self.device.type == "cpu" else max(1, GROUP_TOKENS // longest)
        groups = (
            (slice(start, start + len(part)), self.batch(part, [self.prompt] * len(part)))
            for start in range(0, len(clips), size)
            for part in [clips[start : start + size]]
        )
        return write(self.family, self.model, groups, len(clips), writing, steps_of, ended)

    def _reply_of(self, tokens: list[int], probabilities: Tensor | None) -> Reply:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        answer = parse_answer(text)
        expected = None
        if answer.status == "ok" and probabilities is not None and self.answer is not None:
            pieces = [self.tokenizer.decode([token]) for token in tokens]
            expected = expected_in_reply(pieces, probabilities)
        full = len(tokens) >= self.settings.max_new_tokens
        ended = any(token in tokens for token in (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id))
        return Reply(text, answer, expected, cut=full and not ended and answer.status == "unparsable")


def expected_score(video: str, value: float, on_scale: float, numeric: float) -> Score:
    """The score of an expectation; none where the model hardly means to give one.

    Args:
        video: its id.
        value: expected score, 1-5.
        on_scale, numeric: probability that the answer begins with a digit from 1 to 5, with any digit.

    >>> expected_score("a", 3.2, 0.2, 0.9).status, expected_score("a", 3.2, 0.2, 0.3).status
    ('out_of_range', 'unparsable')
    """
    if on_scale >= LEAST_MASS:
        return Score(video, value, expected=value)
    share = f"digits from 1 to 5 have a probability of {on_scale:.2f}, all digits {numeric:.2f}"
    return Score(video, None, "out_of_range" if numeric >= LEAST_MASS else "unparsable", share)

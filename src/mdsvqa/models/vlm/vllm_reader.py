"""A checkpoint that vLLM runs in this process: what the client asks a server for, without the server.

Frames go as a video that is decoded already, with its times, as a server makes it of what the client sends. vLLM keeps
the prompts of a whole window at work together, in the order in which it finds room for them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.checkpoints import find_checkpoint, pick_device, pick_dtype, short_reason, weights_fingerprint
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import AutoProcessor
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.families.catalogue import family_of
from mdsvqa.models.vlm.replies import Reply, score_of_replies
from mdsvqa.models.vlm.served_messages import reply_of, request_fields, seed_of
from mdsvqa.models.vlm.served_start import OLDEST, minds_times

INSTALL = "pip install vllm, or let transformers run the checkpoint, which is the default"


class VllmReader:
    """A checkpoint that vLLM runs; scores clips by replies.

    Args:
        folder: of the checkpoint.
        name: of it, in messages.
        settings: limits, length of a reply, draws.

    Attributes:
        family: that the checkpoint belongs to.
        sight: how a clip must be seen to be read.
        penalty: on repeated tokens in the replies, 1 for none.
        version: of vLLM.

    Raises:
        ModelError: vLLM is not installed or cannot load it, or the settings ask for what it does not do.
    """

    def __init__(self, folder: Path, name: str, settings: VlmSettings) -> None:
        vllm, self.version = _installed()
        self.settings = settings
        self.family = family_of(folder, name)
        if self.family.limits:
            raise ModelError(f"vLLM in this process: {self.family.limits}")
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=settings.trust_remote_code)
        self.sight = self.family.sight(settings, processor)
        prompt = self.family.prompt(processor, prompts.quality_prompt("generate", settings.prompt))
        video = processor.tokenizer.convert_tokens_to_ids(processor.video_token)
        self._prompt = [*prompt.before, video, *prompt.after]
        device = pick_device(settings.device)
        try:
            self._engine = vllm.LLM(
                model=str(folder),
                dtype=str(pick_dtype(settings.dtype, device)).removeprefix("torch."),
                seed=settings.seed,
                trust_remote_code=settings.trust_remote_code,
                limit_mm_per_prompt={"video": 1, "image": 0},
                # As long as its memory holds one: a checkpoint may allow more than a card does.
                max_model_len=-1,
                enforce_eager=device.type == "cpu",
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"model {name!r}: vLLM {self.version} cannot load it: {short_reason(error)}") from error
        self._parameters = vllm.SamplingParams
        own = self._engine.get_default_sampling_params().repetition_penalty
        self.penalty = float(settings.repetition_penalty or own or 1.0)

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        """Scores clips that are at the size at which the model reads them, in their order; see `VlmReader.read`."""
        samples = self.settings.samples
        replies = self._replies(clips, samples, 0 if samples > 1 else None)
        for attempt in range(1, self.settings.retries + 1 if samples == 1 else 1):
            again = [place for place, found in enumerate(replies) if found[0].answer.status == "unparsable"]
            fresh = self._replies([clips[place] for place in again], 1, attempt)
            for place, found in zip(again, fresh, strict=True):
                replies[place] = found if found[0].answer.status != "unparsable" else replies[place]
        progress(len(clips))
        return [score_of_replies(clip.id, found) for clip, found in zip(clips, replies, strict=True)]

    def _replies(self, clips: Sequence[ModelClip], samples: int, attempt: int | None) -> list[list[Reply]]:
        """Replies to each clip, greedy where there is no attempt to tell draws apart by."""
        if not clips:
            return []
        asked = [{"prompt_token_ids": self._prompt, **self._video(clip)} for clip in clips]
        drawn = [self._sampling(clip, samples, attempt) for clip in clips]
        found = self._engine.generate(asked, drawn, use_tqdm=False)
        for clip, output in zip(clips, found, strict=True):
            read = len(output.prompt_token_ids) - len(self._prompt) + 1
            if read < clip.tokens:
                raise ModelError(
                    f"vLLM {self.version} reads {read} tokens of video {clip.id!r}, which has {clip.tokens}: it drops "
                    "or reduces frames. Let transformers run the checkpoint."
                )
        return [[reply_of(_choice(each)) for each in output.outputs] for output in found]

    def _video(self, clip: ModelClip) -> dict[str, Any]:
        """A clip with its times, and no further change of its size."""
        frames = np.ascontiguousarray(clip.frames.transpose(0, 2, 3, 1))
        rate = self.sight.span / clip.seconds_per_grid
        about = {
            "total_num_frames": len(frames),
            "fps": rate,
            "duration": len(frames) / rate,
            "video_backend": "jpeg_sequence",
            "frames_indices": list(range(len(frames))),
            "do_sample_frames": False,
        }
        return {"multi_modal_data": {"video": [(frames, about)]}, "mm_processor_kwargs": {"do_resize": False}}

    def _sampling(self, clip: ModelClip, samples: int, attempt: int | None) -> Any:
        """What a server would be asked for."""
        seed = None if attempt is None else seed_of(self.settings.seed, clip.id, attempt * samples)
        fields = request_fields("vllm", self.settings, clip, as_video=True, replies=samples, seed=seed)
        return self._parameters(
            n=samples,
            max_tokens=fields["max_tokens"],
            temperature=fields["temperature"],
            top_p=fields["top_p"],
            top_k=fields["extra_body"]["top_k"],
            repetition_penalty=self.penalty,
            stop=fields["stop"],
            logprobs=fields["top_logprobs"],
            seed=seed,
        )


def load_vllm(model: str, settings: VlmSettings) -> tuple[VllmReader, Mapping[str, Any]]:
    """Loads a checkpoint into vLLM; see `load.load_vlm`."""
    _check(settings)
    _installed()
    folder = find_checkpoint(model, remote_code=settings.trust_remote_code)
    reader = VllmReader(folder, model, settings)
    return reader, {"model": model, "weights": weights_fingerprint(folder), "engine": f"vllm {reader.version}"}


def _installed() -> tuple[Any, str]:
    # Here, not in a process of its own, which on some machines could only start where this one guards its main module.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        vllm = import_module("vllm")
    except ImportError as error:
        raise ModelError(f"vLLM is not installed here ({error}): {INSTALL}.") from None
    version = str(vllm.__version__)
    if not minds_times(version):
        raise ModelError(f"vLLM {version} ignores the times of frames; it minds them from {OLDEST} on.")
    return vllm, version


def _check(settings: VlmSettings) -> None:
    """Raises a ModelError where settings ask for what vLLM does not do here."""
    if settings.reading != "generate":
        raise ModelError(
            "vLLM in this process writes replies (reading generate). The expected score is one pass through the model; "
            "leave it to transformers, the default."
        )
    if settings.adapter or settings.base_adapters:
        raise ModelError(
            "vLLM in this process takes no adapter. `mdsvqa merge` writes base and adapter as one checkpoint: name "
            "that by --model."
        )
    if settings.load_in_4bit:
        raise ModelError("vLLM in this process: load_in_4bit is for transformers. Name a quantised checkpoint.")


def _choice(output: Any) -> Any:
    """A completion in the form in which a server sends it."""
    steps = [
        SimpleNamespace(
            token=listed[token].decoded_token,
            logprob=listed[token].logprob,
            top_logprobs=[SimpleNamespace(token=each.decoded_token, logprob=each.logprob) for each in listed.values()],
        )
        for token, listed in zip(output.token_ids, output.logprobs or [], strict=False)
    ]
    return SimpleNamespace(
        message=SimpleNamespace(content=output.text),
        logprobs=SimpleNamespace(content=steps),
        finish_reason=output.finish_reason,
        stop_reason=output.stop_reason,
    )

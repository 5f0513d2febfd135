"""A checkpoint that vLLM runs for this process: what the client asks a server for, without the server.

Frames go as a video that is decoded already, with its times, as a server makes it of what the client sends. vLLM keeps
the prompts of a whole window at work together, in the order in which it finds room for them.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from mdsvqa.models.vlm.adapters import CONFIG, opened
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.families.catalogue import family_of
from mdsvqa.models.vlm.replies import Reply, score_of_replies
from mdsvqa.models.vlm.served_messages import reply_of, request_fields, seed_of
from mdsvqa.models.vlm.served_start import OLDEST, minds_times

MERGE = "`mdsvqa merge` writes base and adapter as one checkpoint: name that by --model."
# Tensors of an adapter that vLLM knows, and settings that it does not mind.
_TAKEN = re.compile(r"base_model\.model\.model\.language_model\.layers\.\d+\..*\.lora_[AB]\.weight")
_ITS_OWN = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "fan_in_fan_out")
# Ranks that it makes room for.
_ROOMS = (8, 16, 32, 64, 128, 256, 320, 512)
INSTALL = "pip install vllm, or let transformers run the checkpoint, which is the default"


@dataclass(frozen=True)
class Served:
    """An adapter as vLLM takes it: its folder, and its rank."""

    folder: Path
    rank: int


class VllmReader:
    """A checkpoint that vLLM runs; scores clips by replies.

    Args:
        folder: of the checkpoint.
        name: of it, in messages.
        settings: limits, length of a reply, draws.
        adapter: beside it, if any.

    Attributes:
        family: that the checkpoint belongs to.
        sight: how a clip must be seen to be read.
        penalty: on repeated tokens in the replies, 1 for none.
        version: of vLLM.

    Raises:
        ModelError: vLLM is not installed, or cannot load it.
    """

    def __init__(self, folder: Path, name: str, settings: VlmSettings, adapter: Served | None = None) -> None:
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
        beside = {} if adapter is None else {"enable_lora": True, "max_lora_rank": _room(adapter.rank)}
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
                **beside,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"model {name!r}: vLLM {self.version} cannot load it: {short_reason(error)}") from error
        known = processor.tokenizer.get_vocab()
        self._never = {known[token]: -100.0 for token in self.family.placeholders if token in known}
        self._parameters = vllm.SamplingParams
        self._adapter = None
        if adapter is not None:
            self._adapter = import_module("vllm.lora.request").LoRARequest("adapter", 1, str(adapter.folder))
        own = self._engine.get_default_sampling_params().repetition_penalty
        self.penalty = float(settings.repetition_penalty or own or 1.0)

    def close(self) -> None:
        """Ends vLLM's own process, which holds most of a GPU: nothing can be read any more."""
        self._engine.llm_engine.engine_core.shutdown()

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
        found = self._engine.generate(asked, drawn, use_tqdm=False, lora_request=self._adapter)
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
            logit_bias=self._never,
        )


def load_vllm(model: str, settings: VlmSettings) -> tuple[VllmReader, Mapping[str, Any]]:
    """Loads a checkpoint into vLLM; see `load.load_vlm`."""
    if settings.base_adapters:
        raise ModelError(f"vLLM in this process takes one adapter, not one below it. {MERGE}")
    _installed()
    folder = find_checkpoint(model, remote_code=settings.trust_remote_code)
    maker = {"model": model, "weights": weights_fingerprint(folder)}
    adapter = None
    if settings.adapter is not None:
        place = find_checkpoint(settings.adapter, what="adapter")
        adapter = Served(place, _rank(place, settings.adapter))
        maker |= {"adapter": settings.adapter, "adapter_weights": weights_fingerprint(place)}
    reader = VllmReader(folder, model, settings, adapter)
    return reader, {**maker, "engine": f"vllm {reader.version}"}


def _rank(folder: Path, name: str) -> int:
    """The rank of an adapter that vLLM applies whole: of others it leaves out what it does not know."""
    with opened(folder, name) as file:
        keys = list(file.keys())
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    own = [key for key in _ITS_OWN if config.get(key)]
    odd = [key for key in keys if not _TAKEN.fullmatch(key)]
    if own or odd:
        what = f"its {CONFIG} has {own[0]}" if own else f"it has {odd[0]}"
        raise ModelError(
            f"adapter {name!r}: {what}, and vLLM applies plain LoRA of the language model's layers alone. {MERGE}"
        )
    return int(config["r"])


def _installed() -> tuple[Any, str]:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        vllm = import_module("vllm")
    except ImportError as error:
        raise ModelError(f"vLLM is not installed here ({error}): {INSTALL}.") from None
    version = str(vllm.__version__)
    if not minds_times(version):
        raise ModelError(f"vLLM {version} ignores the times of frames; it minds them from {OLDEST} on.")
    return vllm, version


def _room(rank: int) -> int:
    """The least room that holds a rank.

    >>> _room(4), _room(64), _room(65)
    (8, 64, 128)
    """
    return min((room for room in _ROOMS if room >= rank), default=_ROOMS[-1])


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

"""What there is to know of a checkpoint before it is loaded: from its small files and the headers of the large ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from mdsvqa.models.checkpoints import check_whole
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import AutoProcessor
from mdsvqa.models.vlm.adapters import CURRENT, OLD, fit_adapter
from mdsvqa.models.vlm.clips import VisualLimits
from mdsvqa.models.vlm.expected import AnswerTokens
from mdsvqa.models.vlm.families.base import Family
from mdsvqa.models.vlm.families.catalogue import family_of
from mdsvqa.models.vlm.prompts import quality_prompt


def inspect_checkpoint(
    folder: Path, name: str, settings: VlmSettings, adapters: Mapping[str, tuple[str, Path]]
) -> dict[str, str]:
    """What mdsvqa makes of a checkpoint and the adapters on it.

    Args:
        folder: of the checkpoint.
        name: of it, in messages.
        settings: as it would be scored with.
        adapters: by what they are to it ("adapter"): name and folder, the lowest first.

    Returns:
        Sentences by what they are about.

    Raises:
        ModelError: it cannot be used, or an adapter does not fit whole.
    """
    family = family_of(folder, name)
    model = family.without_weights(folder)
    found = {"family": f"{family.name} ({type(model).__name__})", "weights": _weights(folder, name, model, family)}
    for what, (adapter, place) in adapters.items():
        applied = fit_adapter(model, place, adapter)
        found[what] = f"{applied.tensors} of {applied.tensors} tensors fit; layout: {applied.layout}"
        model = applied.model.unload()
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    prompt = quality_prompt(settings.reading, settings.prompt, settings.answers)
    source = "of Q-Align" if settings.answers == "levels" else "of Zou et al. (2026)"
    whose = "yours, not trained on" if settings.prompt else source
    found["prompt"] = f'"{prompt}" ({whose})'
    found["sampling"] = _sampling(family.sight(settings, processor))
    found["decoding"] = _decoding(folder, settings)
    if family.limits:
        found["limits"] = family.limits
        return found
    try:
        AnswerTokens.of(processor.tokenizer)
        found["expected score"] = "available: each digit is a token of its own"
    except ValueError:
        found["expected score"] = "not available: digits are not tokens of their own"
    return found


def _weights(folder: Path, name: str, model: Any, family: Family) -> str:
    """How many tensors there are and in which layout of names, if none is missing."""
    keys: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            keys |= set(file.keys())
    if family.limits:
        return f"{len(keys)} tensors; whether all are there is found out when they are loaded"
    known = {family.current_name(key) for key in keys}
    needed = set(model.state_dict())
    if model.config.tie_word_embeddings:
        needed.discard("lm_head.weight")
    loading = {"missing_keys": needed - known, "unexpected_keys": known - needed, "mismatched_keys": set()}
    check_whole(loading, f"model {name!r}", folder)
    layout = CURRENT if keys <= known else OLD
    return f"{len(needed)} of {len(needed)} tensors; layout: {layout}"


def _sampling(sight: VisualLimits) -> str:
    if sight.frames is not None:
        frames = f"{sight.frames} frames at equal distances"
    else:
        how = (
            "an even number of them from the first to the last (as the reference)" if sight.spread else "by their times"
        )
        frames = f"{sight.rate:g} frames a second, {how}, {sight.fewest_frames} to {sight.most_frames}"
    return f"{frames}; {sight.fewest_pixels:,} to {sight.most_pixels:,} pixels each"


def _decoding(folder: Path, settings: VlmSettings) -> str:
    path = folder / "generation_config.json"
    own: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    stated = own.get("repetition_penalty")
    penalty = settings.repetition_penalty or stated or 1.0
    whose = "yours" if settings.repetition_penalty else "the checkpoint's" if stated else "none stated"
    drawn = f" (the reference draws at temperature {own['temperature']:g})" if own.get("do_sample") else ""
    return f"greedy{drawn}, repetition penalty {penalty:g} ({whose}), at most {settings.max_new_tokens:,} tokens"

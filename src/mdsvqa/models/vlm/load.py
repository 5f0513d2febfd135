"""The way to a vision-language model for whoever has only its name; imports what it needs when it is used."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.prompts import prompt_fingerprint, quality_prompt
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.windows import Work
from mdsvqa.videos.sweep import Row
from mdsvqa.videos.video import Video

if TYPE_CHECKING:
    from mdsvqa.models.vlm.reader import VlmReader
    from mdsvqa.models.vlm.vllm_reader import VllmReader

NEEDED = ("transformers", "peft", "torchvision", "accelerate", "openai")
INSTALL = "pip install 'mdsvqa[vlm]'"


def packages_to_install() -> str:
    """What vision-language models need and is not installed, and how to install it; empty when all is there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"vision-language models need {', '.join(missing)}: {INSTALL}." if missing else ""


def need_vlm_packages(what: str) -> None:
    """Raises a ModelError that says what to install when something needs packages that are not there."""
    needed = packages_to_install()
    if needed:
        raise ModelError(f"{what}: {needed}")


def load_vlm(model: str, settings: VlmSettings) -> tuple["VlmReader", Mapping[str, Any]]:
    """Loads a checkpoint with its adapter.

    Returns:
        The model, and what made its scores: weights, prompt, settings.

    Raises:
        ModelError: packages are missing, or the checkpoint cannot be loaded.
    """
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.models.vlm.checkpoint import load_checkpoint  # noqa: PLC0415
    from mdsvqa.models.vlm.reader import VlmReader  # noqa: PLC0415

    checkpoint = load_checkpoint(settings, model, settings.adapter)
    reader = VlmReader(checkpoint, settings)
    if settings.adapter is not None and settings.merge is None:
        reader.merge_if_as_good()
    return reader, {"step": "scores", **checkpoint.maker, **read_maker(settings, reader.penalty)}


def load_scorer(model: str, settings: VlmSettings) -> tuple["VlmReader | VllmReader", Mapping[str, Any]]:
    """As `load_vlm`, by whichever library the settings say."""
    if settings.runner == "transformers":
        return load_vlm(model, settings)
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.models.vlm.vllm_reader import load_vllm  # noqa: PLC0415

    reader, maker = load_vllm(model, settings)
    return reader, {"step": "scores", **maker, **read_maker(settings, reader.penalty)}


def warn_of_prompt(settings: VlmSettings, show: Show) -> None:
    """Says that a prompt of one's own is not the one that a checkpoint knows."""
    if settings.prompt is not None:
        show.note("Warning: the checkpoint was not trained on this prompt; scores on another one are worse as a rule.")


def read_maker(settings: VlmSettings, penalty: float | str) -> dict[str, Any]:
    """What of the settings and the prompt makes a score what it is.

    Args:
        settings: of f.
        penalty: on repeated tokens, where the settings leave it to the checkpoint.
    """
    return {
        "prompt": prompt_fingerprint(quality_prompt(settings.reading, settings.prompt, settings.answers)),
        **({"repetition_penalty": penalty} if settings.reading == "generate" else {}),
        "settings": settings.record(),
    }


def score_with_vlm(
    videos: Sequence[Video],
    model: str,
    settings: VlmSettings,
    run: Run,
    load: Callable[[], tuple["VlmReader | VllmReader", Mapping[str, Any]]] | None = None,
) -> pa.Table:
    """Scores each video that has no score yet by a vision-language model.

    Args:
        videos: with paths.
        model: a folder or a Hub name.
        settings: adapter, reading and the rest.
        load: gives the model where it may be loaded already.

    Returns:
        The scores table.
    """
    need_vlm_packages(f"model {model!r}")
    warn_of_prompt(settings, run.show)
    from mdsvqa.models.vlm.table_scoring import score_with_model  # noqa: PLC0415

    here: list[VlmReader | VllmReader] = []

    def opened() -> tuple["VlmReader | VllmReader", Mapping[str, Any]]:
        reader, maker = load_scorer(model, settings)
        here.append(reader)
        return reader, maker

    # Not what is loaded here already, where it is read elsewhere.
    local = run.engine.name == "local"
    loads = (load or opened) if local else partial(load_scorer, model, settings)
    try:
        work = partial(_reading, loads)
        return score_with_model(videos, work, f"Loading {model}", settings.device, run)[0]
    finally:
        for reader in here:
            reader.close()


def _reading(load: Callable[[], tuple["VlmReader | VllmReader", Mapping[str, Any]]]) -> Work[Video, Row]:
    from mdsvqa.models.vlm.table_scoring import reading  # noqa: PLC0415

    reader, maker = load()
    return reading(reader, maker, reader.family.limits or "")

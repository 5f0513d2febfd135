"""`mdsvqa score`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mdsvqa.cli.options import (
    PICTURES,
    VLM,
    VLM_FAMILIES,
    AsJson,
    Limit,
    Out,
    Overwrite,
    Scale,
    Seed,
    Strict,
    Videos,
    Workers,
    checked,
    finish_table,
    option_name,
    rows_of,
    with_settings,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.statistical.features import SAMPLED_FRAMES
from mdsvqa.models.vlm.load import is_vlm, need_vlm_packages, score_with_vlm
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.study import steps
from mdsvqa.videos.manifest import read_videos
from mdsvqa.videos.view import ViewSettings

SERVER = "Vision-language models behind a server"


@with_settings("vlm", VlmSettings, panel=VLM, panels={PICTURES: tuple(ViewSettings.model_fields)})
@with_settings("serving", ServedSettings, only=("concurrency", "timeout", "frames_as"), panel=SERVER)
def score(
    videos: Videos,
    out: Out,
    vlm: VlmSettings,
    serving: Mapping[str, Any],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="statistical, a saved .safetensors file, package.module:Class, or a vision-language checkpoint "
            f"({VLM_FAMILIES}): a folder or a Hub name such as hollow404/VQR1-7B-YouTubeUGC.",
        ),
    ] = "statistical",
    mos_scale: Scale = "1-5",
    frames: Annotated[
        int | None,
        typer.Option(min=1, help=f"Sampled from each video; {SAMPLED_FRAMES} for all but vision-language models."),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", "-a", help="PEFT adapter: folder or Hub name.", rich_help_panel=VLM)
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            help="Ask a server for --model instead: the URL of vLLM, SGLang or transformers serve, with its /v1.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Score videos with a quality model f.

    `statistical` is trained first, on the manifest's videos of split train, and saved as OUT/model.safetensors.
    A vision-language model needs no labels, for example the paper's own after active fine-tuning:

    mdsvqa score FOLDER --model hollow404/VQR1-7B-YouTubeUGC --adapter hollow404/MDS-VQA-Active-Finetuning --out scores/
    """
    listed = read_videos(videos, mos_scale, terminal.say)[:limit]
    changed = vlm.model_dump(exclude_defaults=True, exclude={"frames", "seed", *ViewSettings.model_fields})
    if changed and not is_vlm(model) and server is None:
        raise InputError(
            f"--{option_name(next(iter(changed)))}: goes with a vision-language model, and {model!r} is none."
        )
    with terminal.progress() as show:
        if server is not None:
            need_vlm_packages(f"server {server}")
            from mdsvqa.models.vlm.served import score_served  # noqa: PLC0415

            served = checked(ServedSettings, {**serving, "url": server, "model": model})
            table = score_served(listed, served, vlm, Run(out, show, cores(workers), overwrite=overwrite))
        elif is_vlm(model):
            table = score_with_vlm(listed, model, vlm, Run(out, show, cores(workers), overwrite=overwrite))
        else:
            run = Run(out, show, cores(workers), overwrite)
            table = steps.score(listed, model, frames or SAMPLED_FRAMES, run, seed=seed, view=vlm.view())
    finish_table("scored", rows_of(listed, table), out, strict, as_json, vlm.view())

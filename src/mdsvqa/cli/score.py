"""`mdsvqa score`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

import mdsvqa
from mdsvqa.cli.options import (
    MANIFEST,
    PICTURES,
    VLM,
    VLM_FAMILIES,
    WHERE,
    Limit,
    MirrorTo,
    Out,
    Overwrite,
    PartOf,
    Scale,
    Seed,
    Strict,
    Videos,
    Workers,
    checked,
    finish_table,
    of_part,
    option_name,
    rows_of,
    with_settings,
    with_spool,
)
from mdsvqa.cli.plain import AsJson, choice
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.open import kind_of
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.statistical.features import SAMPLED_FRAMES
from mdsvqa.models.statistical.route import Route
from mdsvqa.runtime.engines import EngineName, EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.videos.files import check_files
from mdsvqa.videos.settings import ManifestSettings, ViewSettings

SERVER = "Vision-language models behind a server"


@with_spool
@with_settings("manifest", ManifestSettings, panel=MANIFEST)
@with_settings("vlm", VlmSettings, without=("runner",), panel=VLM, panels={PICTURES: tuple(ViewSettings.model_fields)})
@with_settings("serving", ServedSettings, only=("concurrency", "timeout", "frames_as", "counts_time"), panel=SERVER)
@with_settings("engine", EngineSettings, without=("name",), panel=WHERE)
def score(
    videos: Videos,
    out: Out,
    vlm: VlmSettings,
    serving: Mapping[str, Any],
    manifest: ManifestSettings,
    engine: EngineSettings,
    by: Annotated[
        str,
        typer.Option(
            "--engine",
            help="Work by this engine: local (processes of this machine), ray (a Ray cluster; where there is none, one "
            "is started here, with all GPUs of this machine), or vllm (as local, and vLLM on this machine writes the "
            "replies of a checkpoint).",
            rich_help_panel=WHERE,
        ),
    ] = "local",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Score by this model: statistical, a saved .safetensors file, package.module:Class, or a "
            "vision-language checkpoint "
            f"({VLM_FAMILIES}): a folder or a Hub name such as hollow404/VQR1-7B-YouTubeUGC.",
        ),
    ] = "statistical",
    mos_scale: Scale = "1-5",
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Take so many frames of each video; {SAMPLED_FRAMES} for all but vision-language models."
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option("--adapter", "-a", help="Apply this PEFT adapter: a folder or a Hub name.", rich_help_panel=VLM),
    ] = None,
    route: Annotated[
        str,
        typer.Option(
            help="Route videos, for a fine-tuned statistical model: target reads all videos by it, base by the one "
            "before, nearest "
            "each by the one whose labels are nearer; the column text says which."
        ),
    ] = "target",
    content: Annotated[
        Path | None,
        typer.Option(
            help="Read content features from this folder of `mdsvqa content` or of a study, for a statistical model "
            "that was trained on them; by default the encoder that was recorded with the model makes them."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Take this encoder, a folder or a Hub name, where it lies elsewhere now."),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask a server for --model instead: the URL of vLLM, SGLang or transformers serve, with its /v1. Given "
            "several times, the servers share the videos.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 0,
    part: PartOf = None,
    mirror: MirrorTo = None,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Score videos with a quality model f.

    `statistical` is trained first, on the manifest's videos of split train, and saved as OUT/_model.safetensors.
    A vision-language model needs no labels, for example the paper's own after active fine-tuning:

    mdsvqa score FOLDER --model hollow404/VQR1-7B-YouTubeUGC --adapter hollow404/MDS-VQA-Active-Finetuning --out scores/
    """
    by = choice("--engine", by, (*get_args(EngineName), "vllm"))
    if by == "vllm":
        vlm = checked(VlmSettings, {**vlm.model_dump(), "runner": "vllm"})
        if server:
            raise InputError("--engine vllm: runs the checkpoint on this machine, and --server asks one elsewhere.")
    else:
        engine = checked(EngineSettings, {**engine.model_dump(), "name": by})
    listed = mdsvqa.read_videos(videos, mos_scale, manifest, terminal.say)[:limit]
    changed = vlm.model_dump(exclude_defaults=True, exclude={"frames", "seed", *ViewSettings.model_fields})
    if changed and kind_of(model) != "checkpoint" and not server:
        raise InputError(
            f"--{option_name(next(iter(changed)))}: goes with a vision-language model, and {model!r} is none."
        )
    if route not in get_args(Route):
        raise InputError(f"--route {route}: expected target, base or nearest.")
    if route != "target" and (server or not model.endswith(".safetensors")):
        raise InputError(f"--route {route}: goes with a fine-tuned statistical model (--model FILE.safetensors).")
    if (content or encoder) and not model.endswith(".safetensors"):
        raise InputError("--content and --encoder: go with a saved statistical model (--model FILE.safetensors).")
    # No server is an empty list.
    asked = checked(ServedSettings, {**serving, "url": tuple(server), "model": model}) if server else None
    f = mdsvqa.load_model(model, server=asked, vlm=vlm)
    with terminal.progress() as show:
        check_files(videos, of_part(part, listed), show)
        options: dict[str, Any] = {"frames": frames, "seed": seed, "workers": workers, "overwrite": overwrite}
        options |= {"content": content, "encoder": encoder, "part": part, "mirror": mirror, "engine": engine}
        found = mdsvqa.score(listed, f, out=out, route=cast(Route, route), show=show, **options)
    finish_table("scored", rows_of(listed, found.table), found.folder, strict, as_json, vlm.view())

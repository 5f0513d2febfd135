"""The command `mdsvqa finetune`: source labels and new ones -> a better f."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import mdsvqa
from mdsvqa.cli.options import (
    MANIFEST,
    SIGHT,
    TRAINING,
    VLM,
    Limit,
    Overwrite,
    Scale,
    Seed,
    Videos,
    Workers,
    with_settings,
    with_spool,
)
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import first_process
from mdsvqa.study.api import with_labels
from mdsvqa.videos.files import check_files
from mdsvqa.videos.labels import Labels, read_labels
from mdsvqa.videos.manifest import parse_scale
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.settings import ManifestSettings


@with_spool
@with_settings("manifest", ManifestSettings, panel=MANIFEST)
@with_settings("training", VlmFinetuning, without=("batch_tokens",), panel=TRAINING)
@with_settings("vlm", VlmSettings, only=("base_adapter", *SIGHT, "device", "dtype", "attention"), panel=VLM)
def finetune(
    videos: Videos,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Fine-tune f: a saved statistical model, or a vision-language checkpoint (a folder or a Hub name).",
        ),
    ],
    labels: Annotated[Path, typer.Option(help="Read the new labels: a table with id and mos.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Write the statistical model to this file (.safetensors), or an adapter into this folder.",
        ),
    ],
    training: VlmFinetuning,
    vlm: VlmSettings,
    manifest: ManifestSettings,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Read the features table of these videos, as `mdsvqa score` wrote it; for a statistical model."
        ),
    ] = None,
    mos_scale: Scale = "1-5",
    labels_scale: Annotated[str, typer.Option(help="Say on which scale the new labels are.")] = "1-5",
    audit: Annotated[
        Path | None,
        typer.Option(
            help="Compare f' on these labels (id and mos) of a uniform sample of the pool, which are never learned "
            "from.",
            rich_help_panel=VLM,
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload the adapter and its card as owner/name.", rich_help_panel=TRAINING)
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune f on source labels and new ones, compared within a data set only.

    A vision-language model gets an adapter: OUT is in PEFT's form, with a model card that says whether it is better
    than the base model. A rerun goes on where a killed one stopped. It needs a data set with at least 30 labels, part
    of which are held out to stop by.
    """
    everyone = mdsvqa.read_videos(videos, mos_scale, manifest, terminal.say)
    listed = everyone[:limit]
    left_out = {video.id for video in everyone} - {video.id for video in listed}
    scale = parse_scale(labels_scale)
    new = read_labels(labels, scale, manifest.names, ranked=True).without(left_out)
    f = mdsvqa.load_model(model, vlm=vlm)
    if f.kind == "statistical" and features is None:
        raise InputError("--features: a statistical model needs the features table, by default SCORES/_features.")
    if f.kind == "statistical":
        # It learns levels.
        read_labels(labels, scale, manifest.names)
    apart = read_labels(audit, scale, manifest.names).without(left_out) if audit else Labels({})
    options: dict[str, Any] = {
        "features": features,
        "audit": with_labels(listed, apart, str(audit)),
        "training": training,
    }
    options |= {"seed": seed, "workers": workers, "overwrite": overwrite}
    with terminal.progress() as show:
        if f.kind != "statistical":
            check_files(videos, [*in_role(listed, "source"), *with_labels(listed, new, str(labels))], show)
        better = mdsvqa.finetune(f, listed, new, out=out, show=show, **options)
        if push_to_hub is not None and first_process():
            from mdsvqa.models.training.lora import push_adapter

            with show.working(f"Uploading to {push_to_hub}"):
                push_adapter(out, push_to_hub)
    if f.kind == "statistical":
        if as_json:
            source = sum(video.id not in new.mos for video in in_role(listed, "source"))
            counts = {"source": better.source, "new": better.new, "left_out": source - better.source}
            print_json({**counts, "out": str(out)})
        else:
            Console().print(f"{out}: learned from {better.source} source and {better.new} new labels", soft_wrap=True)
        return
    course, compared = better.course, better.compared
    if not first_process():
        return
    if as_json:
        print_json(
            {
                "out": str(out),
                "best_step": course.best_step,
                "stopped": course.stopped,
                "compared": [{**asdict(each), "verdict": each.verdict} for each in compared],
                "log": course.log,
            }
        )
        return
    console = Console()
    console.print(f"{out}: the weights of step {course.best_step}", soft_wrap=True)
    for each in compared:
        console.print(f"  {each}", soft_wrap=True, highlight=False)
    if course.best_step == 0:
        console.print("No step was better than the base model on the held-out videos: this adapter changes nothing.")

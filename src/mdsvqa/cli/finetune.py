"""The command `mdsvqa finetune`: source labels and new ones -> a better f."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mdsvqa.cli.options import (
    TRAINING,
    VLM,
    AsJson,
    Limit,
    Overwrite,
    Scale,
    Seed,
    Videos,
    Workers,
    print_json,
    with_settings,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.settings import FinetuningSettings, VlmFinetuning, VlmSettings
from mdsvqa.models.vlm.load import is_vlm, need_vlm_packages
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import first_process
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.study import steps
from mdsvqa.videos.labels import Labels, read_labels
from mdsvqa.videos.manifest import parse_scale, read_videos
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import ViewSettings

SIGHT = ("sampling", "fps", "frames", *ViewSettings.model_fields)


@with_settings("training", VlmFinetuning, without=("batch_tokens",), panel=TRAINING)
@with_settings("vlm", VlmSettings, only=("base_adapter", *SIGHT, "device", "dtype", "attention"), panel=VLM)
def finetune(
    videos: Videos,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="f: a saved statistical model, or a vision-language checkpoint (a folder or a Hub name).",
        ),
    ],
    labels: Annotated[Path, typer.Option(help="New labels: a table with id and mos.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="File for the statistical model (.safetensors); folder for an adapter."),
    ],
    training: VlmFinetuning,
    vlm: VlmSettings,
    features: Annotated[
        Path | None,
        typer.Option(help="Features table of these videos, as `mdsvqa score` wrote it; for a statistical model."),
    ] = None,
    mos_scale: Scale = "1-5",
    labels_scale: Annotated[str, typer.Option(help="Scale of the new labels.")] = "1-5",
    audit: Annotated[
        Path | None,
        typer.Option(
            help="Labels (id and mos) of a uniform sample of the pool: never learned from, f' is compared on them.",
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
    than the base model. A rerun goes on where a killed one stopped.
    """
    everyone = read_videos(videos, mos_scale, terminal.say)
    listed = everyone[:limit]
    left_out = {video.id for video in everyone} - {video.id for video in listed}
    new = read_labels(labels, parse_scale(labels_scale)).without(left_out)
    if not is_vlm(model):
        if features is None:
            raise InputError("--features: a statistical model needs the features table, by default SCORES/features.")
        counts = steps.fine_tune(listed, features, Path(model), new, out, FinetuningSettings(), seed)
        if as_json:
            print_json({"source": counts[0], "new": counts[1], "out": str(out)})
        else:
            Console().print(f"{out}: learned from {counts[0]} source and {counts[1]} new labels", soft_wrap=True)
        return
    need_vlm_packages(f"model {model!r}")
    from mdsvqa.models.training.finetune import finetune_vlm  # noqa: PLC0415
    from mdsvqa.models.training.lora import push_adapter  # noqa: PLC0415

    fresh = _with_labels(listed, new, labels)
    checked_by: list[Video] = []
    if audit is not None:
        audited = read_labels(audit, parse_scale(labels_scale)).without(left_out)
        checked_by = _with_labels(listed, audited, audit)
    apart = {video.id for video in [*fresh, *checked_by]}
    source = [video for video in in_role(listed, "source") if video.id not in apart]
    trained_on = [video for video in fresh if video.id not in {video.id for video in checked_by}]
    with terminal.progress() as show:
        course, compared = finetune_vlm(
            source, trained_on, checked_by, model, vlm, training, Run(out, show, cores(workers), overwrite=overwrite)
        )
        if push_to_hub is not None and first_process():
            with show.working(f"Uploading to {push_to_hub}"):
                push_adapter(out, push_to_hub)
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


def _with_labels(listed: list[Video], labels: Labels, path: Path) -> list[Video]:
    """The videos that a table of labels speaks of, with its MOS.

    Raises:
        InputError: it names videos that the manifest does not.
    """
    known = {video.id: video for video in listed}
    unknown = sorted(labels.mos.keys() - known.keys())
    if unknown:
        raise InputError(f"{path}: {unknown[0]!r} and {len(unknown) - 1} more are not in the manifest.")
    return [replace(known[video], mos=mos) for video, mos in labels.mos.items()]

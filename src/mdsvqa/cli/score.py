"""The commands around f: `mdsvqa score`, `mdsvqa merge`, `mdsvqa tiny-vlm`, `mdsvqa doctor`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mdsvqa.cli.options import (
    VLM,
    VLM_FAMILIES,
    AsJson,
    BaseAdapter,
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
    print_json,
    rows_of,
    with_settings,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.doctor import examine
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.statistical.features import SAMPLED_FRAMES
from mdsvqa.models.vlm.load import is_vlm, need_vlm_packages, score_with_vlm
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.study import steps
from mdsvqa.study.demo import TINY_STEPS, make_demo_vlm
from mdsvqa.videos.manifest import read_videos

SERVER = "Vision-language models behind a server"


@with_settings("vlm", VlmSettings, panel=VLM)
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
    listed = read_videos(videos, mos_scale)[:limit]
    changed = vlm.model_dump(exclude_defaults=True, exclude={"frames", "seed"})
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
            table = steps.score(listed, model, frames or SAMPLED_FRAMES, run, seed=seed)
    finish_table("scored", rows_of(listed, table), out, strict, as_json)


def tiny_vlm(
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Labeled videos to learn from (split train); by default simulated ones.")
    ] = None,
    steps_: Annotated[int, typer.Option("--steps", min=1, help="Of training.")] = TINY_STEPS,
    seed: Seed = 0,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Make a tiny vision-language model of real classes and teach it to rate simulated videos, in about two minutes.

    For tests, demonstrations and experiments where no real checkpoint is at hand. Whatever takes a checkpoint takes it.
    """
    with terminal.progress() as show:
        held_out = make_demo_vlm(out, corpus, show, seed=seed, steps=steps_, workers=cores(workers))
    value = srcc(held_out.expected, held_out.mos) if len(held_out.mos) > 1 else float("nan")
    if as_json:
        print_json({"out": str(out), "held_out": len(held_out.mos), "srcc": value})
        return
    Console().print(f"{out}: SRCC {value:.3f} with the MOS of {len(held_out.mos)} held-out videos", soft_wrap=True)


def merge(
    model: Annotated[str, typer.Option("--model", "-m", help="Base checkpoint: a folder or a Hub name.")],
    adapter: Annotated[str, typer.Option("--adapter", "-a", help="PEFT adapter on it: a folder or a Hub name.")],
    out: Out,
    base_adapter: BaseAdapter = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16, float32.")] = "bfloat16",
    device: Annotated[str, typer.Option(help="To merge on: auto, cpu, cuda, cuda:1.")] = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint with its adapter merged, for a server that does not take the adapter.

    mdsvqa merge --model hollow404/VQR1-7B-YouTubeUGC --adapter hollow404/MDS-VQA-Active-Finetuning --out mds-vqa/
    """
    need_vlm_packages("merge")
    from mdsvqa.models.vlm.merging import merge_checkpoint  # noqa: PLC0415

    settings = checked(VlmSettings, {"base_adapter": base_adapter, "dtype": dtype, "device": device})
    with terminal.progress() as show:
        merged = merge_checkpoint(model, adapter, settings, Run(out, show, overwrite=overwrite))
    if as_json:
        print_json({**asdict(merged), "out": str(out)})
        return
    Console().print(
        f"{out}: {merged.parameters / 1e6:,.1f} million parameters in {dtype}, {merged.tensors} tensors of the adapter "
        f"merged; logits of a made-up clip differ by {merged.difference:.2g} at the most (standard deviation "
        f"{merged.spread:.2g})",
        soft_wrap=True,
    )


def doctor(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Look at this checkpoint, and whether it fits: folder or Hub name."),
    ] = None,
    adapter: Annotated[str | None, typer.Option("--adapter", "-a", help="And at this PEFT adapter on it.")] = None,
    base_adapter: Annotated[str | None, typer.Option(help="Merged into the model below it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what this machine will use for models, what is made of a checkpoint, and what to install for more.

    Nothing is fetched, and no weights are loaded.
    """
    if model is None and (adapter or base_adapter):
        raise InputError("--adapter: goes with --model, the checkpoint that it belongs on.")
    findings = examine(model, adapter, base_adapter)
    if as_json:
        print_json(findings.as_json())
        return
    terminal.print_findings(findings)

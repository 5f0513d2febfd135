"""The commands around models and machines: `mdsvqa merge`, `mdsvqa tiny-vlm`, `mdsvqa doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mdsvqa.cli.options import BaseAdapter, Out, Overwrite, Seed, Workers, checked
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.doctor import examine
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.models.vlm.load import need_vlm_packages
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.study.demo import TINY_STEPS, make_demo_vlm


def tiny_vlm(
    out: Annotated[Path, typer.Argument(help="Write the checkpoint into this folder.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Learn from these labeled videos (split train); by default simulated ones.")
    ] = None,
    steps_: Annotated[int, typer.Option("--steps", min=1, help="Train for so many steps.")] = TINY_STEPS,
    family: Annotated[str, typer.Option(help=f"Make it of these classes: {', '.join(FAMILIES)}.")] = next(
        iter(FAMILIES)
    ),
    seed: Seed = 0,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Make a tiny vision-language model of real classes and teach it to rate simulated videos, in about two minutes.

    For tests, demonstrations and experiments where no real checkpoint is at hand. Whatever takes a checkpoint takes it.
    """
    if family not in FAMILIES:
        raise InputError(f"--family {family}: expected one of {', '.join(FAMILIES)}.")
    with terminal.progress() as show:
        held_out = make_demo_vlm(out, corpus, show, seed=seed, steps=steps_, workers=cores(workers), family=family)
    value = srcc(held_out.expected, held_out.mos) if len(held_out.mos) > 1 else float("nan")
    if as_json:
        print_json({"out": str(out), "held_out": len(held_out.mos), "srcc": value})
        return
    Console().print(f"{out}: SRCC {value:.3f} with the MOS of {len(held_out.mos)} held-out videos", soft_wrap=True)


def merge(
    model: Annotated[str, typer.Option("--model", "-m", help="Name the base checkpoint: a folder or a Hub name.")],
    adapter: Annotated[str, typer.Option("--adapter", "-a", help="Merge this PEFT adapter: a folder or a Hub name.")],
    out: Out,
    base_adapter: BaseAdapter = None,
    dtype: Annotated[
        str, typer.Option(help="Set the precision of the weights: bfloat16, float16, float32.")
    ] = "bfloat16",
    device: Annotated[str, typer.Option(help="Merge on this device: auto, cpu, cuda, cuda:1.")] = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint with its adapter merged, for a server that does not take the adapter.

    mdsvqa merge --model hollow404/VQR1-7B-YouTubeUGC --adapter hollow404/MDS-VQA-Active-Finetuning --out mds-vqa/
    """
    need_vlm_packages("merge")
    from mdsvqa.models.vlm.merging import merge_checkpoint

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
        typer.Option("--model", "-m", help="Look at this checkpoint, and whether it fits: a folder or a Hub name."),
    ] = None,
    adapter: Annotated[str | None, typer.Option("--adapter", "-a", help="Look at this PEFT adapter on it too.")] = None,
    base_adapter: Annotated[str | None, typer.Option(help="Merge this adapter into the model below it.")] = None,
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

"""The commands around models and machines: `mdsvqa tiny-vlm`, `mdsvqa doctor`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from mdsvqa.cli.options import Seed, Workers
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.doctor import examine
from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.runtime.errors import InputError
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
    scored = np.isfinite(held_out.expected)
    count = int(scored.sum())
    value = srcc(held_out.expected[scored], held_out.mos[scored]) if count > 1 else float("nan")
    if as_json:
        print_json({"out": str(out), "held_out": count, "srcc": value})
        return
    rest = f" ({len(scored) - count} more have no score)" if count < len(scored) else ""
    Console().print(f"{out}: SRCC {value:.3f} with the MOS of {count} held-out videos{rest}", soft_wrap=True)


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

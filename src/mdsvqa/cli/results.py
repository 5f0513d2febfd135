"""The commands that make one of several: `mdsvqa merge` and `mdsvqa compact`."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mdsvqa.cli.options import BaseAdapter, IdColumn, Out, Overwrite, checked
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.load import need_vlm_packages
from mdsvqa.runtime.compaction import compact as compact_result
from mdsvqa.runtime.compaction import results_within
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.joining import join, parts_within
from mdsvqa.runtime.results import read_meta
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.user_tables import Names
from mdsvqa.runtime.words import counted
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.roles import in_role

CHECKPOINTS, JOIN = "Checkpoints", "Results"


def merge(
    out: Out,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Join these results of `--part 1/N` to `--part N/N`, or a folder that holds them."),
    ] = None,
    order_of: Annotated[
        Path | None,
        typer.Option(
            "--order-of",
            help="Put rows into the order of this manifest or folder of videos, and check that none is missing; by "
            "default in that of the parts.",
            rich_help_panel=JOIN,
        ),
    ] = None,
    id_column: IdColumn = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Name the base checkpoint: a folder or a Hub name.", rich_help_panel=CHECKPOINTS
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter", "-a", help="Merge this PEFT adapter: a folder or a Hub name.", rich_help_panel=CHECKPOINTS
        ),
    ] = None,
    base_adapter: BaseAdapter = None,
    dtype: Annotated[
        str,
        typer.Option(help="Set the precision of the weights: bfloat16, float16, float32.", rich_help_panel=CHECKPOINTS),
    ] = "bfloat16",
    device: Annotated[
        str, typer.Option(help="Merge on this device: auto, cpu, cuda, cuda:1.", rich_help_panel=CHECKPOINTS)
    ] = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint with its adapter merged, or join the results of the parts of a pool.

    mdsvqa merge --model hollow404/VQR1-7B-YouTubeUGC --adapter hollow404/MDS-VQA-Active-Finetuning --out mds-vqa/

    mdsvqa merge scores/part-* --order-of videos.csv --out all-scores/
    """
    if folders:
        if model is not None or adapter is not None or base_adapter is not None:
            raise InputError("folders of results do not go with --model, --adapter and --base-adapter.")
        _join(folders, out, order_of, id_column, overwrite=overwrite, as_json=as_json)
        return
    if model is None or adapter is None:
        raise InputError("name the folders of results to join, or --model and --adapter to write as one checkpoint.")
    if order_of is not None:
        raise InputError("--order-of: goes with folders of results.")
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


def _join(
    folders: Sequence[Path], out: Path, order_of: Path | None, id_column: str | None, *, overwrite: bool, as_json: bool
) -> None:
    parts, order = parts_within(folders), None
    if order_of is not None:
        videos = load_videos(order_of, names=Names(id=id_column), note=terminal.say)
        # Difficulty is that of the pool, where the manifest says which videos that is.
        pool = in_role(videos, "pool") if read_meta(parts[0])["maker"].get("step") == "difficulty" else []
        order = [video.id for video in pool or videos]
    with terminal.progress() as show, show.working(f"Joining {counted(len(parts), 'result')}"):
        rows = join(parts, out, order, overwrite=overwrite)
    if as_json:
        print_json({"out": str(out), "parts": len(parts), "rows": rows})
        return
    Console().print(f"{out}: {counted(rows, 'row')} of {counted(len(parts), 'part')}", soft_wrap=True)


def compact(
    folder: Annotated[Path, typer.Argument(help="Read this result folder, and those below it.")],
    as_json: AsJson = False,
) -> None:
    """Merge the many small files of a result into few, so that it opens faster; its rows stay as they are.

    Results of earlier versions have a file for every 32 videos. A kill at any moment loses nothing; run it again.
    """
    with terminal.progress() as show:
        done = [compact_result(each, partial(show.progress, f"Merging {each}")) for each in results_within(folder)]
    if as_json:
        print_json({"results": [{**asdict(each), "folder": str(each.folder)} for each in done]})
        return
    for result in done:
        before = counted(result.before, "file")
        Console().print(f"{result.folder}: {before} before, {result.after} now", soft_wrap=True)

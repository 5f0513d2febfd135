"""The commands around f: `mdsvqa score`, `mdsvqa merge`, `mdsvqa tiny-vlm`, `mdsvqa doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mdsvqa.cli.options import (
    VLM,
    AsJson,
    BaseAdapter,
    Out,
    Overwrite,
    Scale,
    Seed,
    Strict,
    Videos,
    Workers,
    checked,
    finish_table,
    print_json,
    rows_of,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.evaluation.metrics import srcc
from mdsvqa.models.doctor import examine
from mdsvqa.models.statistical.features import SAMPLED_FRAMES
from mdsvqa.models.vlm.load import is_vlm, need_vlm_packages, score_with_vlm
from mdsvqa.runtime.errors import InputError
from mdsvqa.study import steps
from mdsvqa.study.config import ServedSettings, VlmSettings
from mdsvqa.study.data import cores, read_videos
from mdsvqa.study.demo import TINY_STEPS, make_demo_vlm

DEFAULTS = VlmSettings()
SERVED = ServedSettings(url="", model="")
SERVER = "Vision-language models behind a server"


def score(
    videos: Videos,
    out: Out,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="statistical, a saved .safetensors file, package.module:Class, or a Qwen2.5-VL checkpoint: a folder "
            "or a Hub name such as hollow404/VQR1-7B-YouTubeUGC.",
        ),
    ] = "statistical",
    mos_scale: Scale = "1-5",
    frames: Annotated[
        int | None,
        typer.Option(min=1, help=f"Sampled from each video; {SAMPLED_FRAMES} for all but vision-language models."),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: AsJson = False,
    adapter: Annotated[
        str | None, typer.Option("--adapter", "-a", help="PEFT adapter: folder or Hub name.", rich_help_panel=VLM)
    ] = None,
    base_adapter: BaseAdapter = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge the adapter first: faster.", rich_help_panel=VLM)
    ] = False,
    read: Annotated[
        str,
        typer.Option(
            help="generate: the model thinks and answers. expected: the mean of all answers by their probabilities, "
            "in one pass, without ties.",
            rich_help_panel=VLM,
        ),
    ] = DEFAULTS.reading,
    samples: Annotated[
        int, typer.Option(min=1, help="Replies a video, drawn when above 1: mean and spread.", rich_help_panel=VLM)
    ] = 1,
    retries: Annotated[
        int, typer.Option(min=0, help="Drawn replies in place of an unparsable one.", rich_help_panel=VLM)
    ] = 0,
    prompt: Annotated[
        str | None, typer.Option(help="Asked in place of the one that it was trained on.", rich_help_panel=VLM)
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(
            help="Which frames. reference: as in the model's training, an even number from the first to the last. "
            "rate: those on screen at 0, 1/rate, 2/rate, ... seconds. count: --frames.  [default: reference]",
            rich_help_panel=VLM,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Frames a second; 2 unless --frames or the checkpoint says else.", rich_help_panel=VLM),
    ] = None,
    most_pixels: Annotated[
        int, typer.Option(min=784, help="Of a frame; larger ones are reduced.", rich_help_panel=VLM)
    ] = DEFAULTS.most_pixels,
    most_tokens: Annotated[
        int, typer.Option(min=16, help="Of a reply; one that is cut has no score.", rich_help_panel=VLM)
    ] = DEFAULTS.most_tokens,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(help="On tokens of question and reply; by default the checkpoint's own.", rich_help_panel=VLM),
    ] = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Of a batch; 65,536 on a GPU, fewer on a CPU.", rich_help_panel=VLM),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.", rich_help_panel=VLM)] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16, float32.", rich_help_panel=VLM)] = "auto",
    attention: Annotated[str, typer.Option(help="auto, sdpa, flash_attention_2, eager.", rich_help_panel=VLM)] = "auto",
    quantise: Annotated[str | None, typer.Option(help="4bit, by bitsandbytes.", rich_help_panel=VLM)] = None,
    server: Annotated[
        str | None,
        typer.Option(
            help="Ask a server for --model instead: the URL of vLLM, SGLang or transformers serve, with its /v1.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests under way at a time.", rich_help_panel=SERVER)
    ] = SERVED.concurrency,
    timeout: Annotated[float, typer.Option(help="For one reply, in seconds.", rich_help_panel=SERVER)] = SERVED.timeout,
    frames_as: Annotated[
        str, typer.Option(help="auto, video (vLLM), or images (any server).", rich_help_panel=SERVER)
    ] = SERVED.frames_as,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with a model.", rich_help_panel=VLM)
    ] = False,
) -> None:
    """Score videos with a quality model f.

    `statistical` is trained first, on the manifest's videos of split train, and saved as OUT/model.safetensors.
    A vision-language model needs no labels, for example the paper's own after active fine-tuning:

    mdsvqa score FOLDER --model hollow404/VQR1-7B-YouTubeUGC --adapter hollow404/MDS-VQA-Active-Finetuning --out scores/
    """
    listed = read_videos(videos, mos_scale)
    settings = checked(
        VlmSettings,
        {
            "base_adapter": base_adapter,
            "adapter": adapter,
            "merge": merge,
            "reading": read,
            "prompt": prompt,
            "sampling": sampling,
            "repetition_penalty": repetition_penalty,
            "samples": samples,
            "retries": retries,
            "rate": rate,
            "frames": frames,
            "most_pixels": most_pixels,
            "most_tokens": most_tokens,
            "batch_tokens": batch_tokens,
            "device": device,
            "dtype": dtype,
            "attention": attention,
            "quantise": quantise,
            "trust_remote_code": trust_remote_code,
            "seed": seed,
        },
        spelled={"reading": "read"},
    )
    changed = settings.model_dump(exclude_defaults=True, exclude={"frames", "seed"})
    if changed and not is_vlm(model) and server is None:
        raise InputError(
            f"--{next(iter(changed)).replace('_', '-')}: goes with a vision-language model, and {model!r} is none."
        )
    with terminal.progress() as show:
        if server is not None:
            need_vlm_packages(f"server {server}")
            from mdsvqa.models.vlm.served import score_served  # noqa: PLC0415

            options = {"url": server, "model": model, "concurrency": concurrency, "timeout": timeout}
            served = checked(ServedSettings, {**options, "frames_as": frames_as})
            table = score_served(listed, out, served, settings, cores(workers), show, overwrite=overwrite)
        elif is_vlm(model):
            table = score_with_vlm(listed, out, model, settings, cores(workers), show, overwrite=overwrite)
        else:
            count = frames or SAMPLED_FRAMES
            table = steps.score(listed, out, model, count, cores(workers), show, seed=seed, overwrite=overwrite)
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
    """Make a tiny Qwen2.5-VL of the real classes and teach it to rate simulated videos, in about two minutes.

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
        merged = merge_checkpoint(model, adapter, out, settings, show, overwrite=overwrite)
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

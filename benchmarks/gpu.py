"""Every figure of a GPU in one run: seconds a video and a step, shares of the matrix rate, memory; one line of JSON.

    python benchmarks/gpu.py --size 7b                # on a GPU, random weights of the 7B shape, under eight minutes
    python benchmarks/gpu.py --size tiny              # the same code on a CPU, to try it

Clips are noise of 20 s of 1080p at 2 frames a second, replies have 200 tokens, training sees 20 frames of 504 x 504.
Each part has a time limit of its own; one that fails or takes too long says so and leaves the others their time.
"""

import argparse
import gc
import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import finetuning
import selection
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.training import loop
from mdsvqa.models.vlm import reader as reading
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.clips import ModelClip, resize_clip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.tiny.model import make_model, make_processor
from mdsvqa.selection.rules.mds import mds_counted
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.videos.clip import Clip
from vlm_scoring import build_7b, flops, matrix_rate, plain_loop

TOKENS = 200
# Seconds of each part on a GPU; all of them stay under eight minutes.
LIMITS = {"scoring": 160, "fidelity": 80, "selection": 110, "grpo": 90}


class Device:
    """What is measured on, and at which size."""

    def __init__(self, size: str, layers: int | None, *, profiles: bool = False) -> None:
        self.profiles = profiles
        self.tiny = size == "tiny"
        self.device = torch.device("cuda" if torch.cuda.is_available() and not self.tiny else "cpu")
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.name = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        self.layers = layers

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any], repeats: int = 3) -> float:
        """Median seconds after a first time that does not count."""
        work()
        found = []
        for _ in range(repeats):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - began)
        return float(np.median(found))

    def gigabytes(self) -> float:
        """The most that was taken since the last call."""
        if self.device.type != "cuda":
            return float("nan")
        found = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
        return found


def scoring(on: Device) -> Iterator[dict[str, Any]]:
    """Tower, expected score and generation, beside the plain loop."""
    processor = make_processor()
    if on.tiny:
        model, count, shape, tokens = make_model(processor.tokenizer), 4, (4, 3, 120, 160), 16
    else:
        processor.video_processor.size = {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28}
        processor.video_processor.num_frames = None
        began = time.perf_counter()
        model = build_7b(processor, on.layers, on.device, on.dtype)
        count, shape, tokens = 32, (40, 3, 1080, 1920), TOKENS
        yield {"seconds_to_build": time.perf_counter() - began}
    checkpoint = Checkpoint(model, processor, {})
    settings = VlmSettings(max_new_tokens=tokens)
    generate = VlmReader(checkpoint, settings)
    # Random weights never end an answer: exactly as many tokens as asked for, as in the plain loop.
    model.generation_config.eos_token_id = None
    expected = VlmReader(checkpoint, settings.model_copy(update={"reading": "expected"}))
    raw = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    clip = Clip("0", raw, np.arange(len(raw)) / 2, 30.0, len(raw) / 2)
    began = time.perf_counter()
    seen = resize_clip(clip, generate.sight, 2.0)
    yield {"resize_seconds_a_video": time.perf_counter() - began}
    assert isinstance(seen, ModelClip)
    clips = [ModelClip(str(k), seen.frames, seen.seconds_per_grid, seen.tokens) for k in range(count)]
    rate = matrix_rate(on.device, on.dtype)
    yield {"matrix_tflops": rate / 1e12, "tokens_a_video": seen.tokens}

    batch = expected.batch(clips[:1], [expected.prompt])
    visual = model.model.visual
    pixels = batch["pixel_values_videos"].to(on.dtype)
    with torch.inference_mode():
        tower = on.seconds(lambda: visual(pixels, grid_thw=batch["video_grid_thw"]))
    own = flops(model, seen.tokens, 0) - language_flops(model, seen.tokens)
    yield {"tower_seconds": tower, "tower_share": own / rate / tower}
    profiled(on, "tower", lambda: visual(pixels, grid_thw=batch["video_grid_thw"]))

    length = expected.prompt.tokens + 48
    seconds = on.seconds(lambda: expected.read(clips[:4]), 2) / 4
    share = flops(model, seen.tokens, length) / rate / seconds
    yield {"expected_seconds": seconds, "expected_share": share, "expected_gigabytes": on.gigabytes()}
    with torch.inference_mode():
        prefill = on.seconds(lambda: model(**batch, use_cache=True, logits_to_keep=1))
    yield {"prefill_seconds": prefill, "language_seconds": prefill - tower}
    profiled(on, "prefill", lambda: model(**batch, use_cache=True, logits_to_keep=1))

    raws = [Clip(str(k), raw, clip.timestamps, 30.0, 20.0) for k in range(count)]
    plain = on.seconds(lambda: plain_loop(checkpoint, raws[:1], tokens, exactly=True), 1)
    yield {"plain_seconds": plain}
    on.gigabytes()
    began = time.perf_counter()
    generate.score(raws)
    on.wait()
    batched = (time.perf_counter() - began) / count
    yield {"batched_seconds": batched, "batched_over_plain": plain / batched, "batched_videos": count}
    yield {"batched_gigabytes": on.gigabytes(), "batch_tokens": generate.batch_tokens([])}


def language_flops(model: Any, length: int) -> float:
    """Those of `flops` that are the language model's."""
    text = model.config.text_config
    parameters = sum(p.numel() for p in model.model.language_model.layers.parameters())
    return 2.0 * (parameters * length + text.num_hidden_layers * text.hidden_size * length**2)


def profiled(on: Device, name: str, work: Callable[[], Any], *, inference: bool = True) -> None:
    """Prints what takes the time of some work, kernel by kernel."""
    if on.device.type != "cuda" or not on.profiles:
        return
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as found, torch.inference_mode(inference):
        work()
        on.wait()
    print(f"== {name}")
    events = sorted(found.key_averages(), key=lambda event: -event.self_device_time_total)
    for event in events[:26]:
        print(f"{event.self_device_time_total / 1e3:10.2f} ms {event.count:6d}  {event.key[:90]}")


def training(on: Device, objective: str) -> Iterator[dict[str, Any]]:
    """A step of fine-tuning, batch 8."""
    # Random weights give no score: any mass on the digits counts as one, so that nothing stops the training.
    vars(reading)["LEAST_MASS"] = 0.0
    if on.profiles:
        learn = loop._Run.learn

        def last_profiled(run: Any, *arguments: Any) -> Any:
            found: list[Any] = []
            if run.step == run.steps - 1:
                profiled(on, f"{objective} step", lambda: found.append(learn(run, *arguments)), inference=False)
            return found[0] if found else learn(run, *arguments)

        setattr(loop._Run, "learn", last_profiled)  # noqa: B010
    size = "tiny" if on.tiny else "7b"
    steps = 6 if objective == "fidelity" else 2
    figures = finetuning.measure(objective, size, steps, 8, on.layers)
    yield {f"{objective}_{name}": value for name, value in figures.items()}


def choosing(on: Device) -> Iterator[dict[str, Any]]:
    """The greedy choice of 50,000 from 1,000,000."""
    n, budget, count = (2000, 100, 8) if on.tiny else (1_000_000, 50_000, 8)
    frames = np.empty((n * count, selection.DIMS), np.float16)
    if on.device.type == "cpu":
        selection.fill(frames, count, 0)
    else:
        fill_on_device(frames, count, on.device)
    pool = selection.pool_of(frames, count, 0)
    settings = SelectionSettings(**{"lambda": selection.LAMBDA}, scale="raw", device=on.device.type, memory=1 << 33)
    began = time.perf_counter()
    picks, computed = mds_counted(pool, budget, settings)
    seconds = time.perf_counter() - began
    yield {"selection_seconds": seconds, "selection_chosen": len(picks), "selection_computed": computed / n / budget}


def fill_on_device(frames: Any, count: int, device: torch.device) -> None:
    """`selection.fill`, of other random numbers."""
    torch.manual_seed(0)
    dims = selection.DIMS
    centers = torch.nn.functional.normalize(torch.randn(selection.CLUSTERS, dims, device=device))
    for first in range(0, len(frames), 50_000 * count):
        part = frames[first : first + 50_000 * count]
        videos = centers[torch.randint(selection.CLUSTERS, (len(part) // count,), device=device)]
        videos = videos + selection.OF_VIDEO * dims**-0.5 * torch.randn_like(videos)
        made = videos.repeat_interleave(count, 0)
        made += selection.OF_FRAME * dims**-0.5 * torch.randn_like(made)
        part[:] = torch.nn.functional.normalize(made).half().cpu().numpy()


class TooLong(Exception):
    """A part took longer than it may."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raises `TooLong` in what takes longer."""

    def stop(*_: object) -> None:
        raise TooLong(f"stopped after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "7b"], default="7b")
    parser.add_argument("--layers", type=int, help="of the 7B configuration; all of them by default")
    parser.add_argument("--parts", nargs="+", default=list(LIMITS))
    parser.add_argument("--profile", action="store_true", help="print what takes the time, kernel by kernel")
    parser.add_argument("--out", type=Path, help="file that the figures go to as they come")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    on = Device(arguments.size, arguments.layers, profiles=arguments.profile)
    parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "scoring": lambda: scoring(on),
        "fidelity": lambda: training(on, "fidelity"),
        "grpo": lambda: training(on, "grpo"),
        "selection": lambda: choosing(on),
    }
    record: dict[str, Any] = {"size": arguments.size, "device": on.name}
    for name in arguments.parts:
        if name not in parts:
            continue
        began = time.perf_counter()
        try:
            with limited(LIMITS[name]):
                for figures in parts[name]():
                    record |= {key: round(v, 4) if isinstance(v, float) else v for key, v in figures.items()}
                    print(figures, flush=True)
                    if arguments.out:
                        arguments.out.write_text(json.dumps(record) + "\n")
        except Exception as error:  # A part that fails leaves the others.
            record[f"{name}_failed"] = f"{type(error).__name__}: {error}"[:300]
            traceback.print_exc()
        record[f"{name}_took"] = round(time.perf_counter() - began, 1)
        gc.collect()
        if on.device.type == "cuda":
            torch.cuda.empty_cache()
    if arguments.out:
        arguments.out.write_text(json.dumps(record) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()

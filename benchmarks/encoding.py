"""Frames a second of a vision encoder: batches, against one frame a call.

    python benchmarks/encoding.py                     # two small CLIPs with random weights, on the CPU

"tiny" is the model of the tests (hidden 32, 2 layers, 32 x 32 pixels in patches of 8); "224" reads as many pixels as
real checkpoints do (hidden 64, 2 layers, 224 x 224 pixels in patches of 32).

One frame a call is what a script does: the image processor on one frame, the model on one frame, the next; its frames
have their channels last, as OpenCV and PyAV give them. Batches are what `mdsvqa content` does: the frames of a video
are prepared together, those of several videos encoded together. Both in one process, on one core; beside them batches
with processes that prepare, as the command does it. Frames are decoded beforehand in every process, and each way ends
in unit vectors. The ways take turns; a ratio is the median over turns. Last, what preparing and the model take.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mdsvqa.models.encoders.encoders import VisionEncoder, find_encoder, load_encoder
from mdsvqa.models.encoders.pixels import Pixels, Preparation
from mdsvqa.models.settings import ContentSettings
from mdsvqa.models.transformers_vision import (
    AutoImageProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from mdsvqa.runtime.workers import cores, map_in_workers
from mdsvqa.videos.sweep import SHARD

FRAMES = ContentSettings().frames
MODELS = {
    "tiny": {"hidden_size": 32, "intermediate_size": 48, "image_size": 32, "patch_size": 8},
    "224": {"hidden_size": 64, "intermediate_size": 256, "image_size": 224, "patch_size": 32},
}


@cache
def decoded(height: int, width: int) -> NDArray[np.uint8]:
    """The frames of one video, decoded once in every process: uint8 RGB, shape (T, 3, H, W)."""
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 3, height // 8, width // 8), np.uint8)
    frames = [cv2.resize(frame.transpose(1, 2, 0), (width, height)).transpose(2, 0, 1) for frame in noise]
    return np.ascontiguousarray(np.stack(frames))


def prepare(_: int, size: tuple[int, int], preparation: Preparation) -> Pixels:
    """What a worker does with a video that it has decoded."""
    return preparation.shrink(decoded(*size))


def crashed(_: int) -> Pixels:
    raise RuntimeError("a worker died")


def one_by_one(model: Any, processor: Any, frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What a script does."""
    features = []
    for frame in frames:
        inputs = processor(images=frame, return_tensors="pt")
        with torch.no_grad():
            feature = model(**inputs).image_embeds
        features.append((feature / feature.norm(dim=-1, keepdim=True))[0].numpy())
    return np.stack(features)


def in_batches(encoder: VisionEncoder, videos: Iterable[Pixels]) -> NDArray[np.float32]:
    """What `mdsvqa content` does with prepared videos."""
    waiting, features = iter(videos), []
    while window := list(islice(waiting, SHARD)):
        features += [found for found in encoder.encode(window) if not isinstance(found, str)]
    return np.concatenate(features)


def make_checkpoint(folder: Path, model: Mapping[str, int]) -> None:
    """A CLIP vision model with random weights."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {**model, "num_attention_heads": 4, "num_hidden_layers": 2, "projection_dim": 64}
    CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)).save_pretrained(folder)
    pixels = model["image_size"]
    CLIPImageProcessor(size={"shortest_edge": pixels}, crop_size={"height": pixels, "width": pixels}).save_pretrained(
        folder
    )


def ways_of(folder: Path, videos: int, size: tuple[int, int], workers: int) -> dict[str, Callable[[], NDArray[Any]]]:
    """The three ways, each over as many videos."""
    files = find_encoder(str(folder))
    encoder = load_encoder(files, ContentSettings(device="cpu"))
    model = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    frames = [np.ascontiguousarray(frame.transpose(1, 2, 0)) for frame in decoded(*size)] * videos
    work = partial(prepare, size=size, preparation=files.preparation)

    def ahead(processes: int) -> Iterator[Pixels]:
        return map_in_workers(work, range(videos), processes, crashed=crashed, ahead=SHARD)

    return {
        "single": lambda: one_by_one(model, processor, frames),
        "one process": lambda: in_batches(encoder, ahead(0)),
        "with workers": lambda: in_batches(encoder, ahead(workers)),
    }


def measure(ways: dict[str, Callable[[], NDArray[Any]]], repeats: int) -> tuple[dict[str, list[float]], float]:
    """Seconds of each way in each turn, and the largest difference between the ways' features."""
    wanted = ways["single"]()
    # Also warms up: workers start, memory is there.
    difference = max(float(np.abs(way() - wanted).max()) for way in ways.values())
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return seconds, difference


def parts(folder: Path, size: tuple[int, int], repeats: int) -> dict[str, float]:
    """Median time of each part a frame, over that of one frame through the processor and the model."""
    files = find_encoder(str(folder))
    encoder = load_encoder(files, ContentSettings(device="cpu"))
    processor, frames = files.preparation.processor, decoded(*size)
    frame = np.ascontiguousarray(frames[0].transpose(1, 2, 0))
    inputs = processor(images=frame, return_tensors="pt")
    shrunk = [files.preparation.shrink(frames)] * (encoder.batch // FRAMES)
    works: dict[str, tuple[int, Callable[[], Any]]] = {
        "processor, 1": (1, lambda: processor(images=frame, return_tensors="pt")),
        "model, 1": (1, lambda: encoder.model(**inputs)),
        "prepare, 8": (FRAMES, lambda: files.preparation.shrink(frames)),
        f"model, {encoder.batch}": (encoder.batch, lambda: encoder.encode(shrunk)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    with torch.no_grad():
        for _ in range(repeats):
            for name, (count, work) in works.items():
                began = time.perf_counter()
                work()
                seconds[name].append((time.perf_counter() - began) / count)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    whole = medians["processor, 1"] + medians["model, 1"]
    return {name: median / whole for name, median in medians.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=64, help=f"of {FRAMES} frames")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--workers", type=int, default=cores(0), help="processes that prepare frames")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch in this process, in every way")
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=320)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    size = (arguments.height, arguments.width)
    record: dict[str, Any] = {"workers": arguments.workers, "frame": f"{size[1]}x{size[0]}"}
    for name, model in MODELS.items():
        print(f"{name}: {model}")
        suffix = "" if name == "tiny" else f"_{name}"
        with tempfile.TemporaryDirectory() as folder:
            make_checkpoint(Path(folder), model)
            ways = ways_of(Path(folder), arguments.videos, size, arguments.workers)
            seconds, difference = measure(ways, arguments.repeats)
            shares = parts(Path(folder), size, 4 * arguments.repeats)
        ratios = told(seconds, difference, shares, arguments.videos)
        record[f"encode_over_single{suffix}"] = round(ratios["one process"], 2)
        record[f"with_workers_over_single{suffix}"] = round(ratios["with workers"], 2)
    print(json.dumps(record))


def told(
    seconds: Mapping[str, list[float]], difference: float, shares: Mapping[str, float], videos: int
) -> dict[str, float]:
    """Prints what was measured of one model; the median ratio of each way."""
    ratios = {}
    for name, times in seconds.items():
        turns = [single / other for single, other in zip(seconds["single"], times, strict=True)]
        ratios[name] = statistics.median(turns)
        rate = videos * FRAMES / statistics.median(times)
        print(f"{name:<13} {rate:8.0f} frames/s   {ratios[name]:5.2f} x single   {min(turns):.2f} to {max(turns):.2f}")
    print(f"largest difference between features: {difference:.1e}")
    for name, share in shares.items():
        print(f"{name:<13} {share:.2f} of the time of a single frame")
    return ratios


if __name__ == "__main__":
    main()

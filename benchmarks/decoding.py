"""Frames by time against reading every frame with OpenCV, on 1080p H.264 clips made on the spot.

    python benchmarks/decoding.py [--repeats 5] [--clips FOLDER]

Two clips at 30 frames a second: 20 s with x264's default keyframes (at most 250 frames apart), so that every group of
pictures holds wanted frames of 2 a second, and 60 s with a keyframe every 2 s, of which 8 frames are wanted. The plain
loop calls `cv2.VideoCapture.read` to the end of the file and keeps the wanted frames by their number. Both ways give
full-size pictures, both get the same number of threads, and both run in every repeat, in turns; a ratio is the median
over repeats of the plain loop's time over that of `sample_clip`.

The headline is one thread a process, because that is how the product decodes: in as many worker processes as wanted.
`_all_cores` gives both as many threads as there are cores. `reduced` keeps pictures of at most 602,112 pixels (reduced
by `cv2.resize` in the plain loop), which is what a vision-language model reads.

Every frame carries its number in its picture. In every repeat the numbers are read back from what both ways kept and
compared with what is on screen at the wanted times, the timestamps likewise; the pictures of the first repeat are
compared with those of decoding every frame, bit for bit.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, sample_clip
from mdsvqa.videos.frame_times import reduced_size
from mdsvqa.videos.simulated.painting import window

Picture = NDArray[np.uint8]
WIDTH, HEIGHT, FRAME_RATE = 1920, 1080, 30
BITS, BLOCK = 11, 48
MOST_PIXELS = 602_112
CONSOLE = Console(stderr=True)


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: of the ratio.
        clip: to decode.
        sampling: what `sample_clip` is asked for.
        wanted: numbers of the frames that should come out.
        threads: for decoding, on both sides.
    """

    name: str
    clip: Path
    sampling: Sampling
    wanted: list[int]
    threads: int


def natural_texture(rng: np.random.Generator, width: int, height: int) -> Picture:
    """Random colours whose amplitude falls with spatial frequency about as in photographs."""
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 9):
        cells = 2**octave
        grid = rng.standard_normal((max(2, height * cells // 1024), max(2, width * cells // 1024), 3))
        total += cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.8
    return np.clip(128 + 45 * total / total.std(), 0, 255).astype(np.uint8)


def scene(seed: int) -> Callable[[int], Picture]:
    """A camera that pans over a texture on which patches move on their own, with grain; frame number -> RGB."""
    rng = np.random.default_rng(seed)
    world = natural_texture(rng, WIDTH + 800, HEIGHT + 400)
    patches = [natural_texture(rng, 400, 300) for _ in range(4)]
    grain = np.repeat(np.rint(rng.normal(0, 3, (2 * HEIGHT, WIDTH, 1))).astype(np.int16), 3, axis=2)

    def paint(number: int) -> Picture:
        seen = window(world, 400 + 380 * np.sin(number / 60), 200 + 190 * np.sin(number / 47), WIDTH, HEIGHT)
        for k, patch in enumerate(patches):
            left = int(760 + 700 * np.sin(number / (25 + 5 * k) + k))
            top = int(390 + 380 * np.cos(number / (31 + 3 * k) + k))
            seen[top : top + 300, left : left + 400] = patch
        first = 367 * number % HEIGHT
        noisy = np.asarray(cv2.add(seen, grain[first : first + HEIGHT], dtype=cv2.CV_8U), np.uint8)
        for bit in range(BITS):
            noisy[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
        return noisy

    return paint


def write_clip(path: Path, seconds: int, **options: str) -> Path:
    """A clip of the scene by libx264 at its default quality (CRF 23), unless it is there already.

    The preset is veryfast, only to spare minutes of writing: as by default it makes up to three B-frames in a row.
    """
    if path.exists():
        return path
    paint = scene(seed=0)
    unfinished = path.with_name(f"unfinished_{path.name}")
    with av.open(str(unfinished), "w") as out:
        stream = out.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast", **options})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in track(range(seconds * FRAME_RATE), f"writing {path.name}", console=CONSOLE):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(paint(number), "rgb24")))
        out.mux(stream.encode())
    return unfinished.rename(path)


def painted_number(picture: Picture) -> int:
    """The number in a picture of any channel order and size, shape (H, W, 3)."""
    scale = picture.shape[1] / WIDTH
    row, columns = int(BLOCK / 2 * scale), [int((bit + 0.5) * BLOCK * scale) for bit in range(BITS)]
    return sum(int(picture[row, column].mean() > 127) << bit for bit, column in enumerate(columns))


def read_every_frame(case: Case) -> list[Picture]:
    """The plain loop: BGR, shape (H, W, 3)."""
    capture = cv2.VideoCapture(str(case.clip), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, case.threads])
    size = reduced_size(WIDTH, HEIGHT, case.sampling)
    wanted, number = set(case.wanted), 0
    kept: list[Picture] = []
    while True:
        found, picture = capture.read()
        if not found:
            return kept
        if number in wanted:
            whole = size == (WIDTH, HEIGHT)
            kept.append(picture if whole else cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        number += 1


def sample(case: Case, spare: bool = True) -> Clip:
    return sample_clip(case.clip, case.name, case.sampling, threads=case.threads, spare=spare)


def check(case: Case, plain: list[Picture], clip: Clip) -> None:
    """Both ways gave the frames on screen at the wanted times."""
    ours = list(clip.frames.transpose(0, 2, 3, 1))
    for way, pictures in (("OpenCV", plain), ("sample_clip", ours)):
        found = [painted_number(picture) for picture in pictures]
        if found != case.wanted:
            raise SystemExit(f"{case.name}: found frames {found} by {way}; expected {case.wanted}")
    if not np.allclose(clip.timestamps, np.array(case.wanted) / FRAME_RATE, rtol=0, atol=1e-9):
        raise SystemExit(f"{case.name}: found timestamps {clip.timestamps}; expected {case.wanted} / {FRAME_RATE}")
    # The two convert chroma differently; another frame, matrix or range would differ by far more.
    apart = max(float(np.mean(cv2.absdiff(a[..., ::-1], b))) for a, b in zip(plain, ours, strict=True))
    if apart > 2:
        raise SystemExit(f"{case.name}: found pictures {apart:.1f} grey levels apart on average; expected at most 2")


def ratio(case: Case, repeat: int) -> float:
    """Time of the plain loop over that of `sample_clip`, each run once; odd repeats run the second first."""
    cv2.setNumThreads(case.threads)
    start = time.perf_counter()
    if repeat % 2 == 0:
        plain = read_every_frame(case)
        half = time.perf_counter()
        clip = sample(case)
    else:
        clip = sample(case)
        half = time.perf_counter()
        plain = read_every_frame(case)
    end = time.perf_counter()
    check(case, plain, clip)
    if repeat == 0 and not np.array_equal(clip.frames, sample(case, spare=False).frames):
        raise SystemExit(f"{case.name}: the pictures differ from those of decoding every frame")
    first, second = half - start, end - half
    return first / second if repeat % 2 == 0 else second / first


def make_cases(folder: Path) -> list[Case]:
    dense = write_clip(folder / "20_s_default_keyframes.mp4", 20)
    sparse = write_clip(folder / "60_s_keyframe_every_2_s.mp4", 60, g=str(2 * FRAME_RATE))
    two_a_second = list(range(0, 20 * FRAME_RATE, FRAME_RATE // 2))
    # The centres of eight parts of 60 s, 3.75 s and so on, fall in the middle of a frame.
    eight = [int((part + 0.5) * 60 / 8 * FRAME_RATE) for part in range(8)]
    cores = os.cpu_count() or 1
    return [
        Case("sampled_over_full", dense, Sampling(rate=2), two_a_second, 1),
        Case("sampled_reduced_over_full", dense, Sampling(rate=2, most_pixels=MOST_PIXELS), two_a_second, 1),
        Case("sampled_over_full_all_cores", dense, Sampling(rate=2), two_a_second, cores),
        Case("sparse_over_full", sparse, Sampling(frames=8), eight, 1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clips", type=Path, help="folder in which the clips stay for the next run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.clips or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases = make_cases(folder)
        rounds = [(case, repeat) for repeat in range(arguments.repeats) for case in cases]
        ratios: dict[str, list[float]] = {case.name: [] for case in cases}
        for case, repeat in track(rounds, "timing", console=CONSOLE):
            ratios[case.name].append(ratio(case, repeat))
        megabits = {case.clip.stem: 8e-6 * case.clip.stat().st_size for case in cases}
    table = Table("ratio", "threads", "median", "lowest", "highest")
    for case in cases:
        values = ratios[case.name]
        figures = (f"{pick(values):.2f}" for pick in (np.median, np.min, np.max))
        table.add_row(case.name, str(case.threads), *figures)
    Console(width=110).print(table)
    print(", ".join(f"{name}: {size / int(name.split('_')[0]):.1f} Mbit/s" for name, size in megabits.items()))
    medians = {name: round(float(np.median(values)), 2) for name, values in ratios.items()}
    print(json.dumps({"repeats": arguments.repeats, "cores": os.cpu_count(), **medians}))


if __name__ == "__main__":
    main()

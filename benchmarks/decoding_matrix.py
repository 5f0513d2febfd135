"""Frames by number against the `ffmpeg` program: containers x codecs x constant and variable rate x kinds of GOP.

    python benchmarks/decoding_matrix.py [--containers mp4,ts] [--codecs h264,vp9] [--keep FOLDER]

Needs `ffmpeg` and `ffprobe` on the PATH, with the usual encoders. Every frame carries its number in its picture. Each
kind of stream is encoded once and copied into every container that takes it; what a muxer refuses is counted as such.
`ffmpeg` then decodes each file from start to end without changing its frames, which gives their numbers, and `ffprobe`
lists the time stamps, which are their times in ascending order (AVI and WMV hold decoding times only: their frames are
shown in these slots; MPEG program streams leave some out: those of what was copied into them count, at constant rates,
as they have no others). From these the frames on screen at the wanted times follow by looking for each time in turn,
and those must be the ones that `sample_clip` gives, by seeking and sparing as by decoding everything: all frames, a few
at equal distances, one, and some a second, each with its time to the millisecond that some containers round to.

Rates: constant at 30 frames a second, and variable (1/30 s and 1/6 s in turns of a few frames). GOPs: P-frames only,
three B-frames, B-frames before a keyframe that refer across it (open).
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mdsvqa.videos.decoding import Sampling, Undecodable, sample_clip

WIDTH, HEIGHT, FRAMES, BITS, GOP = 160, 96, 120, 10, 15
CONTAINERS = ("mp4", "mov", "m4v", "3gp", "mkv", "webm", "nut", "ts", "mpg", "flv", "avi", "wmv")
ENCODERS = {
    "h264": ["libx264"],
    "hevc": ["libx265", "-x265-params"],
    "mpeg2": ["mpeg2video", "-b:v", "2M"],
    "mpeg4": ["mpeg4", "-b:v", "2M"],
    "vp8": ["libvpx", "-b:v", "1M"],
    "vp9": ["libvpx-vp9", "-b:v", "1M", "-cpu-used", "8"],
    "av1": ["libsvtav1", "-preset", "12"],
    "mjpeg": ["mjpeg", "-pix_fmt", "yuvj420p"],
}
RATES = ("constant", "variable")
GOPS = ("P", "B", "open")
SAMPLINGS = (Sampling(rate=1000), Sampling(frames=7), Sampling(frames=1), Sampling(rate=2), Sampling(frames=50))
CONSOLE = Console(stderr=True)
DECODING_TIMES = ("avi", "wmv")
# ms of containers that round, and the usual share of a frame that rounds the other way.
NEAR = 1.5e-3


@dataclass(frozen=True)
class Seen:
    """What ffmpeg shows of a file: the number in each picture, and the time of each in seconds from the first."""

    numbers: list[int]
    times: NDArray[np.float64]


def write_source(path: Path) -> None:
    """Raw frames, each with its number as white columns, the least significant bit left."""
    with path.open("wb") as file:
        for number in range(FRAMES):
            row = bytes(235 if number >> x * BITS // WIDTH & 1 else 16 for x in range(WIDTH))
            file.write(row * HEIGHT + bytes([128]) * (WIDTH * HEIGHT // 2))


def options_of(codec: str, gop: str) -> list[str] | None:
    """What an encoder is told, None where its codec has no such GOPs."""
    if codec in ("h264", "hevc"):
        frames = {"P": 0, "B": 3, "open": 3}[gop]
        parameters = (
            f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes={frames}:b-adapt=0:open-gop={int(gop == 'open')}"
        )
        told = ENCODERS[codec][:1]
        name = "-x264-params" if codec == "h264" else "-x265-params"
        return [*told, name, parameters + (":log-level=none" if codec == "hevc" else "")]
    if codec in ("mpeg2", "mpeg4"):
        closed = ["-flags", "+cgop", "-sc_threshold", "1000000000"] if gop != "open" else []
        return [*ENCODERS[codec], "-g", str(GOP), "-bf", "0" if gop == "P" else "2", *closed]
    return [*ENCODERS[codec], "-g", str(GOP)] if gop == "P" else None


def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], capture_output=True, check=False)


def encode(source: Path, path: Path, codec: str, rate: str, gop: str) -> bool:
    options = options_of(codec, gop)
    if options is None:
        return False
    raw = ["-f", "rawvideo", "-s", f"{WIDTH}x{HEIGHT}", "-r", "30", "-pix_fmt", "yuv420p", "-i", source]
    # Runs of eight frames, of which every second one takes five times as long.
    slow = ["-vf", "setpts='(N+4*8*floor(N/16)+4*max(0,mod(N,16)-8))/30/TB'", "-fps_mode", "vfr"]
    made = run(*raw, *(slow if rate == "variable" else []), "-c:v", *options, path)
    if made.returncode:
        raise SystemExit(f"{codec}, {gop}: {made.stderr.decode(errors='replace')}")
    return True


def look(path: Path, coded: Path) -> Seen:
    """The frames of a file as ffmpeg decodes them, and the time stamps of it or of what was copied into it."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0"]
    found = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        capture_output=True,
        check=True,
    )
    numbers = numbers_in(np.frombuffer(found.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH))
    stamp = "dts_time" if path.suffix[1:] in DECODING_TIMES else "pts_time"
    times = listed_times(path, f"packet={stamp}")
    if len(times) != len(numbers):
        # MPEG program streams state the times of some packets only: what was copied into them had them all.
        times = listed_times(coded, "packet=pts_time")
    if len(times) != len(numbers):
        raise SystemExit(f"{path.name}: found {len(times)} time stamps and {len(numbers)} frames; expected as many")
    return Seen(numbers, times - times[0])


def listed_times(path: Path, entry: str) -> NDArray[np.float64]:
    """What ffprobe says of each packet or frame, in seconds, ascending."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entry, "-of", "csv=p=0"]
    listed = subprocess.run([*command, str(path)], capture_output=True, check=True).stdout.decode()
    return np.sort([float(time) for time in re.findall(r"-?\d+\.\d+", listed)])


def numbers_in(pictures: NDArray[np.uint8]) -> list[int]:
    """The numbers in grey pictures of shape (T, H, W)."""
    column = WIDTH / BITS
    means = pictures.mean(axis=1)
    return [sum(int(row[int((bit + 0.5) * column)] > 127) << bit for bit in range(BITS)) for row in means]


def wanted_frames(seen: Seen, duration: float, sampling: Sampling) -> list[int]:
    """Which of the frames are on screen at the wanted times, each once."""
    if sampling.frames is not None:
        wanted = [(part + 0.5) * duration / sampling.frames for part in range(sampling.frames)]
    else:
        assert sampling.rate is not None
        wanted = [step / sampling.rate for step in range(int(duration * sampling.rate) + 1)]
        wanted = [time for time in wanted if time < duration - 1e-3 or time == 0]
    shown: list[int] = []
    for time in wanted:
        frame = max(number for number, start in enumerate(seen.times) if start <= time + 1e-3)
        if frame not in shown:
            shown.append(frame)
    return shown


def compare(path: Path, seen: Seen) -> str | None:
    """What differs between `sample_clip` and ffmpeg, None where nothing does."""
    try:
        for sampling, spare in product(SAMPLINGS, (True, False)):
            name = f"{sampling.frames} frames" if sampling.frames else f"{sampling.rate} a second"
            clip = sample_clip(path, path.name, sampling, spare=spare)
            assert clip.duration is not None
            expected = wanted_frames(seen, clip.duration, sampling)
            found = numbers_in(clip.frames.mean(axis=1).astype(np.uint8))
            numbers = [seen.numbers[frame] for frame in expected]
            if found != numbers:
                first = next((k for k, pair in enumerate(zip(found, numbers, strict=False)) if pair[0] != pair[1]), -1)
                counts = f"{len(found)} frames; expected {len(numbers)}"
                return f"{name}: found {counts}; first difference: {found[first]}; expected {numbers[first]}"
            if not np.allclose(clip.timestamps, seen.times[expected], rtol=0, atol=NEAR):
                apart = float(np.abs(clip.timestamps - seen.times[expected]).max())
                return f"{name}: times are up to {apart:.4f} s apart"
    except Undecodable as reason:
        return reason.reason
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", default=",".join(CONTAINERS))
    parser.add_argument("--codecs", default=",".join(ENCODERS))
    parser.add_argument("--keep", type=Path, help="folder for the files that differ")
    arguments = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        raise SystemExit("ffmpeg is not on the PATH; expected it, as it is what the frames are compared with.")
    counted: Counter[str] = Counter()
    differences: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_source(folder / "source.yuv")
        kinds = list(product(arguments.codecs.split(","), RATES, GOPS))
        for codec, rate, gop in track(kinds, "comparing", console=CONSOLE):
            coded = folder / "coded.nut"
            if not encode(folder / "source.yuv", coded, codec, rate, gop):
                counted["no such GOP"] += len(arguments.containers.split(","))
                continue
            for container in arguments.containers.split(","):
                path = folder / f"{codec}_{rate}_{gop}.{container}"
                copied = run("-i", coded, "-c", "copy", "-strict", "experimental", path)
                if copied.returncode or not path.exists() or not path.stat().st_size:
                    counted["not taken by the container"] += 1
                    continue
                if (container, rate) == ("mpg", "variable"):
                    counted["no times in the container"] += 1
                    continue
                try:
                    seen = look(path, coded)
                except subprocess.CalledProcessError:
                    counted["not read by ffmpeg itself"] += 1
                    continue
                difference = compare(path, seen)
                counted["exact" if difference is None else "different"] += 1
                if difference is not None:
                    differences[path.name] = difference
                    CONSOLE.print(f"{path.name}: {difference}", markup=False)
                    if arguments.keep is not None:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, arguments.keep)
                path.unlink()
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True).stdout.decode().split()[2]
    print(json.dumps({"files": counted["exact"] + counted["different"], "ffmpeg": version, **counted}))


if __name__ == "__main__":
    main()

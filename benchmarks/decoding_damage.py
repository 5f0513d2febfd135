"""Damaged files: what is read of them, and that none of them crashes or stalls whoever reads it.

    python benchmarks/decoding_damage.py [--files 600] [--seconds 20] [--keep FOLDER]

Small videos of six kinds (H.264 in MP4, fragmented MP4, Matroska and MPEG-TS, VP9 in WebM, MPEG-4 in AVI) are damaged
at random: bytes overwritten with noise, single bits turned, runs of zeros, parts cut out, doubled or exchanged, the end
cut off, numbers of the header set to their extremes. Each is read in a process of its own as features and models read
it (24 and 8 frames, 2 a second, `probe`), with a limit of time and of memory (4 GB). Right is a clip of frames of one
size with ascending times, or one sentence that says why there is none; never another error, a signal or a time-out.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from rich.console import Console
from rich.progress import track

from mdsvqa.videos.decoding import Sampling, Undecodable, probe, sample_clip

KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "plain.mp4": ("libx264", {}),
    "fragmented.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "plain.mkv": ("libx264", {}),
    "plain.ts": ("libx264", {}),
    "plain.webm": ("libvpx-vp9", {}),
    "plain.avi": ("mpeg4", {}),
}
SAMPLINGS = (Sampling(frames=24, window=64), Sampling(frames=8, longest_side=64), Sampling(rate=2, spread=True))
MOST_MEMORY = 4 << 30
CONSOLE = Console(stderr=True)
Damage = Callable[[bytearray, np.random.Generator], None]


def write_video(path: Path, codec: str, container: dict[str, str]) -> None:
    """Two seconds of a moving pattern with noise."""
    noise = np.random.default_rng(0).integers(0, 40, (48, 80, 3), np.uint8)
    with av.open(str(path), "w", options=container) as out:
        stream = out.add_stream(codec, rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.codec_context.gop_size = 12
        for number in range(60):
            picture = np.roll(noise, number, axis=1)
            picture[:, number % 80] = 255
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def place(content: bytearray, rng: np.random.Generator, length: int) -> slice:
    start = int(rng.integers(0, max(1, len(content) - length)))
    return slice(start, start + length)


def noise(content: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 6)):
        where = place(content, rng, int(rng.integers(1, 200)))
        content[where] = rng.bytes(len(content[where]))


def bits(content: bytearray, rng: np.random.Generator) -> None:
    for at in rng.integers(0, len(content), rng.integers(1, 60)):
        content[at] ^= 1 << int(rng.integers(8))


def zeros(content: bytearray, rng: np.random.Generator) -> None:
    where = place(content, rng, int(rng.integers(1, len(content) // 2)))
    content[where] = bytes(len(content[where]))


def hole(content: bytearray, rng: np.random.Generator) -> None:
    del content[place(content, rng, int(rng.integers(1, len(content) // 3)))]


def double(content: bytearray, rng: np.random.Generator) -> None:
    where = place(content, rng, int(rng.integers(1, len(content) // 3)))
    content[where.start : where.start] = content[where]


def exchange(content: bytearray, rng: np.random.Generator) -> None:
    length = int(rng.integers(1, len(content) // 4))
    one, other = place(content, rng, length), place(content, rng, length)
    content[one], content[other] = content[other], content[one]


def cut(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(0, len(content))) :]


def header(content: bytearray, rng: np.random.Generator) -> None:
    """Four bytes of what a container holds beside its pictures, most of them near its start or end."""
    for _ in range(rng.integers(1, 8)):
        near = int(rng.integers(0, min(1200, len(content) - 4)))
        at = near if rng.random() < 0.5 else len(content) - 4 - near
        extremes = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", bytes(4), b"\0\0\0\1", rng.bytes(4))
        content[at : at + 4] = extremes[rng.integers(len(extremes))]


DAMAGES: tuple[Damage, ...] = (noise, bits, zeros, hole, double, exchange, cut, header, header)


def read(path: Path, answer: Connection) -> None:
    """Sends "frames" or "reason", or what is wrong; runs in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    try:
        answer.send(read_all(path))
    except BaseException:
        answer.send(traceback.format_exc())


def read_all(path: Path) -> str:
    kinds = set()
    for sampling in SAMPLINGS:
        try:
            clip = sample_clip(path, path.name, sampling)
        except Undecodable as undecodable:
            kinds.add("reason" if len(undecodable.reason.splitlines()) == 1 else "no reason")
            continue
        kinds.add("frames" if clip.note is None else "frames and a note")
        assert clip.frames.ndim == 4
        assert len(clip.frames) == len(clip.timestamps) > 0
        assert clip.timestamps[0] >= 0
        assert (np.diff(clip.timestamps) > 0).all()
        assert clip.duration is not None
        assert clip.duration > clip.timestamps[-1]
        assert clip.fps is not None
        assert 0 < clip.fps < np.inf
    with suppress(Undecodable):
        probe(path)
    return " or ".join(sorted(kinds))


def read_apart(path: Path, seconds: float) -> str:
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=read, args=(path, theirs))
    process.start()
    theirs.close()
    try:
        found: str = mine.recv() if mine.poll(seconds) else "TIME-OUT"
    except EOFError:
        process.join()
        found = f"CRASH, exit code {process.exitcode}"
    process.kill()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=20, help="for reading one file five times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files on which something is wrong")
    arguments = parser.parse_args()
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, (codec, container) in KINDS.items():
            write_video(folder / name, codec, container)
        originals = {name: (folder / name).read_bytes() for name in KINDS}
        for number in track(range(arguments.files), "reading", console=CONSOLE):
            rng = np.random.default_rng([arguments.seed, number])
            name = list(KINDS)[number % len(KINDS)]
            damage = DAMAGES[number // len(KINDS) % len(DAMAGES)]
            content = bytearray(originals[name])
            damage(content, rng)
            path = folder / f"{number:04d}_{damage.__name__}_{name}"
            path.write_bytes(content)
            found = read_apart(path, arguments.seconds)
            right = not found.startswith(("CRASH", "TIME-OUT", "Traceback"))
            counted[found if right else "wrong"] += 1
            if not right:
                wrong.append(path.name)
                CONSOLE.print(f"{path.name}: {found}", markup=False)
                if arguments.keep is not None:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, arguments.keep)
            path.unlink()
    print(json.dumps({"files": arguments.files, "crashes_hangs_errors": len(wrong), **counted}))


if __name__ == "__main__":
    main()

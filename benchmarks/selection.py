"""How fast is the greedy rule, and how many distances does it compute?

    python benchmarks/selection.py [--cases 400x30 1600x150 40000 1000000] [--threads 1] [--device auto]
        [--budget-million 1000] [--folder build/selection] [--libraries PYTHON]
    python benchmarks/selection.py --cases facility

400x30, 1600x150: against the rule written out with scipy's cdist, twice for every pair as in the published code; the
choices must be the same. Where the plain way would take longer than two minutes it is timed on a part of its pairs, and
the table says so. 40000: 8 frames a video, 2,000 chosen. 1000000: the same with 1,000 chosen, float16 features mapped
from a file of 8 GB, which is made first.

facility: the rules of facility location, by benchmarks/facility.py, which has cases and options of its own.

Features are clustered and of unit norm, 512 numbers a frame. Difficulties are drawn from the ten values of the released
failure scores of YouTube-SFV SDR, by their counts. Lambda 0.25, raw scale. Every case is a process of its own, so that
its peak of memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.runtime.workers import cores
from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.rules.mds import mds_counted
from mdsvqa.selection.settings import SelectionSettings

Floats = NDArray[np.float64]
DIMS, LAMBDA = 512, 0.25
# The released failure scores of 1,624 videos, and how often each occurs.
SCORES = {2.0: 1195, 2.33: 2, 2.5: 236, 2.8: 107, 3.0: 76, 3.5: 1, 3.8: 2, 4.0: 2, 4.5: 1, 4.8: 2}
# A video's distance from its cluster's center and a frame's from its video's, against the center's norm.
CLUSTERS, OF_VIDEO, OF_FRAME = 40, 0.5, 0.3
PLAIN_SECONDS = 120.0
# Videos of the large table that are made at a time.
BLOCK = 10_000


def fill(frames: NDArray[np.float16], count: int, seed: int) -> None:
    """Fills unit-norm features of videos of `count` frames, shape (videos * count, dims), blocks on all cores."""
    centers = np.random.default_rng(seed).standard_normal((CLUSTERS, DIMS), np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)

    def fill_block(number: int) -> None:
        part = frames[number * BLOCK * count :][: BLOCK * count]
        rng = np.random.default_rng([seed, number])
        videos = centers[rng.integers(0, CLUSTERS, len(part) // count)]
        videos = videos + OF_VIDEO * DIMS**-0.5 * rng.standard_normal(videos.shape, np.float32)
        made = np.repeat(videos, count, 0)
        made += OF_FRAME * DIMS**-0.5 * rng.standard_normal(made.shape, np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        part[:] = made

    # A block takes half a gigabyte; numpy works on several at once.
    with ThreadPoolExecutor(min(8, cores(0))) as threads:
        list(threads.map(fill_block, range(-(-len(frames) // (BLOCK * count)))))


def pool_of(frames: NDArray[np.float16], count: int, seed: int) -> Pool:
    n = len(frames) // count
    values, times = np.array(list(SCORES)), np.array(list(SCORES.values()), np.float64)
    difficulty = np.random.default_rng(seed).choice(values, n, p=times / times.sum())
    content = Content(frames, np.arange(n) * count, np.full(n, count))
    return Pool([f"{i:07d}" for i in range(n)], difficulty, content)


def plain_distance(x: Floats, y: Floats) -> float:
    return float((cdist(x, y).min(axis=1).mean() + cdist(y, x).min(axis=1).mean()) / 2)


def plain_greedy(pool: Pool, budget: int) -> tuple[list[int], float, bool]:
    """The rule as it is written, one pair after the other.

    Returns:
        The choice, the seconds, and whether these are an estimate from the first pairs. Then the choice comes from
        distances by matrix products in double precision, which is not timed.
    """
    videos = [pool.content.of(i).astype(np.float64) for i in range(len(pool))]
    # A few pairs tell whether all of them would take too long.
    begin = time.perf_counter()
    for i in range(20):
        plain_distance(videos[i], videos[i + 1])
    pair = (time.perf_counter() - begin) / 20
    pairs = len(pool) * (budget - 1)
    estimated = pair * pairs > PLAIN_SECONDS
    if estimated:
        some, begin = max(20, round(PLAIN_SECONDS / 4 / pair)), time.perf_counter()
        for i in range(some):
            plain_distance(videos[i % len(videos)], videos[(i * 7 + 1) % len(videos)])
        seconds = (time.perf_counter() - begin) / some * pairs
    chosen = [int(np.argmax(pool.difficulty))]
    total = np.zeros(len(pool))
    double = Content.stack(videos)
    begin = time.perf_counter()
    while len(chosen) < budget:
        last = videos[chosen[-1]]
        total += double.distances_from(last) if estimated else [plain_distance(video, last) for video in videos]
        utility = pool.difficulty + LAMBDA / len(chosen) * total
        utility[chosen] = -np.inf
        chosen.append(int(np.argmax(utility)))
    return chosen, seconds if estimated else time.perf_counter() - begin, estimated


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def against_plain(n: int, count: int, budget: int, settings: SelectionSettings) -> dict[str, Any]:
    frames = np.empty((n * count, DIMS), np.float16)
    fill(frames, count, 0)
    pool = pool_of(frames, count, 0)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        picks, computed = mds_counted(pool, budget, settings)
        times.append(time.perf_counter() - begin)
    seconds = float(np.median(times))
    chosen, plain, estimated = plain_greedy(pool, budget)
    return {
        "speedup": plain / seconds,
        "same": [pick.index for pick in picks] == chosen,
        "plain_estimated": estimated,
        "share_computed": computed / (n * budget),
        "seconds": seconds,
        "plain_seconds": plain,
    }


def large(n: int, budget: int, folder: Path, settings: SelectionSettings) -> dict[str, Any]:
    count = 8
    shape = (n * count, DIMS)
    if n < 1_000_000:
        frames = np.empty(shape, np.float16)
        fill(frames, count, 0)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"frames-{n}.npy"
        if not path.exists():
            writing = np.lib.format.open_memmap(path.with_suffix(".tmp"), "w+", np.float16, shape)
            fill(writing, count, 0)
            writing.flush()
            path.with_suffix(".tmp").replace(path)
            del writing
        frames = np.load(path, mmap_mode="r")
    pool = pool_of(frames, count, 0)
    begin = time.perf_counter()
    picks, computed = mds_counted(pool, budget, settings)
    seconds = time.perf_counter() - begin
    assert len(picks) == budget
    return {"seconds": seconds, "share_computed": computed / (n * budget), "peak_gb": peak_bytes() / 1e9}


def one_by_one(arguments: argparse.Namespace) -> None:
    """Runs every case in a process of its own, and prints the records as one."""
    record: dict[str, Any] = {}
    for case in arguments.cases:
        if case == "facility":
            record |= facility(arguments)
            continue
        options = ["--threads", arguments.threads, "--device", arguments.device, "--folder", arguments.folder]
        options += ["--budget-million", arguments.budget_million, "--cases", case]
        done = subprocess.run([sys.executable, __file__, *map(str, options)], stdout=subprocess.PIPE, text=True)
        lines = done.stdout.strip().splitlines()
        if done.returncode:
            sys.exit(done.returncode)
        print("\n".join(lines[:-1]))
        record |= json.loads(lines[-1])
    print(json.dumps(record))


def facility(arguments: argparse.Namespace) -> dict[str, Any]:
    """The record of benchmarks/facility.py, whose tables are printed."""
    options = ["--threads", arguments.threads, "--folder", arguments.folder]
    options += ["--libraries", arguments.libraries] if arguments.libraries else []
    command = [sys.executable, str(Path(__file__).with_name("facility.py")), *map(str, options)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip().splitlines()
    print("\n".join(lines[:-1]))
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["400x30", "1600x150", "40000", "facility"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--budget-million", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("build/selection"))
    parser.add_argument("--libraries", help="interpreter with submodlib and apricot, for facility")
    parser.add_argument("--here", action="store_true", help="no process of its own for each case")
    arguments = parser.parse_args()
    if (len(arguments.cases) > 1 or "facility" in arguments.cases) and not arguments.here:
        return one_by_one(arguments)
    threadpool_limits(arguments.threads)
    settings = SelectionSettings(
        **{"lambda": LAMBDA}, scale="raw", threads=arguments.threads, device=arguments.device, memory=1 << 30
    )
    torch.set_num_threads(arguments.threads)
    # The first products of a process start its threads.
    warm = np.empty((60 * 8, DIMS), np.float16)
    fill(warm, 8, 1)
    mds_counted(pool_of(warm, 8, 1), 5, settings)
    device = "cpu"
    if arguments.device != "cpu" and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    table = Table("case", "chosen", "against plain", "same choices", "seconds", "distances computed", "peak of process")
    record: dict[str, Any] = {"device": device, "threads": arguments.threads}
    for case in arguments.cases:
        if "x" in case:
            n, count = (int(part) for part in case.split("x"))
            budget = max(2, round(n * 0.05))
            found = against_plain(n, count, budget, settings)
            note = " (plain time estimated from a part)" if found["plain_estimated"] else ""
            ratio, same = f"{found['speedup']:.0f}{note}", str(found["same"])
            record |= {f"speedup_{case}": round(found["speedup"], 1), f"same_{case}": found["same"]}
        else:
            n = int(case)
            budget = arguments.budget_million if n >= 1_000_000 else 2000
            found = large(n, budget, arguments.folder, settings)
            ratio, same = "", ""
            record |= {f"seconds_{case}": round(found["seconds"], 1), f"peak_gb_{case}": round(peak_bytes() / 1e9, 2)}
        record[f"share_computed_{case}"] = round(found["share_computed"], 4)
        share, peak = f"{found['share_computed']:.2%}", f"{peak_bytes() / 1e9:.2f} GB"
        table.add_row(case, str(budget), ratio, same, f"{found['seconds']:.2f}", share, peak)
    Console(width=150).print(table)
    print(json.dumps(record))


if __name__ == "__main__":
    main()

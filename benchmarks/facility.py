"""Facility location in large pools: how near is the choice by neighbors to that by all pairs, and what does it take?

    python benchmarks/facility.py [--cases 4000 14000 100000 matrix-2000 matrix-5000] [--threads 1] [--clusters 40]
        [--device cpu] [--parts 1] [--folder build/selection] [--libraries PYTHON]

4000, 14000: 5% chosen, by neighbors and by 4 and 16 random parts, against exact greedy on the Chamfer distances of all
pairs: the share of the way from random selection's mean distance (20 draws) to exact greedy's. 100000 and above: 5%
chosen (of 10,000,000 videos 1%), against random selection and against the sample of the pool that stood for it before,
with the certificate; float16 features of 1,000,000 and more videos are mapped from a file, which is made first.
matrix-N: one matrix for this package, submodlib and apricot, 5% chosen; PYTHON is an interpreter that has the two.

Features are those of benchmarks/selection.py. Every case is a process of its own, for a peak of memory of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import selection
from mdsvqa.selection.base import Pool
from mdsvqa.selection.certificate import certify, mean_distance
from mdsvqa.selection.coverage import GraphCoverage, TableCoverage
from mdsvqa.selection.distances.matrices import chamfer_table, mean_frames
from mdsvqa.selection.distances.neighbors import neighbor_graph, neighbors_wanted
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.parts import by_parts
from mdsvqa.selection.rules.facility_location import steps
from mdsvqa.selection.settings import SelectionSettings

FRAMES, SHARE, DRAWS = 8, 0.05, 20
# Pairs of a video and one that stands for the pool, before.
PAIRS_BEFORE = 400_000_000
LIBRARIES = """
import json, sys, time
import numpy as np
similarity, budget = np.load(sys.argv[1]), int(sys.argv[2])
from submodlib import FacilityLocationFunction
times, found = {}, {}
for turn in range(3):
    begin = time.perf_counter()
    function = FacilityLocationFunction(n=len(similarity), mode="dense", sijs=similarity, separate_rep=False)
    picks = function.maximize(budget=budget, optimizer="LazyGreedy", stopIfZeroGain=False, stopIfNegativeGain=False)
    times.setdefault("submodlib", []).append(time.perf_counter() - begin)
found["submodlib"] = [int(index) for index, _ in picks]
from apricot import FacilityLocationSelection
FacilityLocationSelection(2, metric="precomputed", optimizer="lazy").fit(similarity[:50, :50])
for turn in range(3):
    begin = time.perf_counter()
    chosen = FacilityLocationSelection(budget, metric="precomputed", optimizer="lazy").fit(similarity)
    times.setdefault("apricot", []).append(time.perf_counter() - begin)
found["apricot"] = [int(index) for index in chosen.ranking]
print()
print(json.dumps({"seconds": {name: sorted(each)[1] for name, each in times.items()}, "picks": found}))
"""


def made(n: int, folder: Path, clusters: int) -> Pool:
    """The simulated pool, in memory or mapped from a file."""
    selection.CLUSTERS = clusters
    shape = (n * FRAMES, selection.DIMS)
    if n < 1_000_000:
        frames: NDArray[np.float16] = np.empty(shape, np.float16)
        selection.fill(frames, FRAMES, 0)
        return selection.pool_of(frames, FRAMES, 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"frames-{n}-{clusters}.npy"
    if not path.exists():
        writing = np.lib.format.open_memmap(path.with_suffix(".tmp"), "w+", np.float16, shape)
        selection.fill(writing, FRAMES, 0)
        writing.flush()
        path.with_suffix(".tmp").replace(path)
        del writing
    return selection.pool_of(np.load(path, mmap_mode="r"), FRAMES, 0)


def shares(pool: Pool, budget: int, device: str) -> dict[str, float]:
    """Of the way from random selection to exact greedy: by neighbors, and by random parts."""
    table = chamfer_table(pool.content)

    def distance(picks: Any) -> float:
        return float(table[np.asarray(picks)].min(0).mean())

    rng = np.random.default_rng(1)
    random = float(np.mean([distance(rng.choice(len(pool), budget, replace=False)) for _ in range(DRAWS)]))
    exact = distance([pick.index for pick in steps(pool, Eligible(pool, budget), TableCoverage(table, ()))])
    graph = neighbor_graph(pool.content, neighbors_wanted(len(pool), budget), device, torch.get_num_threads())
    found = {}
    for parts in (1, 4, 16):
        coverage = GraphCoverage(graph, ())
        if parts == 1:
            picks = steps(pool, Eligible(pool, budget), coverage)
        else:
            settings = SelectionSettings(parts=parts)
            picks, _ = by_parts(steps, pool, budget, settings, coverage, 0)
        found[f"{parts}"] = (random - distance([pick.index for pick in picks])) / (random - exact)
    return {"random": random, "exact": exact, **found}


def before(pool: Pool, budget: int, seed: int = 0) -> NDArray[np.int64]:
    """The choice as it was: mean frames, and a sample of the pool that stands for it."""
    means = mean_frames(pool.content).frames
    some = np.random.default_rng(seed).choice(len(pool), PAIRS_BEFORE // len(pool), replace=False)
    squares = (means**2).sum(1)
    products = means @ means[some].T
    table = np.sqrt(np.maximum(squares[:, None] + squares[some][None] - 2 * products, 0)).astype(np.float16)
    nearest = np.full(len(some), table.max(), np.float32)
    bounds, chosen = np.full(len(pool), np.inf), list[int]()
    while len(chosen) < budget:
        known: set[int] = set()
        while (best := int(bounds.argmax())) not in known:
            bounds[best] = np.maximum(nearest - table[best], 0).sum()
            known.add(best)
        chosen.append(best)
        bounds[best] = -1
        nearest = np.minimum(nearest, table[best])
    return np.array(chosen, np.int64)


def large(n: int, folder: Path, clusters: int, device: str, parts: int) -> dict[str, Any]:
    pool = made(n, folder, clusters)
    budget = round(n * (SHARE if n < 10_000_000 else 0.01))
    start = peak_bytes()
    begin, spent = time.perf_counter(), time.process_time()
    k = neighbors_wanted(n, budget)
    graph = neighbor_graph(pool.content, k, device, torch.get_num_threads())
    of_graph = time.perf_counter() - begin
    coverage = GraphCoverage(graph, ())
    if parts > 1:
        picks, covered = by_parts(steps, pool, budget, SelectionSettings(parts=parts), coverage, 0)
    else:
        picks, covered = steps(pool, Eligible(pool, budget), coverage), coverage
    seconds, spent = time.perf_counter() - begin, time.process_time() - spent
    peak = peak_bytes()
    certificate = certify(pool, picks, covered, parts, 0)
    print(certificate.sentence())
    found = {
        "seconds": seconds,
        "processor_seconds": spent,
        "graph_seconds": of_graph,
        "k": k,
        "zero_gains": sum(p.utility == 0 for p in picks),
    }
    found |= {"own": certificate.mean_distance, "random": certificate.random_mean_distance}
    found |= {"at_least": certificate.at_least, "peak_gb": peak / 1e9, "before_gb": start / 1e9}
    if n <= 100_000:
        found["before"] = mean_distance(pool.content, np.arange(n), before(pool, budget))
    return found


def on_one_matrix(n: int, folder: Path, clusters: int, python: str | None) -> dict[str, Any]:
    pool, budget = made(n, folder, clusters), round(n * SHARE)
    table = chamfer_table(pool.content)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        picks = [pick.index for pick in steps(pool, Eligible(pool, budget), TableCoverage(table, ()))]
        times.append(time.perf_counter() - begin)
    found: dict[str, Any] = {"mdsvqa": sorted(times)[1]}
    if python is not None:
        with tempfile.TemporaryDirectory() as place:
            np.save(Path(place) / "similarity.npy", table.max() - table)
            (Path(place) / "libraries.py").write_text(LIBRARIES)
            command = [python, str(Path(place) / "libraries.py"), str(Path(place) / "similarity.npy"), str(budget)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        theirs = json.loads(said.strip().splitlines()[-1])
        found |= theirs["seconds"]
        found |= {f"same_{name}": each == picks for name, each in theirs["picks"].items()}
    return found


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["4000", "14000", "100000", "matrix-2000", "matrix-5000"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clusters", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/selection"))
    parser.add_argument("--libraries", help="interpreter with submodlib and apricot")
    arguments = parser.parse_args()
    record: dict[str, Any] = {}
    if len(arguments.cases) > 1:
        for case in arguments.cases:
            named = {**vars(arguments), "cases": case}
            options = [text for name, value in named.items() if value is not None for text in (f"--{name}", str(value))]
            done = subprocess.run([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True)
            lines = done.stdout.strip().splitlines()
            print("\n".join(lines[:-1]), flush=True)
            worst, new = record.get("facility_over_submodlib", 0), json.loads(lines[-1])
            record |= new
            if "facility_over_submodlib" in record:
                record["facility_over_submodlib"] = max(worst, record["facility_over_submodlib"])
        print(json.dumps(record))
        return
    threadpool_limits(arguments.threads)
    torch.set_num_threads(arguments.threads)
    case = arguments.cases[0]
    if case.startswith("matrix-"):
        n = int(case.removeprefix("matrix-"))
        found = on_one_matrix(n, arguments.folder, arguments.clusters, arguments.libraries)
        if "submodlib" in found:
            record[f"facility_over_submodlib_{n}"] = round(found["mdsvqa"] / found["submodlib"], 3)
            record["facility_over_submodlib"] = record[f"facility_over_submodlib_{n}"]
    elif int(case) < 20_000:
        n = int(case)
        found = shares(made(n, arguments.folder, arguments.clusters), round(n * SHARE), arguments.device)
        record[f"graph_share_{n}"] = round(found["1"], 4)
        record[f"parts_share_{n}"] = round(min(found["4"], found["16"]), 4)
    else:
        n = int(case)
        found = large(n, arguments.folder, arguments.clusters, arguments.device, arguments.parts)
        record |= {f"{name}_{n}": found[name] for name in ("zero_gains", "peak_gb", "processor_seconds")}
        record[f"seconds_{n}"] = round(found["seconds"], 1)
    shown = Table("figure", "value", title=f"{case}, {arguments.clusters} clusters, {arguments.device}")
    for name, value in found.items():
        shown.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console(width=100).print(shown)
    print(json.dumps(record))


if __name__ == "__main__":
    main()

"""A Ray cluster beside the processes of one machine: what a row costs, and how many GPUs do how many times the work.

    python benchmarks/ray_engine.py                                  # the tiny model on two cores, about six minutes
    python benchmarks/ray_engine.py --gpus 8 --model hollow404/VQR1-7B-YouTubeUGC --videos videos.csv

Each pass is a process of its own. The processor time of a row in the steady state is the slope between a short pass
and a long one, of all processes of the pass, Ray's own included: what it takes to start is in both. Videos a second are
counted from the first window that is done to the last.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.load import score_with_vlm
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.progress import Silent, terminal
from mdsvqa.runtime.ray_cluster import joined
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.study.demo import SECONDS, make_demo_vlm
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.simulated.corpus import make_corpus

BUILD = Path(__file__).parents[1] / "build" / "benchmarks"
# In the environment of all processes of a pass.
MARK = "MDSVQA_BENCHMARK_PASS"
TICKS = os.sysconf("SC_CLK_TCK")
# Videos of the two passes whose difference is measured; the first ends where a window does.
SHORT, LONG = 60, 828


class Watch(Silent):
    """Notes when the first window and the last are done, and what the processes have taken by then."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []
        self.processor = 0.0
        self.state = ""

    def progress(self, label: str, done: int, total: int, state: str = "") -> None:
        """See `Show`."""
        if label == "Scores" and done:
            self.seen.append((time.perf_counter(), done))
            self.state = state or self.state
            if done == total:
                self.processor = processor_seconds(os.environ[MARK])

    @property
    def rate(self) -> float:
        """Videos a second, from the first that are done to the last."""
        (began, some), (ended, every) = self.seen[0], self.seen[-1]
        return (every - some) / (ended - began)


def processor_seconds(mark: str) -> float:
    """Of all processes that bear a mark, with their children that have ended."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                # Behind the name, which may have spaces and brackets in it.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        except OSError:
            continue
    return ticks / TICKS


def one_pass(asked: dict[str, Any]) -> dict[str, Any]:
    """Scores the first so many videos, in this process."""
    engine, watch = EngineSettings(**asked["engine"]), Watch()
    videos = load_videos(Path(asked["videos"]))[: asked["count"]]
    settings = VlmSettings(**asked["settings"])
    with tempfile.TemporaryDirectory() as out, joined(engine):
        table = score_with_vlm(
            videos, asked["model"], settings, Run(Path(out) / "scores", watch, cores(0), False, engine)
        )
    read = sum(status == "ok" for status in table["status"].to_pylist())
    return {"read": read, "processor": watch.processor, "rate": watch.rate, "state": watch.state}


def passed(mark: str, *, only_gpu: str = "", **asked: Any) -> dict[str, Any]:
    """The same in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", MARK: mark}
    if only_gpu:
        environment["CUDA_VISIBLE_DEVICES"] = only_gpu
    command = [sys.executable, __file__, "--one", json.dumps(asked)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{mark}: {found['read']} read, {found['rate']:.2f} videos/s, {found['processor']:.1f} s of processors",
        flush=True,
    )
    return found


def tiny(readings: Sequence[str], repeats: int) -> dict[str, Any]:
    """Processor time of a row of the tiny model, by processes here and by a cluster of this machine."""
    model = BUILD / "tiny-vlm"
    with terminal() as show:
        if not (model / "config.json").is_file():
            make_demo_vlm(model, None, show, seed=0, workers=cores(0))
        manifest = make_corpus(BUILD / f"corpus-{LONG}", source=0, pool=LONG, test=0, seconds=SECONDS, workers=cores(0))
    found: dict[str, Any] = {"videos": LONG - SHORT}
    # One worker, which is loaded in the short pass too; it decodes in two processes, as the pass without Ray does.
    ray = {"name": "ray", "gpus_per_worker": 0, "cpus_per_worker": cores(0), "most": 1}
    for reading in readings:
        common: dict[str, Any] = {"videos": str(manifest), "model": str(model), "settings": {"reading": reading}}
        of_row: dict[str, list[float]] = {"local": [], "ray": []}
        for turn in range(repeats):
            for name, engine in (("local", {"name": "local"}), ("ray", ray)):
                short, long = (
                    passed(f"{reading}-{name}-{turn}-{count}", engine=engine, count=count, **common)["processor"]
                    for count in (SHORT, LONG)
                )
                of_row[name].append((long - short) / (LONG - SHORT))
        best = {name: min(seconds) for name, seconds in of_row.items()}
        found |= {f"{reading}_{name}_seconds_a_row": round(seconds, 4) for name, seconds in best.items()}
        found[f"{reading}_ratio"] = round(best["ray"] / best["local"], 3)
    return found


def on_gpus(arguments: argparse.Namespace) -> dict[str, Any]:
    """Videos a second on one GPU without Ray, and on all by Ray."""
    settings = {"reading": arguments.reading or "generate"}
    common: dict[str, Any] = {"videos": arguments.videos, "model": arguments.model, "settings": settings}
    one = passed("one-gpu", only_gpu="0", engine={"name": "local"}, count=arguments.count, **common)
    engine = {"name": "ray", "cpus_per_worker": max(1, cores(0) // arguments.gpus), "most": arguments.gpus}
    every = passed("all-gpus", engine=engine, count=arguments.count * arguments.gpus, **common)
    hours = {
        name: gpus / rate * 1e6 / 3600
        for name, gpus, rate in (("one", 1, one["rate"]), ("all", arguments.gpus, every["rate"]))
    }
    return {
        "gpus": arguments.gpus,
        **settings,
        "one_gpu_videos_a_second": round(one["rate"], 3),
        "all_gpus_videos_a_second": round(every["rate"], 3),
        "times_one_gpu": round(every["rate"] / one["rate"], 2),
        "gpu_hours_of_a_million_on_one": round(hours["one"], 1),
        "gpu_hours_of_a_million_on_all": round(hours["all"], 1),
        "state": every["state"],
    }


def main() -> None:
    """Runs the comparison and prints it, last as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=0, help="of this machine; 0 for the tiny model on its cores")
    parser.add_argument("--model", default="hollow404/VQR1-7B-YouTubeUGC")
    parser.add_argument("--videos", help="manifest; with enough videos for `count` on each GPU")
    parser.add_argument("--count", type=int, default=512, help="videos for each GPU")
    parser.add_argument("--reading", choices=["generate", "expected"], help="both by default; generate on GPUs")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    readings = [arguments.reading] if arguments.reading else ["expected", "generate"]
    if arguments.one:
        print(json.dumps(one_pass(json.loads(arguments.one))))
    else:
        print(json.dumps(on_gpus(arguments) if arguments.gpus else tiny(readings, arguments.repeats)))


if __name__ == "__main__":
    main()

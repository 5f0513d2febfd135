"""A million videos in a manifest: what passes before the first of them is opened.

A manifest of made-up videos (id, path, dataset, split, MOS of a tenth, and columns that nobody asks for) as CSV and as
Parquet with paths in a store, and as CSV with paths of a disk. Then what a study and its steps do with the list before
they open a video: roles, the look for files (not one of these is there), the order by ids, the list for raters of
50,000, the manifest again. Each is a process of its own; peak memory includes the reading.

    python benchmarks/manifest.py [--rows 1000000]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.files import check_files
from mdsvqa.videos.labels import write_label_request
from mdsvqa.videos.manifest import read_videos, write_manifest
from mdsvqa.videos.roles import roles_of, with_split
from mdsvqa.videos.video import Video

STORE = "s3://pool/clips"
WAYS = {"csv": "m.csv", "parquet": "m.parquet", "local_csv": "local.csv"}


def made(rows: int, base: str) -> pa.Table:
    """A manifest; every tenth video has a MOS, and half of these are for training."""
    number = np.arange(rows)
    labeled = number % 10 == 0
    split = np.where(labeled, np.where(number % 20 == 0, "train", "test"), "pool")
    names = [f"{i // 1000:04d}/clip-{i:08d}" for i in range(rows)]
    return pa.table(
        {
            "id": names,
            "path": [f"{base}/{name}.mp4" for name in names],
            "dataset": np.where(labeled, "old", "new"),
            "split": split,
            "mos": pa.array(1 + number % 4001 / 1000, mask=~labeled),
            "category": [f"category {i % 50}" for i in range(rows)],
            "seconds": number % 60 + 0.5,
        }
    )


def write(folder: Path, rows: int) -> None:
    """The manifests."""
    table = made(rows, STORE)
    pq.write_table(table, folder / WAYS["parquet"], row_group_size=100_000)
    pc.write_csv(table, folder / WAYS["csv"])
    pc.write_csv(made(rows, "clips"), folder / WAYS["local_csv"])


def look_for_files(folder: Path, videos: Sequence[Video]) -> None:
    """Whether any file is there; not one is."""
    try:
        check_files(folder / WAYS["local_csv"], videos, Silent())
    except ValueError:
        return


STEPS: dict[str, Callable[[Path, Sequence[Video]], object]] = {
    "read": lambda folder, videos: None,
    "roles": lambda folder, videos: roles_of([with_split(video) for video in videos]),
    "check_files": look_for_files,
    "sort": lambda folder, videos: sorted(videos, key=lambda video: video.id),
    "ask_for_labels": lambda folder, videos: write_label_request(folder / "to_label.csv", videos[:50_000]),
    "write": lambda folder, videos: write_manifest(folder / "written.csv", videos),
}


def measured(way: str, step: str, folder: Path) -> dict[str, float]:
    """Seconds of the step (without the start of Python; of reading for the first one) and peak memory with reading."""
    command = [sys.executable, __file__, "--way", way, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(way: str, step: str, folder: Path) -> None:
    """One process of `measured`."""
    began = time.perf_counter(), time.process_time()
    videos = read_videos(folder / WAYS[way])
    if step != "read":
        began = time.perf_counter(), time.process_time()
        STEPS[step](folder, videos)
    seconds, processor = time.perf_counter() - began[0], time.process_time() - began[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": round(seconds, 2), "processor": round(processor, 2), "peak_mb": round(peak)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--way", choices=WAYS, default="csv")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.step:
        one(options.way, options.step, options.folder)
        return
    found: dict[str, Any] = {"rows": options.rows}
    with TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        write(folder, options.rows)
        for way, steps in {"csv": [*STEPS], "parquet": ["read"], "local_csv": ["read", "check_files"]}.items():
            for step in steps:
                if way == "csv" and step == "check_files":
                    continue
                found[f"{way}_{step}"] = measured(way, step, folder)
                print(way, step, found[f"{way}_{step}"], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

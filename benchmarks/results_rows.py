"""A million rows of a result: how long they take to write, to open, to go on with and to merge.

The rows are made up, so that only the writing is measured: `sweep` in one process, then a run that adds one video, then
the same rows as earlier versions wrote them, 32 in a file, merged by `mdsvqa compact`. Each step is a process of its
own.

    python benchmarks/results_rows.py [--rows 1000000]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mdsvqa.runtime.compaction import compact
from mdsvqa.runtime.csv_beside import csv_beside
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import SCORES, ResultTable, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.shards import rows_table, shard_named, shards_of, write_shard
from mdsvqa.videos.sweep import by_video, sweep
from mdsvqa.videos.video import Video

MAKER = {"step": "scores", "model": "made up"}
# Rows a file in earlier versions.
BEFORE = 32


def row(video: Video) -> dict[str, Any]:
    """A row as a model makes it."""
    score = 1 + int(video.id[-6:]) % 4001 / 1000
    return {
        "id": video.id,
        "score": score,
        "status": "ok",
        "text": f"<answer>{score:.2f}</answer>",
        "mtime": 1,
        "size": 1,
    }


def videos_of(rows: int) -> list[Video]:
    """Without files."""
    return [Video(f"videos/{i:08d}", None) for i in range(rows)]


def swept(folder: Path, rows: int) -> None:
    """Makes the rows that are not there yet."""
    videos = videos_of(rows)
    with ResultTable(folder, SCORES, MAKER) as table:
        sweep(table, videos, by_video(row, Run(folder)), "Rows", Silent())


def asked(folder: Path) -> None:
    """What a step asks of a result before it does anything."""
    with ResultTable(folder, SCORES, MAKER) as table:
        assert table.ids_with("undecodable") == set()
        assert len(table.stamps()) == len(table.ids)
        raise KeyError


def opened(folder: Path) -> None:
    """Opens a result and asks everything, but writes no CSV."""
    try:
        asked(folder)
    except KeyError:
        return


def in_small_files(folder: Path, rows: int) -> None:
    """The rows as earlier versions wrote them, without waiting for the disk."""
    with ResultTable(folder, SCORES, MAKER):
        pass
    made = [row(video) for video in videos_of(rows)]
    for start in range(0, rows, BEFORE):
        write_shard(shard_named(folder, start // BEFORE), rows_table(made[start : start + BEFORE], SCORES))


STEPS: dict[str, Callable[[Path, int], object]] = {
    "append": swept,
    "add_one": lambda folder, rows: swept(folder, rows + 1),
    "open": lambda folder, rows: opened(folder),
    "small_files": lambda folder, rows: in_small_files(folder.with_name("small"), rows),
    "open_small_files": lambda folder, rows: opened(folder.with_name("small")),
    "compact": lambda folder, rows: compact(folder.with_name("small")),
    "open_compacted": lambda folder, rows: opened(folder.with_name("small")),
}


def measured(step: str, folder: Path, rows: int) -> dict[str, float]:
    """Seconds (without the start of Python), those of the processor (with it) and peak memory of one step."""
    command = [sys.executable, __file__, "--rows", str(rows), "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.step:
        began = time.perf_counter()
        STEPS[options.step](options.folder, options.rows)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
        print(
            json.dumps(
                {"seconds": round(seconds, 2), "processor": round(time.process_time(), 2), "peak_mb": round(peak)}
            )
        )
        return
    found: dict[str, Any] = {"rows": options.rows}
    with TemporaryDirectory(dir=options.folder) as temporary:
        folder, small = Path(temporary) / "scores", Path(temporary) / "small"
        for step in STEPS:
            found[step] = measured(step, folder, options.rows)
            print(step, found[step], flush=True)
            if step == "append":
                found["shards"] = len(shards_of(folder))
                found["csv_mb"] = round(csv_beside(folder).stat().st_size / 1e6)
            if step == "small_files":
                found["small_shards"] = len(shards_of(small))
        found["compacted_shards"] = len(shards_of(small))
        rows = read_table(small)
        assert rows.equals(read_table(folder).slice(0, options.rows)), "merging changed rows"
    print(json.dumps(found))


if __name__ == "__main__":
    main()

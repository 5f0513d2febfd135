"""Small files of every kind that a user may have, made of the small corpus."""

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import yaml
from scipy.io import savemat

from mdsvqa.videos.manifest import load_videos


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def give(folder: Path, corpus: Path) -> dict[str, float]:
    """Fills a folder with what the pages of the docs name as one's own, and returns the MOS of all videos."""
    videos = load_videos(corpus)
    pool = [video for video in videos if video.split == "pool"]
    names = {pool[0].id: "a17"}
    rows = [
        {
            "id": names.get(video.id, video.id),
            "path": video.path,
            "dataset": video.dataset,
            "split": video.split,
            "mos": "" if video.split == "pool" else video.mos,
        }
        for video in videos
    ]
    mos = {names.get(video.id, video.id): video.mos or 0.0 for video in pool}
    write(folder / "manifest.csv", rows)
    write(folder / "videos.csv", rows)
    write(folder / "labeled.csv", [row for row in rows if row["split"] == "train"])
    (folder / "FOLDER").mkdir()
    for row in rows[:3]:
        (folder / "FOLDER" / Path(row["path"]).name).symlink_to(row["path"])
    write(folder / "labels.csv", [{"id": video, "mos": value} for video, value in [*mos.items()][:12]])
    write(folder / "seconds.csv", [{"id": video, "seconds": 0.6} for video in mos])
    write(folder / "audit.csv", [{"id": video, "mos": value} for video, value in [*mos.items()][12:20]])
    # Two data sets of the source, for a rehearsal.
    second = [{**row, "split": "train", "mos": mos[row["id"]]} for row in rows if row["split"] == "pool"]
    others = [row for row in rows if row["split"] != "pool" and row["dataset"] != "simulated-target"]
    new = [row for row in rows if row["dataset"] == "simulated-target" and row["split"] == "test"]
    third = [{**row, "dataset": "new", "split": "pool", "mos": ""} for row in new[:8]]
    third += [{**row, "dataset": "new"} for row in new[8:]]
    write(folder / "two.csv", [*others, *second, *third])
    study = {"videos": "two.csv", "workers": 1, "selection": {"budget": 2}}
    study["rehearsal"] = {"rules": ["random", "facility-location"], "repeats": 2}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    # Scores of anyone's models, better and worse ones.
    rng = random.Random(0)
    scored = []
    for k in range(200):
        value = rng.uniform(1, 5)
        noise = {name: value + rng.gauss(0, spread) for name, spread in (("f", 0.6), ("g", 0.8), ("h", 1.0))}
        more = {"my_model": noise["f"], "base": noise["h"], "tuned": noise["f"], "other": noise["g"]}
        scored.append({"id": f"v{k:03d}", "set": "ab"[k % 2], "MOS": value, **noise, **more})
    write(folder / "any.csv", scored)
    write(folder / "scores.csv", scored)
    write(
        folder / "ratings.csv",
        [
            {"video": f"v{k:02d}", "rater": f"r{rater}", "vote": min(5, max(1, round(1 + k / 5 + rng.gauss(0, 0.7))))}
            for k in range(20)
            for rater in range(8)
        ],
    )
    labeled = [row for row in rows if row["mos"] != ""][:40]
    for name in ("KoNViD_1k_videos", "Video"):
        (folder / name).mkdir()
        for row in labeled:
            (folder / name / Path(row["path"]).name).symlink_to(row["path"])
    files = [Path(row["path"]).name for row in labeled]
    write(
        folder / "KoNViD_1k_mos.csv",
        [{"flickr_id": Path(name).stem, "mos": row["mos"]} for name, row in zip(files, labeled, strict=True)],
    )
    savemat(
        folder / "data.mat",
        {"video_list": np.array(files, object)[:, None], "mos": np.array([[25 * (r["mos"] - 1)] for r in labeled])},
    )
    book = openpyxl.Workbook()
    for cells in [["clip", "path", "quality"], *([row["id"], str(row["path"]), 2 * row["mos"]] for row in labeled)]:
        book.active.append(cells)
    book.save(folder / "table.xlsx")
    return {names.get(video.id, video.id): video.mos or 0.0 for video in videos}

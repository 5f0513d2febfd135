"""The demonstration's rating study: the command that people use, simulated raters over HTTP, how right they were."""

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdsvqa.labeling.material import read_material
from mdsvqa.labeling.simulated_raters import all_take_part, clips_of, mean_opinion, simulated_opinion
from mdsvqa.labeling.stimuli import read_prepared
from mdsvqa.runtime.progress import Show
from mdsvqa.videos.simulated.corpus import TARGET

RATERS = 12


@dataclass(frozen=True)
class Rated:
    """How right the labels of a demonstration are.

    Attributes:
        videos: how many.
        votes: that their MOS come from.
        rmse: of these MOS against what endlessly many such raters would say on average.
    """

    videos: int
    votes: int
    rmse: float


def rate_demo(study: Path, manifest: Path, show: Show, *, raters: int = RATERS, seed: int = 0) -> int:
    """Opens the rating study of a study that waits for labels, has simulated raters take part, and ends it.

    Args:
        study: its study.yaml.
        manifest: of the made-up corpus, with the true quality of every video.
        show: how it speaks.
        raters: how many, all at the same time.
        seed: of the raters.

    Returns:
        How many votes they gave, practice and all.
    """
    command = [sys.executable, "-m", "mdsvqa", "label"]
    serve = [*command, "serve", str(study), "--json", "--port", "0", "--raters", str(raters)]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(serve)}: ended with {server.wait()}")
        said = json.loads(line)
        show.note(f"Rating study of {said['videos']} videos on {said['address']}; {raters} simulated raters take part.")
        material = read_material(study)
        prepared = read_prepared(material.folder)
        clips = clips_of(manifest, prepared)
        opinions = (simulated_opinion(clips, TARGET.panel, seed * 1_000_003 + n) for n in range(raters))
        links = dict(zip((each["link"] for each in said["links"]), opinions, strict=True))
        settings, watching = material.settings, "Watching and voting"
        ordinary = len(prepared.of("video")) + settings.repeats
        # A share of the slots are traps and anchors.
        slots = ordinary / (1 - 1 / settings.trap_every - 1 / settings.anchor_every) + settings.training
        about = raters * (round(slots) + 1)
        votes = all_take_part(links, lambda given: show.progress(watching, given, max(given + 1, about)))
        show.progress(watching, votes, votes)
        subprocess.run([*command, "export", str(study), "--end", "--json"], check=True, stdout=subprocess.DEVNULL)
    finally:
        server.terminate()
        server.wait()
    return votes


def rated(study: Path, manifest: Path) -> Rated:
    """How right the labels of the last round are.

    Args:
        study: the study.yaml of the demonstration.
        manifest: of the made-up corpus.
    """
    labels = read_material(study).labels
    assert labels is not None
    with labels.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["mos"]]
    with manifest.open(encoding="utf-8", newline="") as file:
        truth = {row["id"]: mean_opinion(float(row["true_quality"]), TARGET.panel) for row in csv.DictReader(file)}
    off = np.array([float(row["mos"]) - truth[row["id"]] for row in rows])
    return Rated(len(rows), sum(int(row["votes"]) for row in rows), float(np.sqrt(np.square(off).mean())))

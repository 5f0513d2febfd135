"""The demonstration: made-up videos of two domains, simulated raters, every step real."""

import csv
import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.models.vlm.load import need_vlm_packages
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.workers import cores
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.simulated.corpus import make_corpus

if TYPE_CHECKING:
    from mdsvqa.models.vlm.tiny.making import HeldOut

# Shortest and longest video: short, so that the demonstration is.
SECONDS = (2.0, 2.4)
# After these the tiny model hardly gets better; a minute or two.
TINY_STEPS = 110
WRITING, LESSONS = "Writing simulated videos", "Writing simulated videos for the tiny model to learn from"
# That the demonstration's tiny model learned from: few enough that more labels of either kind teach it something.
FEW = 40
# Added to a seed, for videos that no demonstration's study has.
OTHER_VIDEOS = 1_000_003
STUDY = """\
# The demonstration's study. Change it and run it again: mdsvqa run {path}
title: Demonstration on simulated videos
videos: corpus/manifest.csv
out: results
simulated: true
seed: {seed}
selection:
  rule: facility-location
  budget: 5%
comparison:
  rules: [random, facility-location, mds]
  seeds: {seeds}
"""
VLM_STUDY = """\
# The demonstration's study of a vision-language model. Change it and run it again: mdsvqa run {path}
title: A tiny vision-language model on simulated videos
videos: corpus/manifest.csv
out: results-vlm
simulated: true
seed: {seed}
quality:
  # Made on the spot, of the real classes. The real one: hollow404/VQR1-7B-YouTubeUGC
  model: tiny-vlm
# Half of the budget is spent first; the model and what it is expected to fail on learn from it before the rest is.
rounds: 2
selection:
  # Covers the pool, so that the labels that are held out are like the pool; mds goes for extremes.
  rule: facility-location
  # Enough that each round holds out some of its labels (of 30 or more), by which fine-tuning is stopped.
  budget: 20%
finetuning:
  vlm:
    # For its 0.6 million weights; the defaults are for 7 billion.
    learning_rate: 2.0e-4
    weight_decay: 0.05
    target_weight: 0.7
    steps: 60
    evaluations: 6
"""
# The MOS of the pool come from raters: the manifest that the study reads has none of them.
UNLABELED = "unlabeled.csv"
LABEL_STUDY = """\
# The demonstration's study with a rating study in its loop. Run it again: mdsvqa run {path}
title: Demonstration with raters
videos: corpus/unlabeled.csv
out: results-label
simulated: true
seed: {seed}
selection:
  rule: facility-location
  budget: 5%
labeling:
  title: Demonstration
  sessions: 1
  content: content
"""


def prepare_demo(
    folder: Path,
    show: Show,
    *,
    vlm: bool = False,
    label: bool = False,
    seed: int = 0,
    seeds: int = 10,
    source: int = 300,
    pool: int = 400,
    test: int = 150,
) -> StudyConfig:
    """Writes the made-up corpus and a study.yaml into a folder, or finds them there.

    Args:
        folder: of the demonstration.
        vlm: score by a tiny vision-language model, which is trained here first, instead of the statistical one.
        label: the pool has no MOS; a rating study is to find them.
        seed: of the corpus and the study.
        seeds: of the comparison.
        source, pool, test: videos of the source, of the target's pool, and of its test set.

    Returns:
        The study, ready to run.
    """
    corpus = folder / "corpus"
    if (corpus / "manifest.csv").is_file():
        show.note(f"Simulated videos: reused from {corpus}")
    sizes = {"source": source, "pool": pool, "test": test}
    make_corpus(corpus, seed=seed, **sizes, seconds=SECONDS, workers=cores(0), progress=partial(show.progress, WRITING))
    name, text = ("study-vlm.yaml", VLM_STUDY) if vlm else ("study.yaml", STUDY)
    if label:
        name, text = "study-label.yaml", LABEL_STUDY
        write_atomically(corpus / UNLABELED, without_mos(corpus / "manifest.csv"))
    study = folder / name
    write_atomically(study, text.format(path=study, seed=seed, seeds=seeds).encode())
    if vlm and (folder / "tiny-vlm").is_dir():
        show.note(f"Tiny vision-language model: reused from {folder / 'tiny-vlm'}")
    elif vlm:
        make_demo_vlm(folder / "tiny-vlm", None, show, seed=seed, workers=cores(0), videos=FEW)
    return read_study(study)


def without_mos(manifest: Path) -> bytes:
    """A manifest of which nobody has rated the pool."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    hidden = {"mos": "", "mos_std": "", "ratings": "", "true_quality": ""}
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | hidden if row["split"] == "pool" else row for row in rows)
    return text.getvalue().encode()


def make_demo_vlm(
    out: Path,
    manifest: Path | None,
    show: Show,
    *,
    seed: int,
    workers: int,
    steps: int = TINY_STEPS,
    videos: int = 300,
    family: str = next(iter(FAMILIES)),
) -> "HeldOut":
    """A tiny vision-language model that has learned from labeled videos.

    Args:
        out: folder of the checkpoint.
        manifest: of the videos, split train to learn from and test to look at; None makes simulated ones beside `out`,
            other ones than those of the demonstration with this seed: what it is later measured on it never saw.
        seed: of the model and the simulated videos.
        steps: of training.
        workers: processes that render and decode.
        videos: simulated ones, four in five to learn from.
        family: its name in `families.catalogue`.

    Returns:
        What it says of the videos of split test that come from the data sets it learned from.
    """
    need_vlm_packages("tiny-vlm")
    from mdsvqa.models.vlm.tiny.making import make_tiny_vlm  # noqa: PLC0415
    from mdsvqa.models.vlm.tiny.training import TinyTraining  # noqa: PLC0415

    if manifest is None:
        corpus = out.with_name(out.name + "-corpus")
        sizes = {"source": videos, "pool": 0, "test": 0}
        manifest = make_corpus(
            corpus,
            seed=seed + OTHER_VIDEOS,
            **sizes,
            seconds=SECONDS,
            workers=workers,
            progress=partial(show.progress, LESSONS),
        )
    known = load_videos(manifest)
    train, test = in_role(known, "source"), in_role(known, "source test")
    return make_tiny_vlm(out, train, test, TinyTraining(steps=steps, seed=seed), workers, show, family=family)

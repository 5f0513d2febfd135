"""The made-up corpus of the demo and the tests: real H.264 files, simulated opinions.

Two domains that differ in content and in what goes wrong. The source is photographs under a moving camera,
mostly compressed, blurred or noisy. The target is games, animation, screen recordings and photo montages,
mostly badly exposed, stalling or upscaled. A panel of simulated raters reads `distortions.true_quality` on the 1-5
scale. Nothing here is a human opinion, and the dataset names say so.

Every video depends on the seed and its own id only, so the number of workers and a kill in the middle change
nothing: the same seed makes the same bytes.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import av
import cv2
import numpy as np

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.videos.simulated.distortions import (
    Distortion,
    DistortionKind,
    Masking,
    constant_rate_factor,
    distort,
    true_quality,
)
from mdsvqa.videos.simulated.painting import Frame
from mdsvqa.videos.simulated.scenes import CONTENTS, Category, Scene, masking, render

Key = TypeVar("Key")
Split = Literal["train", "test", "pool"]
FRAME_RATE = 24
MANIFEST_COLUMNS = (
    *("id", "path", "dataset", "split", "mos", "mos_std", "ratings"),
    *("category", "content", "distortion", "severity", "true_quality"),
)
_SETTINGS_FILE = "corpus.json"
# Files of another version are not the files that this code would write.
_VERSION = 1


@dataclass(frozen=True)
class Panel:
    """How a study's raters use the 1-5 scale: rating = 3 + slope * (quality - 3) + offset + bias + noise.

    Attributes:
        raters: how many rate each video.
        slope, offset: the study's own scale; two studies never share one.
        bias_std: of one rater's habit, the same over all videos.
        noise_std: of one rating.
    """

    raters: int
    slope: float
    offset: float
    bias_std: float = 0.3
    noise_std: float = 0.6


@dataclass(frozen=True)
class Domain:
    """One dataset: what it shows, what goes wrong in it, and who rates it.

    Attributes:
        dataset: its name.
        categories: share of each kind of content.
        distortions: share of each main distortion.
        sizes: (width, height, share) of each picture format.
        panel: of its study.
    """

    dataset: str
    categories: dict[Category, float]
    distortions: dict[DistortionKind, float]
    sizes: tuple[tuple[int, int, float], ...]
    panel: Panel


SOURCE = Domain(
    dataset="simulated-source",
    categories={"photograph": 1.0},
    distortions={"compression": 0.4, "blur": 0.25, "noise": 0.25, "scaling": 0.05, "exposure": 0.05},
    sizes=((320, 180, 0.8), (272, 204, 0.2)),
    panel=Panel(raters=24, slope=0.95, offset=0.1),
)
TARGET = Domain(
    dataset="simulated-target",
    categories={"game": 0.4, "animation": 0.25, "screen": 0.2, "montage": 0.15},
    distortions={"exposure": 0.24, "freeze": 0.22, "scaling": 0.24, "compression": 0.18, "noise": 0.12},
    sizes=((320, 180, 0.7), (180, 320, 0.2), (240, 240, 0.1)),
    panel=Panel(raters=24, slope=0.85, offset=-0.2),
)
PRISTINE_SHARE = 0.1
MIXED_SHARE = 0.2


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes one video of the corpus.

    Attributes:
        id: unique in the corpus.
        domain: its dataset.
        split: its part of the dataset.
        scene: what it shows.
        distortions: what is wrong with it; empty when pristine.
    """

    id: str
    domain: Domain
    split: Split
    scene: Scene
    distortions: tuple[Distortion, ...]

    @property
    def path(self) -> str:
        """Of the file, relative to the corpus."""
        return f"videos/{self.id}.mp4"


def make_corpus(
    folder: Path,
    *,
    seed: int = 0,
    source: int = 300,
    pool: int = 400,
    test: int = 150,
    seconds: tuple[float, float] = (2.0, 3.0),
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the corpus, or goes on where an earlier call stopped.

    Args:
        folder: where to; made if missing.
        seed: of everything.
        source: number of source videos, four in five for training and the rest for testing.
        pool: number of target videos to select from.
        test: number of target videos to test on.
        seconds: shortest and longest duration.
        workers: processes; 1 works in this one.
        progress: called with (videos done, videos in all).

    Returns:
        Path of `manifest.csv`, with the columns MANIFEST_COLUMNS.

    Raises:
        InputError: the folder holds a corpus made with other settings.
    """
    counts = {"source": source, "pool": pool, "test": test}
    settings = {"version": _VERSION, "seed": seed, **counts, "seconds": [*seconds]}
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    _claim(folder, settings)
    recipes = plan_corpus(seed=seed, source=source, pool=pool, test=test, seconds=seconds)
    manifest = folder / "manifest.csv"
    if manifest.is_file() and all((folder / recipe.path).is_file() for recipe in recipes):
        return manifest
    rows: list[dict[str, str | int]] = []
    if progress is not None:
        progress(0, len(recipes))
    for recipe, measured in zip(recipes, _write_videos(recipes, folder, seed, workers), strict=True):
        rows.append(_manifest_row(recipe, measured, seed))
        if progress is not None:
            progress(len(rows), len(recipes))
    text = io.StringIO()
    writer = csv.DictWriter(text, MANIFEST_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(manifest, text.getvalue().encode())
    return manifest


def plan_corpus(
    *, seed: int, source: int, pool: int, test: int, seconds: tuple[float, float] = (2.0, 3.0)
) -> list[Recipe]:
    """Decides what every video of the corpus will be; arguments as in `make_corpus`."""
    parts: list[tuple[Domain, Split, str, int]] = [
        (SOURCE, "train", "source-train", source - source // 5),
        (SOURCE, "test", "source-test", source // 5),
        (TARGET, "pool", "target-pool", pool),
        (TARGET, "test", "target-test", test),
    ]
    return [
        plan_video(f"{prefix}-{k:04d}", domain, split, seed, seconds)
        for domain, split, prefix, count in parts
        for k in range(count)
    ]


def plan_video(video_id: str, domain: Domain, split: Split, seed: int, seconds: tuple[float, float]) -> Recipe:
    """Decides what one video will be.

    Args:
        video_id: its id, which with the seed fixes everything.
        domain: its dataset.
        split: its part of the dataset.
        seed: of the corpus.
        seconds: shortest and longest duration.
    """
    rng = _generator(seed, video_id, "plan")
    category = _draw(rng, domain.categories)
    shots = 2 if category == "photograph" and rng.random() < 0.3 else 1
    contents = tuple(str(name) for name in rng.choice(CONTENTS[category], shots, replace=False))
    width, height = _draw(rng, {(w, h): share for w, h, share in domain.sizes})
    kinds: list[DistortionKind] = []
    wanted = 2 if rng.random() < MIXED_SHARE else 1
    while len(kinds) < wanted:
        kind = _draw(rng, domain.distortions)
        kinds += [] if kind in kinds else [kind]
    # Two strong distortions would push half of the mixed videos to the floor of the scale.
    strongest = 1.0 if len(kinds) == 1 else 0.65
    distortions = [Distortion(kind, round(float(rng.uniform(0.05, strongest)), 4)) for kind in kinds]
    return Recipe(
        id=video_id,
        domain=domain,
        split=split,
        scene=Scene(
            category=category,
            contents=contents,
            width=width,
            height=height,
            duration=round(float(rng.uniform(*seconds)) * FRAME_RATE) / FRAME_RATE,
            seed=int(rng.integers(2**31)),
        ),
        distortions=() if rng.random() < PRISTINE_SHARE else tuple(distortions),
    )


def read_ratings(quality: float, panel: Panel, biases: Floats, rng: np.random.Generator) -> Floats:
    """What a panel says about one video.

    Args:
        quality: its true quality on the 1-5 scale.
        panel: of raters.
        biases: of each rater, shape (panel.raters,).
        rng: of the noise in each rating.

    Returns:
        Whole ratings from 1 to 5, shape (panel.raters,).
    """
    centre = 3.0 + panel.slope * (quality - 3.0) + panel.offset
    return np.clip(np.rint(centre + biases + rng.normal(0.0, panel.noise_std, panel.raters)), 1.0, 5.0)


def encode(frames: Iterable[Frame], rate_factor: int, *, size: tuple[int, int]) -> bytes:
    """Compresses frames to an H.264 .mp4 file at FRAME_RATE.

    Args:
        frames: uint8 RGB, each of shape (*size, 3).
        rate_factor: x264's constant rate factor.
        size: height and width in pixels, both even.

    Returns:
        The file; the same bytes for the same frames.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        # One thread: x264's output depends on how many there are. The fastest preset leaves out the deblocking
        # filter, without which heavy compression does not look as it does elsewhere.
        options = "threads=1:no-deblock=0:log-level=error"
        stream.options = {"preset": "ultrafast", "crf": str(rate_factor), "g": "48", "x264-params": options}
        for frame in frames:
            planes = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    return file.getvalue()


def _write_video(recipe: Recipe, folder: Path, seed: int) -> Masking:
    """Writes one video unless it is there, and measures its undistorted content."""
    scene, path = recipe.scene, folder / recipe.path
    times = [k / FRAME_RATE for k in range(round(scene.duration * FRAME_RATE))]
    starts = [round(share * (len(times) - 2)) for share in (0.1, 0.35, 0.65, 0.9)]
    measured = [k for start in starts for k in (start, start + 1)]
    if path.is_file():
        return masking(list(render(scene, [times[k] for k in measured])))
    kept: dict[int, Frame] = {}

    def clean() -> Iterator[Frame]:
        for k, frame in enumerate(render(scene, times)):
            if k in measured:
                kept[k] = frame
            yield frame

    # Frame by frame: a whole clip in one array takes longer to allocate than to draw.
    size, rng = (scene.height, scene.width), _generator(seed, recipe.id, "distort")
    damaged = distort(clean(), recipe.distortions, rng, size=size, count=len(times))
    write_atomically(path, encode(damaged, constant_rate_factor(recipe.distortions), size=size))
    return masking([kept[k] for k in measured])


def _write_videos(recipes: list[Recipe], folder: Path, seed: int, workers: int) -> Iterator[Masking]:
    work = partial(_write_video, folder=folder, seed=seed)
    yield from map_in_workers(work, recipes, workers, crashed=_crashed)


def _crashed(recipe: Recipe) -> Masking:
    raise RuntimeError(f"the process that writes {recipe.path} was killed, twice")


def _manifest_row(recipe: Recipe, measured: Masking, seed: int) -> dict[str, str | int]:
    panel = recipe.domain.panel
    quality = true_quality(recipe.distortions, measured)
    biases = _generator(seed, recipe.domain.dataset, "raters").normal(0.0, panel.bias_std, panel.raters)
    ratings = read_ratings(quality, panel, biases, _generator(seed, recipe.id, "ratings"))
    return {
        "id": recipe.id,
        "path": recipe.path,
        "dataset": recipe.domain.dataset,
        "split": recipe.split,
        "mos": f"{ratings.mean():.4f}",
        "mos_std": f"{ratings.std(ddof=1):.4f}",
        "ratings": panel.raters,
        "category": recipe.scene.category,
        "content": "+".join(recipe.scene.contents),
        "distortion": "+".join(d.kind for d in recipe.distortions) or "none",
        "severity": "+".join(f"{d.severity:.4f}" for d in recipe.distortions) or "0",
        "true_quality": f"{quality:.4f}",
    }


def _claim(folder: Path, settings: dict[str, object]) -> None:
    path = folder / _SETTINGS_FILE
    if not path.is_file():
        write_atomically(path, (json.dumps(settings) + "\n").encode())
        return
    found = json.loads(path.read_text())
    if found != settings:
        raise InputError(
            f"{folder} holds a simulated corpus made with {found}, but {settings} was asked for; "
            "choose another folder, or delete this one"
        )


def _generator(seed: int, name: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), zlib.crc32(purpose.encode())])


def _draw(rng: np.random.Generator, shares: dict[Key, float]) -> Key:
    """One key, with the probabilities that its shares give."""
    keys = list(shares)
    weights = np.array([shares[key] for key in keys])
    return keys[int(rng.choice(len(keys), p=weights / weights.sum()))]

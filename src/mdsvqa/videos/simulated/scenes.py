"""What is seen in the made-up videos: photographs under a moving camera, games, animation, screens, montages.

The photographs are those inside the scikit-learn and scikit-image wheels; nothing is downloaded. China and
flower are by danielbuechele and vultilion (CC BY 2.0); the docstrings of `skimage.data` say where the others
come from.
"""

import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mdsvqa.videos.simulated import cartoons, games
from mdsvqa.videos.simulated.distortions import Masking
from mdsvqa.videos.simulated.painting import Frame, Painter, box, colour, sentence, write

Category = Literal["photograph", "game", "animation", "screen", "montage"]
Draw = Callable[[np.random.Generator, int, int], Painter]

SOURCE_PHOTOGRAPHS = (
    "china.jpg",
    "flower.jpg",
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "camera.png",
    "coins.png",
    "gravel.png",
    "brick.png",
)
TARGET_PHOTOGRAPHS = (
    "motorcycle_left.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
    "moon.png",
    "grass.png",
)
_DRAWN: dict[str, Draw] = {
    "racing": games.racing,
    "platformer": games.platformer,
    "space": games.space,
    "maze": games.maze,
    "meadow": cartoons.meadow,
    "shapes": cartoons.shapes,
    "ocean": cartoons.ocean,
    "document": cartoons.document,
    "terminal": cartoons.terminal,
    "chart": cartoons.chart,
}
CONTENTS: dict[Category, tuple[str, ...]] = {
    "photograph": SOURCE_PHOTOGRAPHS,
    "game": ("racing", "platformer", "space", "maze"),
    "animation": ("meadow", "shapes", "ocean"),
    "screen": ("document", "terminal", "chart"),
    "montage": TARGET_PHOTOGRAPHS,
}


@dataclass(frozen=True)
class Scene:
    """Everything that fixes an undistorted video.

    Attributes:
        category: the kind of content.
        contents: what is shown, shot after shot; names from `CONTENTS`.
        width, height: of the picture in pixels, even.
        duration: in seconds.
        seed: of all that the names leave open.
    """

    category: Category
    contents: tuple[str, ...]
    width: int
    height: int
    duration: float
    seed: int


def render(scene: Scene, times: Iterable[float]) -> Iterator[Frame]:
    """Draws a scene, frame by frame.

    Args:
        scene: what to draw.
        times: of the frames in seconds, each in [0, scene.duration).

    Yields:
        uint8 RGB, shape (H, W, 3); a frame depends on its own time only.
    """
    rng = np.random.default_rng(scene.seed)
    shots = [_painter(scene, name, rng) for name in scene.contents]
    shot_seconds = scene.duration / len(shots)
    for t in times:
        yield shots[min(int(t / shot_seconds), len(shots) - 1)](t)


def masking(pairs: Sequence[Frame]) -> Masking:
    """How much a content hides or shows distortions.

    Args:
        pairs: an even number of undistorted frames, uint8 RGB; the first two are neighbours, and so on.

    Returns:
        Texture, from the mean gradient of luma, and motion, from the mean difference between neighbours.
    """
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pairs]).astype(np.float32)
    gradient = np.abs(np.diff(luma, axis=1)).mean() + np.abs(np.diff(luma, axis=2)).mean()
    change = np.abs(luma[1::2] - luma[::2]).mean()
    # Half visible at the typical value of each, so both measures spread over their range.
    return Masking(float(gradient / (gradient + 14.0)), float(change / (change + 2.5)))


@lru_cache(maxsize=len(SOURCE_PHOTOGRAPHS) + len(TARGET_PHOTOGRAPHS))
def load_photograph(name: str) -> Frame:
    """Reads a photograph that scikit-learn or scikit-image ships.

    Args:
        name: of the file.

    Returns:
        uint8 RGB, shape (H, W, 3).

    Raises:
        FileNotFoundError: the installed wheels do not hold it.
    """
    # Found without importing either package, which would take seconds in every worker.
    for package, folder in (("sklearn", "datasets/images"), ("skimage", "data")):
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            path = Path(root) / folder / name
            if path.is_file():
                encoded = np.frombuffer(path.read_bytes(), dtype=np.uint8)
                return np.asarray(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    raise FileNotFoundError(
        f"photograph {name} is in neither scikit-learn nor scikit-image as installed; "
        "reinstall scikit-image>=0.24 and scikit-learn>=1.5 from their wheels"
    )


def _painter(scene: Scene, name: str, rng: np.random.Generator) -> Painter:
    if scene.category == "photograph":
        return _camera(rng, load_photograph(name), scene.width, scene.height)
    if scene.category == "montage":
        return _montage(rng, name, scene.width, scene.height)
    return _DRAWN[name](rng, scene.width, scene.height)


def _camera(rng: np.random.Generator, photograph: Frame, width: int, height: int) -> Painter:
    """A hand-held camera that pans over a photograph while it zooms."""
    if rng.random() < 0.5:
        photograph = photograph[:, ::-1]
    tone = (np.linspace(0, 1, 256) ** rng.uniform(0.8, 1.25) * 255).astype(np.uint8)
    room = min(photograph.shape[1] / width, photograph.shape[0] / height)
    ends = room * rng.uniform(0.45, 0.95, 2)
    # Shrunk once with an area filter, so that the frames need only a cheap warp without aliasing.
    shrink = 1.0 / max(1.0, float(ends.min()))
    small = cv2.resize(photograph, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    small, scales = cv2.LUT(small, tone), ends * shrink
    start, end = rng.random((2, 2))
    shake, seconds = rng.uniform(0.0, 1.2), 3.0

    def paint(t: float) -> Frame:
        part = t / seconds
        scale = scales[0] + (scales[1] - scales[0]) * part
        space = np.array([small.shape[1] - scale * width, small.shape[0] - scale * height])
        corner = np.maximum(space, 0.0) * (start + (end - start) * part)
        corner += shake * np.array([math.sin(7 * t), math.sin(9 * t + 1)])
        matrix = np.array([[scale, 0.0, corner[0]], [0.0, scale, corner[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(small, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(seen, dtype=np.uint8)

    return paint


def _montage(rng: np.random.Generator, name: str, width: int, height: int) -> Painter:
    """Two photographs side by side (one above the other in portrait), framed and captioned."""
    upright, gap = height > width, int(rng.integers(2, 8))
    first = int((height if upright else width) * rng.uniform(0.4, 0.65)) // 2 * 2
    other = str(rng.choice(TARGET_PHOTOGRAPHS))
    splits = (first, height - first) if upright else (first, width - first)
    sizes = [(width, part) if upright else (part, height) for part in splits]
    panels = [
        _camera(rng, load_photograph(photograph), w - 2 * gap, h - 2 * gap)
        for photograph, (w, h) in zip((name, other), sizes, strict=True)
    ]
    border, caption = colour(rng.random(), 0.35, rng.uniform(0.2, 1.0)), sentence(rng, 2)

    def paint(t: float) -> Frame:
        frame = np.full((height, width, 3), border, dtype=np.uint8)
        x = y = 0
        for panel, (w, h) in zip(panels, sizes, strict=True):
            frame[y + gap : y + h - gap, x + gap : x + w - gap] = panel(t)
            x, y = (x, y + h) if upright else (x + w, y)
        box(frame, 0, height - 26, 16 + 8.5 * len(caption), 17, (20, 20, 24))
        write(frame, caption, 8, height - 13, 0.42, (250, 250, 250))
        return frame

    return paint

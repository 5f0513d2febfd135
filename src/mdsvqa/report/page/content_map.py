"""The content map: pool videos as dots, selected ones as thumbnails beside their dots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.report.page.charts import RAMP_STEPS, ramp_step
from mdsvqa.report.page.data import PoolPoint
from mdsvqa.report.page.wording import number
from mdsvqa.runtime.arrays import Flags, Floats

DIRECTIONS = 24
REACHES = (6, 14, 24, 38, 56, 78, 105, 140, 180, 230)
# Hiding an unselected dot costs as much as this much more leader.
HIDES_DOT = 2.0


@dataclass(frozen=True)
class Sheet:
    """Size of a map and of the thumbnails on it.

    Attributes:
        width, height: of the view box.
        thumbnail: width of a 16:9 thumbnail; other shapes get the same area.
        shown: thumbnails at most.
        radius: of an unselected dot in a pool of a few hundred.
    """

    width: int
    height: int
    thumbnail: int
    shown: int
    radius: float


DESK = Sheet(1120, 660, 104, 24, 4.3)
PHONE = Sheet(360, 440, 62, 10, 2.4)


@dataclass(frozen=True)
class MapDot:
    """An unselected video."""

    x: float
    y: float
    tip: str


@dataclass(frozen=True)
class Box:
    """A thumbnail on the map, and the end of the line that ties it to its dot."""

    x: float
    y: float
    width: float
    height: float
    line_x: float
    line_y: float


@dataclass(frozen=True)
class Marker:
    """A selected video: its dot, and its box when there was room.

    Attributes:
        index: 0-based place in the list of selected videos.
        step: of the difficulty ramp.
    """

    x: float
    y: float
    step: int
    index: int
    tip: str
    box: Box | None


@dataclass(frozen=True)
class ContentMap:
    """A drawn map; `dots` holds the unselected videos of each step of the ramp, easiest first."""

    sheet: Sheet
    radius: float
    dots: tuple[tuple[MapDot, ...], ...]
    markers: tuple[Marker, ...]


def content_map(
    unselected: Sequence[PoolPoint],
    selected: Sequence[PoolPoint],
    shapes: Sequence[tuple[int, int] | None],
    scale: tuple[float, float],
    sheet: Sheet,
) -> ContentMap:
    """Lays out one map.

    Args:
        unselected: videos to draw as plain dots.
        selected: in rank order.
        shapes: width and height of each selected video's thumbnail, None without one.
        scale: difficulty of the easiest and of the hardest video of the pool.
        sheet: what to draw on.
    """
    places = fit([*unselected, *selected], sheet)
    rest, anchors = places[: len(unselected)], places[len(unselected) :]
    dots: tuple[list[MapDot], ...] = tuple([] for _ in range(RAMP_STEPS))
    for point, (x, y) in zip(unselected, rest, strict=True):
        dots[ramp_step(point.difficulty, *scale)].append(MapDot(_tenth(x), _tenth(y), tip(point)))
    sizes = [_box_size(shape, sheet.thumbnail) for shape in shapes[: sheet.shown]]
    boxes = place_boxes(anchors, np.array(sizes).reshape(-1, 2), rest, (sheet.width, sheet.height))
    markers = tuple(
        Marker(
            _tenth(x),
            _tenth(y),
            ramp_step(point.difficulty, *scale),
            index,
            tip(point),
            boxes[index] if index < len(boxes) else None,
        )
        for index, (point, (x, y)) in enumerate(zip(selected, anchors, strict=True))
    )
    crowding = math.sqrt(400 / max(400, len(places)))
    return ContentMap(sheet, round(max(1.3, sheet.radius * crowding), 1), tuple(map(tuple, dots)), markers)


def tip(point: PoolPoint) -> str:
    """What a reader sees when pointing at a video."""
    parts = [f"difficulty {number(point.difficulty, 2)}"]
    if point.score is not None:
        parts.append(f"f {number(point.score, 2)}")
    if point.mos is not None:
        parts.append(f"MOS {number(point.mos, 2)}")
    rank = "" if point.rank is None else f"#{point.rank} "
    return f"{rank}{point.id}\n{', '.join(parts)}"


def fit(points: Sequence[PoolPoint], sheet: Sheet) -> Floats:
    """Places of the points on a sheet, shape (n, 2); each axis fills it, less half a thumbnail at the rim."""
    raw = np.array([(point.x, point.y) for point in points], dtype=np.float64).reshape(-1, 2)
    if len(raw) == 0:
        return raw
    low, span = raw.min(axis=0), np.ptp(raw, axis=0)
    share = np.where(span > 0, (raw - low) / np.where(span > 0, span, 1), 0.5)
    rim = sheet.thumbnail * np.array([0.5, 0.4])
    size = np.array([sheet.width, sheet.height], dtype=np.float64)
    # The map's y grows upwards, the screen's downwards.
    share[:, 1] = 1 - share[:, 1]
    fitted: Floats = rim + share * (size - 2 * rim)
    return fitted


def place_boxes(
    anchors: Floats, sizes: Floats, dots: Floats, sheet: tuple[float, float], gap: float = 4.0, sweeps: int = 3
) -> list[Box | None]:
    """Puts a box near each of the first anchors: inside the sheet, no two overlapping, no selected
    dot hidden, no leader crossed.

    Each box takes, of the places on rings around its dot, the one with the least cost, given the boxes that are
    there; later sweeps let the early ones react to the late ones.

    Args:
        anchors: dots of the selected videos, shape (k, 2), most important first.
        sizes: width and height of the boxes, shape (m, 2), m <= k.
        dots: other dots, better left visible, shape (n, 2).
        sheet: width and height.
        gap: free space around a box.
        sweeps: times that each box looks for a place.

    Returns:
        A box for each of the first m anchors, None where no place was free.
    """
    tied = anchors[: len(sizes)]
    corners = np.full(sizes.shape, np.nan)
    for _ in range(sweeps):
        for index, size in enumerate(sizes):
            others = ~np.isnan(corners[:, 0])
            others[index] = False
            taken = np.hstack([corners, corners + sizes])[others]
            ends = np.clip(tied[others], taken[:, :2], taken[:, 2:])
            lines = np.stack([tied[others], ends], axis=1)
            place = _best_place(tied[index], size, anchors, dots, taken, lines, np.array(sheet), gap)
            corners[index] = np.nan if place is None else place
    ends = np.clip(tied, corners, corners + sizes)
    rows = np.hstack([corners, sizes, ends])
    return [None if np.isnan(row).any() else Box(*(_tenth(value) for value in row)) for row in rows]


def _best_place(
    anchor: Floats,
    size: Floats,
    anchors: Floats,
    dots: Floats,
    taken: Floats,
    lines: Floats,
    sheet: Floats,
    gap: float,
) -> Floats | None:
    """Upper left corner of the cheapest free place for one box, None when none is free."""
    corners, reach = _candidates(anchor, size)
    rectangles = np.hstack([corners, corners + size])
    free = (rectangles[:, :2] >= 2).all(axis=1) & (rectangles[:, 2:] <= sheet - 2).all(axis=1)
    free &= ~_overlaps(rectangles, taken, gap).any(axis=1)
    free &= ~_inside(anchors, rectangles, 9).any(axis=1)
    ends = np.clip(anchor, rectangles[:, :2], rectangles[:, 2:])
    free &= _conflicts(anchor, ends, rectangles, lines, taken) == 0
    if not free.any():
        return None
    cost = reach + HIDES_DOT * _inside(dots, rectangles, 0).sum(axis=1)
    best: Floats = corners[int(np.argmin(np.where(free, cost, np.inf)))]
    return best


def _candidates(anchor: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Upper left corners on rings around an anchor, shape (c, 2), and the gap between each and the anchor."""
    turns = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    rays = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    # Where a ray meets a box that is centred on the anchor: pushing the box out by that much frees the anchor.
    exits = np.min((size / 2) / np.maximum(np.abs(rays), 1e-9), axis=1)
    reach = np.repeat(np.array(REACHES, dtype=np.float64), DIRECTIONS)
    distance = reach + np.tile(exits, len(REACHES))
    centres = anchor + np.tile(rays, (len(REACHES), 1)) * distance[:, None]
    return centres - size / 2, reach


def _overlaps(rectangles: Floats, taken: Floats, gap: float) -> Flags:
    """Which of c rectangles (left, top, right, bottom) come closer than a gap to which of t; shape (c, t)."""
    a, b = rectangles[:, None], taken[None]
    apart = (a[..., :2] >= b[..., 2:] + gap) | (a[..., 2:] <= b[..., :2] - gap)
    overlapping: Flags = np.logical_not(np.any(apart, axis=-1))
    return overlapping


def _inside(points: Floats, rectangles: Floats, rim: float) -> Flags:
    """Which of n points lie within a rim of which of c rectangles; shape (c, n)."""
    x, y = points[None, :, 0], points[None, :, 1]
    left, top, right, bottom = (side[:, None] for side in rectangles.T)
    across, down = (x > left - rim) & (x < right + rim), (y > top - rim) & (y < bottom + rim)
    within: Flags = np.logical_and(across, down)
    return within


def _conflicts(anchor: Floats, ends: Floats, rectangles: Floats, lines: Floats, taken: Floats) -> Floats:
    """For each candidate: leaders crossed, leaders hidden, and boxes that its own leader runs under."""
    if len(lines) == 0:
        return np.zeros(len(ends))
    starts, stops = lines[:, 0], lines[:, 1]
    crossed = (_side(anchor, ends[:, None], starts) != _side(anchor, ends[:, None], stops)) & (
        _side(starts, stops, anchor) != _side(starts, stops, ends[:, None])
    )
    steps = np.linspace(0, 1, 9)[:, None]
    placed = (starts[:, None] * (1 - steps) + stops[:, None] * steps).reshape(-1, 2)
    hidden = _inside(placed, rectangles, 1).reshape(len(ends), len(lines), -1).any(axis=-1)
    own = (anchor * (1 - steps) + ends[:, None] * steps).reshape(-1, 2)
    under = _inside(own, taken, 1).reshape(len(taken), len(ends), -1).any(axis=-1)
    total: Floats = crossed.sum(axis=1) + hidden.sum(axis=1) + under.sum(axis=0).astype(np.float64)
    return total


def _side(start: Floats, stop: Floats, point: Floats) -> Flags:
    """Whether a point lies to the left of the line from start to stop."""
    a, b = stop - start, point - start
    left: Flags = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0] > 0
    return left


def _box_size(shape: tuple[int, int] | None, thumbnail: int) -> tuple[float, float]:
    if shape is None:
        return 26.0, 20.0
    area, aspect = thumbnail**2 * 9 / 16, min(2.4, max(0.45, shape[0] / shape[1]))
    return math.sqrt(area * aspect), math.sqrt(area / aspect)


def _tenth(value: float) -> float:
    return round(float(value), 1)

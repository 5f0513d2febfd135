"""Made-up game play: a racing game, a platformer, a space shooter and a top-down maze.

Each function takes a generator and a size, fixes everything random, and returns the picture as a function of
time.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

from mdsvqa.runtime.arrays import Floats
from mdsvqa.videos.simulated.painting import (
    Colour,
    Frame,
    Painter,
    box,
    colour,
    disc,
    hills,
    polygon,
    random_waves,
    textured,
    vertical_gradient,
    window,
    write,
)

_WHITE: Colour = (245, 245, 245)


def racing(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A road through a chequered plain, with other cars and a bend that comes and goes."""
    horizon = int(height * rng.uniform(0.38, 0.5))
    hue, speed, bend = rng.random(), rng.uniform(4.0, 9.0), rng.uniform(0.2, 0.9)
    sky = vertical_gradient(width, height, colour(hue, 0.7, 0.6), colour(hue + 0.1, 0.25, 0.98))
    waves, peak = random_waves(rng, height * 0.07, width * 0.8), colour(hue + 0.05, 0.4, 0.5)
    grass = colour(rng.uniform(0.2, 0.45), 0.6, 0.6)
    shade = [0.78 * level for level in grass]
    inks = np.array([grass, shade, (92, 92, 98), (225, 60, 50), (240, 240, 240)], dtype=np.float32)
    grain = 6 * rng.standard_normal((height - horizon, width, 1), dtype=np.float32)
    depth = (height - horizon) / np.arange(1, height - horizon + 1, dtype=np.float32)[:, None]
    across = (np.arange(width, dtype=np.float32) - width / 2) / np.float32(0.3 * width) * depth
    fog = np.clip(depth / 14.0, 0.0, 1.0)[..., None] ** 1.5
    haze = fog * sky[horizon - 1, 0]
    cars = [(rng.uniform(-1.0, 1.0), rng.uniform(1, 12), colour(rng.random(), 0.85, 0.9)) for _ in range(4)]
    display = _heads_up_display(rng)

    def paint(t: float) -> Frame:
        frame = sky.copy()
        turn = bend * math.sin(0.9 * t)
        polygon(frame, hills(width, 40 * turn + 6 * t, horizon - height * 0.05, waves, height), peak)
        side, ahead = across + np.float32(0.25 * turn) * (depth - 1), 3 * depth + np.float32(speed * t)
        stripe = np.floor(ahead).astype(np.int32) & 1
        kind = (np.floor(side * 1.5).astype(np.int32) + stripe) & 1
        reach = np.abs(side)
        kind = np.where(reach < 1.35, 3 + stripe, kind)
        kind = np.where(reach < 1.2, 2, kind)
        kind = np.where((reach < 0.05) & (stripe == 0), 4, kind)
        plain = (inks[kind] + grain) * (1 - fog) + haze
        frame[horizon:] = np.clip(plain, 0, 255, out=plain)
        for lane, start, paintwork in sorted(cars, key=lambda car: -((car[1] - 1.5 * t) % 12)):
            z = 1.2 + (start - 1.5 * t) % 12
            _car(frame, width, horizon, height - horizon, lane - turn * (z - 1) * 0.25, z, paintwork)
        _car(frame, width, horizon, height - horizon, 0.3 * math.sin(1.3 * t), 1.12, (210, 40, 45))
        return display(frame, t)

    return paint


def platformer(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A side-scroller: hills in parallax, tiled ground, floating blocks, coins and a jumping hero."""
    hue, speed = rng.random(), rng.uniform(35, 95)
    sky = vertical_gradient(width, height, colour(hue, 0.55, 0.9), colour(hue + 0.08, 0.15, 1.0))
    waves = [random_waves(rng, height * 0.09, width * (0.9 - 0.2 * k)) for k in range(3)]
    inks = [colour(hue + 0.3, 0.3 + 0.15 * k, 0.85 - 0.17 * k) for k in range(3)]
    tile = _brick_tile(rng, colour(rng.uniform(0.02, 0.12), 0.65, 0.7))
    side = tile.shape[0]
    ground = np.tile(tile, (2, width // side + 2, 1))
    blocks = [(rng.uniform(0, 3 * width), height * rng.uniform(0.35, 0.62)) for _ in range(9)]
    coins = [(rng.uniform(0, 3 * width), height * rng.uniform(0.3, 0.7)) for _ in range(12)]
    shirt, display = colour(hue + 0.5, 0.8, 0.85), _heads_up_display(rng)

    def paint(t: float) -> Frame:
        frame, left = sky.copy(), speed * t
        for k in range(3):
            ridge = hills(width, left * (0.2 + 0.25 * k), height * (0.5 + 0.1 * k), waves[k], height)
            polygon(frame, ridge, inks[k])
        floor = height - 2 * side
        frame[floor:] = window(ground, left % side, 0.0, width, 2 * side)
        for x, y in blocks:
            _paste(frame, tile, round((x - left) % (3 * width) - side), round(y))
        for x, y in coins:
            radius = 5 * abs(math.cos(4 * t + x)) + 1
            polygon(frame, _ellipse((x - left) % (3 * width) - side, y, radius, 6), (250, 205, 50))
        jump = 0.3 * height * abs(math.sin(2.4 * t))
        _hero(frame, 0.35 * width, floor - jump, side * 0.9, shirt, t)
        return display(frame, t)

    return paint


def space(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A space shooter: drifting nebula, three layers of stars, ships, shots and explosions."""
    hue = rng.random()
    tints = np.array([colour(hue, 0.75, 0.5), colour(hue + 0.15, 0.6, 0.4)], dtype=np.float32)
    coarse = rng.random((height // 24 + 2, width // 12 + 2, 2)).astype(np.float32) ** 2
    cloud = np.maximum(cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC), 0.0)
    nebula = np.clip(cloud @ tints + 6, 0, 255).astype(np.uint8)
    stars = rng.random((100, 3)) * np.array([width, height, 3.0])
    ships = [(rng.random(), rng.uniform(0.15, 0.85), rng.uniform(0.5, 2.0)) for _ in range(6)]
    hulls = [colour(rng.random(), 0.7, 0.9) for _ in ships]
    sparks, display = rng.normal(0, 1, (40, 2)), _heads_up_display(rng)

    def paint(t: float) -> Frame:
        frame = window(nebula, 20 * t, 0.0, width, height)
        for x, y, layer in stars:
            near = 1 + int(layer)
            disc(frame, (x - 25 * near * t) % width, y, 0.35 * near, (130 + 40 * near,) * 3)
        for (phase, level, pace), hull in zip(ships, hulls, strict=True):
            x = (phase * width - 45 * pace * t) % (width + 40) - 20
            y = height * (level + 0.1 * math.sin(2 * pace * t + 9 * phase))
            polygon(frame, [(x - 11, y), (x + 9, y - 8), (x + 4, y), (x + 9, y + 8)], hull)
            disc(frame, x + 2, y, 2.5, _WHITE)
        x, y = 0.16 * width, height * (0.5 + 0.3 * math.sin(1.1 * t))
        polygon(frame, [(x + 16, y), (x - 10, y - 9), (x - 4, y), (x - 10, y + 9)], (90, 200, 250))
        for k in range(4):
            shot = x + 16 + (260 * t + k * width / 4) % width
            box(frame, shot, y - 1, 12, 2, (255, 240, 120))
        age = (1.3 * t) % 1.0
        for dx, dy in sparks:
            ink = (255, int(220 * (1 - age)), int(90 * (1 - age)))
            disc(frame, 0.65 * width + dx * 28 * age, 0.4 * height + dy * 28 * age, 2.2 * (1 - age), ink)
        return display(frame, t)

    return paint


def maze(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A top-down world of textured tiles, with walkers and a camera that wanders."""
    side, tiles = 24, 34
    inks = [colour(rng.random(), rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.85)) for _ in range(4)]
    kinds = [textured(rng, side, side, ink, rng.uniform(5, 18)) for ink in inks]
    kinds[0] = _brick_tile(rng, inks[0], side)
    land = cv2.resize(rng.random((12, 12)), (tiles, tiles), interpolation=cv2.INTER_CUBIC)
    layout = np.clip(land * 4, 0, 3).astype(int)
    world = np.vstack([np.hstack([kinds[k] for k in row]) for row in layout])
    reach = tiles * side / 2
    tempo, phase = rng.uniform(0.25, 0.6, 2), rng.uniform(0, 2 * np.pi, 2)
    walkers = rng.uniform(0, 1, (14, 3)) * np.array([tiles * side, tiles * side, 1.0])
    display = _heads_up_display(rng)

    def paint(t: float) -> Frame:
        left = (reach - width / 2) * (1 + 0.8 * math.sin(tempo[0] * t + phase[0]))
        top = (reach - height / 2) * (1 + 0.8 * math.sin(tempo[1] * t + phase[1]))
        frame = window(world, left, top, width, height)
        for k, (x, y, hue) in enumerate(walkers):
            px, py = x - left + 24 * math.sin(t + k), y - top + 24 * math.cos(1.3 * t + k)
            disc(frame, px + 2, py + 3, 8, (25, 25, 25))
            disc(frame, px, py, 8, colour(hue, 0.75, 0.95))
            disc(frame, px + 3, py - 2, 2.5, _WHITE)
        disc(frame, width / 2, height / 2, 9, _WHITE)
        disc(frame, width / 2, height / 2, 7, (60, 120, 240))
        return display(frame, t)

    return paint


def _heads_up_display(rng: np.random.Generator) -> Callable[[Frame, float], Frame]:
    """Score, health bar and round map, which sit still while the world moves."""
    accent, start, rate = colour(rng.random(), 0.8, 0.95), int(rng.integers(100, 9000)), rng.uniform(20, 200)
    label = str(rng.choice(["SCORE", "LAP", "XP", "KM"]))

    def draw(frame: Frame, t: float) -> Frame:
        height, width, _ = frame.shape
        write(frame, f"{label} {start + int(rate * t)}", 7, 17, 0.42, (20, 20, 20))
        write(frame, f"{label} {start + int(rate * t)}", 6, 16, 0.42, _WHITE)
        box(frame, 6, 22, 62, 7, (25, 25, 30))
        box(frame, 7, 23, 60 * (0.6 + 0.35 * math.cos(t)), 5, accent)
        radius = 0.1 * min(width, height)
        x, y = width - radius - 7, radius + 7
        disc(frame, x, y, radius, (30, 34, 40))
        disc(frame, x, y, radius, _WHITE, outline=1)
        for k in range(3):
            angle = t * (0.4 + 0.3 * k) + 2.1 * k
            disc(frame, x + 0.6 * radius * math.cos(angle), y + 0.6 * radius * math.sin(angle), 2, accent)
        return frame

    return draw


def _car(frame: Frame, width: int, horizon: int, depth: int, lane: float, z: float, paintwork: Colour) -> None:
    x, y, size = width / 2 + lane * 0.3 * width / z, horizon + depth / z, 0.11 * width / z
    box(frame, x - size * 0.62, y - size * 0.28, size * 1.24, size * 0.28, (25, 25, 28))
    box(frame, x - size * 0.6, y - size * 0.55, size * 1.2, size * 0.42, paintwork)
    roof = np.array([(-0.45, -0.5), (-0.3, -0.9), (0.3, -0.9), (0.45, -0.5)]) * size + (x, y)
    polygon(frame, roof, (60, 75, 95))
    for lamp in (-0.45, 0.45):
        disc(frame, x + lamp * size, y - size * 0.36, 0.09 * size, (255, 80, 60))


def _hero(frame: Frame, x: float, y: float, size: float, shirt: Colour, t: float) -> None:
    stride = 0.35 * size * math.sin(11 * t)
    box(frame, x - 0.3 * size + stride, y - 0.5 * size, 0.25 * size, 0.5 * size, (45, 50, 90))
    box(frame, x + 0.1 * size - stride, y - 0.5 * size, 0.25 * size, 0.5 * size, (45, 50, 90))
    box(frame, x - 0.4 * size, y - 1.2 * size, 0.8 * size, 0.75 * size, shirt)
    disc(frame, x, y - 1.5 * size, 0.42 * size, (240, 200, 165))
    disc(frame, x + 0.18 * size, y - 1.55 * size, 0.08 * size, (20, 20, 20))


def _brick_tile(rng: np.random.Generator, base: Colour, side: int = 18) -> Frame:
    tile = textured(rng, side, side, base, 9.0)
    mortar = np.array([0.55 * c for c in base], dtype=np.uint8)
    tile[[0, side // 2]] = mortar
    tile[: side // 2, 0] = mortar
    tile[side // 2 :, side // 2] = mortar
    return tile


def _paste(frame: Frame, picture: Frame, x: int, y: int) -> None:
    height, width, _ = frame.shape
    left, right = max(0, x), min(width, x + picture.shape[1])
    top, bottom = max(0, y), min(height, y + picture.shape[0])
    if left < right and top < bottom:
        frame[top:bottom, left:right] = picture[top - y : bottom - y, left - x : right - x]


def _ellipse(x: float, y: float, across: float, down: float) -> Floats:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.column_stack([x + across * np.cos(angle), y + down * np.sin(angle)])

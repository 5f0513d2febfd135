"""Made-up animation and screen recordings: flat colours, smooth gradients, outlines, text.

Each function takes a generator and a size, fixes everything random, and returns the picture as a function of
time.
"""

import math

import numpy as np

from mdsvqa.videos.simulated.painting import (
    Frame,
    Painter,
    box,
    colour,
    disc,
    hills,
    polygon,
    random_waves,
    sentence,
    vertical_gradient,
    window,
    write,
)


def meadow(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A cartoon landscape: sun, clouds, birds, and hills that pass by."""
    hue, speed = rng.random(), rng.uniform(15, 70)
    sky = vertical_gradient(width, height, colour(hue, 0.5, 0.95), colour(hue + 0.12, 0.3, 1.0))
    green = rng.uniform(0.15, 0.5)
    waves = [random_waves(rng, height * 0.07, width) for _ in range(3)]
    inks = [colour(green + 0.03 * k, 0.45 + 0.1 * k, 0.9 - 0.2 * k) for k in range(3)]
    clouds = rng.random((5, 2)) * np.array([1.4 * width, 0.35 * height])
    sun = (rng.uniform(0.15, 0.85) * width, rng.uniform(0.12, 0.3) * height)

    def paint(t: float) -> Frame:
        frame = sky.copy()
        disc(frame, sun[0], sun[1] + 6 * t, 0.09 * height, (255, 225, 120))
        for x, y in clouds:
            left = (x - 12 * t) % (1.4 * width) - 0.2 * width
            for dx, dy, radius in ((0, 0, 11), (13, -5, 14), (28, 0, 11), (14, 4, 12)):
                disc(frame, left + dx, y + 14 + dy, radius, (252, 250, 248))
        for k in range(3):
            passed = speed * (0.3 + 0.35 * k) * t
            polygon(frame, hills(width, passed, height * (0.55 + 0.14 * k), waves[k], height), inks[k])
            trunk = (140 * k + 60 - passed) % (1.2 * width) - 20
            _tree(frame, trunk, height * (0.6 + 0.14 * k), 9 + 5 * k)
        for k in range(3):
            wing = 5 * math.sin(9 * t + k)
            x, y = (40 + 30 * t + 26 * k) % width, 0.2 * height + 9 * k
            polygon(frame, [(x - 8, y - wing), (x, y + 2), (x + 8, y - wing), (x, y - 1)], (40, 40, 50))
        return frame

    return paint


def shapes(rng: np.random.Generator, width: int, height: int) -> Painter:
    """Outlined balls and polygons that bounce over a soft gradient."""
    hue = rng.random()
    back = vertical_gradient(width, height, colour(hue, 0.35, 0.98), colour(hue + 0.2, 0.45, 0.8))
    count = int(rng.integers(6, 14))
    corners = rng.integers(2, 7, count)
    radii = rng.uniform(0.06, 0.17, count) * min(width, height)
    start, pace = rng.random((count, 2)), rng.uniform(0.1, 0.6, (count, 2))
    inks = [colour(hue + rng.uniform(0.3, 0.8), 0.7, 0.95) for _ in range(count)]

    def paint(t: float) -> Frame:
        frame = back.copy()
        for k in range(count):
            # A triangle wave bounces between the walls.
            x, y = np.abs((start[k] + pace[k] * t) % 2.0 - 1.0) * np.array([width, height])
            if corners[k] == 2:
                disc(frame, x, y, radii[k] + 2, (35, 30, 45))
                disc(frame, x, y, radii[k], inks[k])
                disc(frame, x - 0.3 * radii[k], y - 0.3 * radii[k], 0.2 * radii[k], (255, 255, 255))
            else:
                angle = 2 * np.pi * np.arange(corners[k]) / corners[k] + t * (1 + pace[k, 0])
                ring = np.column_stack([np.cos(angle), np.sin(angle)])
                polygon(frame, ring * (radii[k] + 3) + (x, y), (35, 30, 45))
                polygon(frame, ring * radii[k] + (x, y), inks[k])
        return frame

    return paint


def ocean(rng: np.random.Generator, width: int, height: int) -> Painter:
    """Fish, bubbles and weed in blue light."""
    hue = rng.uniform(0.45, 0.65)
    water = vertical_gradient(width, height, colour(hue, 0.45, 0.95), colour(hue + 0.05, 0.85, 0.35))
    fish = [(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(-70, 70), rng.uniform(8, 22)) for _ in range(8)]
    inks = [colour(rng.random(), 0.75, 0.95) for _ in fish]
    bubbles = rng.random((24, 3))
    sand, floor = random_waves(rng, 0.03 * height, 0.8 * width), 0.88 * height
    weeds = rng.random((9, 2))

    def paint(t: float) -> Frame:
        frame = water.copy()
        polygon(frame, hills(width, 0.0, floor, sand, height), (214, 190, 130))
        for x, tall in weeds:
            root, tip = x * width, floor - height * (0.12 + 0.25 * tall)
            sway = 9 * math.sin(1.5 * t + 8 * x)
            stem = [(root - 4, floor + 8), (root + sway, tip), (root + 4, floor + 8)]
            polygon(frame, stem, (40, 120 + int(70 * tall), 80))
        for (phase, level, pace, size), ink in zip(fish, inks, strict=True):
            x = (phase * width + pace * t) % (width + 60) - 30
            y, way = height * level + 5 * math.sin(2 * t + 7 * phase), math.copysign(1.0, pace)
            flick = 0.5 * size * math.sin(8 * t + phase)
            tail = [(x - way * 0.8 * size, y), (x - way * 1.7 * size, y - 0.6 * size + flick / 2)]
            polygon(frame, [*tail, (x - way * 1.7 * size, y + 0.6 * size + flick / 2)], ink)
            angle = np.linspace(0, 2 * np.pi, 24)
            polygon(frame, np.column_stack([x + size * np.cos(angle), y + 0.6 * size * np.sin(angle)]), ink)
            disc(frame, x + way * 0.5 * size, y - 0.15 * size, 0.16 * size + 1, (255, 255, 255))
            disc(frame, x + way * 0.55 * size, y - 0.15 * size, 0.09 * size, (20, 20, 20))
        for x, phase, size in bubbles:
            rise = height * ((phase - 0.3 * t * (0.5 + size)) % 1.0)
            drift = 4 * math.sin(3 * t + 9 * x)
            disc(frame, x * width + drift, rise, 1 + 4 * size, (225, 245, 255), outline=1)
        return frame

    return paint


def document(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A page of text that is scrolled in steps, in a window with a title bar and a moving pointer."""
    dark = rng.random() < 0.3
    paper, ink = ((32, 34, 40), (215, 218, 225)) if dark else ((250, 250, 247), (38, 38, 42))
    accent, tall = colour(rng.random(), 0.7, 0.7), 5 * height
    page = np.full((tall, width, 3), paper, dtype=np.uint8)
    y = 20
    while y < tall - 12:
        if rng.random() < 0.12:
            write(page, sentence(rng, 2).title(), 14, y + 6, 0.55, accent)
            y += 24
        elif rng.random() < 0.06:
            box(page, 14, y, width - 40, 44, colour(rng.random(), 0.3, 0.8))
            y += 60
        else:
            write(page, sentence(rng, max(2, width // 62)), 14, y, 0.34, ink)
            y += 13
    pace, pause = rng.uniform(40, 160), rng.uniform(0.3, 0.8)
    title = sentence(rng, 2)

    def paint(t: float) -> Frame:
        # People scroll, then read.
        steps, part = divmod(t / (2 * pause), 1.0)
        eased = min(1.0, 2 * part) ** 2 * (3 - 2 * min(1.0, 2 * part))
        frame = window(page, 0.0, round(pace * pause * (steps + eased)), width, height)
        _title_bar(frame, title, accent)
        x, y = width * (0.6 + 0.2 * math.sin(t)), height * (0.6 + 0.2 * math.cos(1.4 * t))
        polygon(frame, [(x, y), (x, y + 13), (x + 4, y + 10), (x + 9, y + 9)], (255, 60, 60))
        return frame

    return paint


def terminal(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A terminal that fills with coloured lines."""
    back = colour(rng.random(), 0.4, 0.14)
    inks = [colour(hue, 0.45, 0.95) for hue in rng.random(4)]
    longest = max(2, width // 70)
    lines = [(sentence(rng, int(rng.integers(1, longest))), inks[int(rng.integers(4))]) for _ in range(80)]
    rate, shown, title = rng.uniform(3, 12), int(rng.integers(2, 14)), sentence(rng, 1)

    def paint(t: float) -> Frame:
        frame = np.full((height, width, 3), back, dtype=np.uint8)
        typed = shown + rate * t
        first = max(0, int(typed) - (height - 36) // 13)
        for row, k in enumerate(range(first, int(typed) + 1)):
            words, ink = lines[k % len(lines)]
            visible = words if k < int(typed) else words[: int(len(words) * (typed % 1.0))] + "_"
            write(frame, f"$ {visible}", 8, 32 + 13 * row, 0.36, ink)
        _title_bar(frame, title, (70, 74, 84))
        return frame

    return paint


def chart(rng: np.random.Generator, width: int, height: int) -> Painter:
    """A slide with growing bars and a running curve."""
    hue = rng.random()
    back = vertical_gradient(width, height, (252, 252, 254), colour(hue, 0.08, 0.95))
    title, bars = sentence(rng, 2).title(), int(rng.integers(4, 9))
    heights, phases = rng.uniform(0.2, 0.9, bars), rng.uniform(0, 6, bars)
    inks = [colour(hue + 0.07 * k, 0.65, 0.85) for k in range(bars)]
    waves = random_waves(rng, 0.1 * height, 0.5 * width)

    def paint(t: float) -> Frame:
        frame = back.copy()
        write(frame, title, 14, 24, 0.55, (40, 44, 60))
        floor, room, step = 0.9 * height, 0.6 * height, (width - 40) / bars
        for k in range(5):
            box(frame, 20, floor - room * k / 4, width - 40, 1, (200, 204, 212))
        for k in range(bars):
            tall = room * heights[k] * (0.7 + 0.3 * math.sin(1.5 * t + phases[k]))
            box(frame, 26 + k * step, floor - tall, 0.65 * step, tall, inks[k])
            write(frame, str(round(100 * tall / room)), 28 + k * step, floor - tall - 3, 0.3, (60, 60, 70))
        curve = hills(width, 60 * t, 0.45 * height, waves, height)[:-2]
        polygon(frame, np.vstack([curve, curve[::-1] + (0, 2.5)]), (225, 60, 80))
        return frame

    return paint


def _title_bar(frame: Frame, title: str, accent: tuple[int, int, int]) -> None:
    box(frame, 0, 0, frame.shape[1], 17, accent)
    for k, ink in enumerate(((250, 95, 85), (250, 190, 60), (60, 200, 90))):
        disc(frame, 10 + 12 * k, 8, 3.5, ink)
    write(frame, title, 50, 12, 0.36, (255, 255, 255))


def _tree(frame: Frame, x: float, y: float, size: float) -> None:
    box(frame, x - 0.15 * size, y - size, 0.3 * size, 1.6 * size, (110, 75, 50))
    for dx, dy in ((0, -2.0), (-0.6, -1.3), (0.6, -1.3)):
        disc(frame, x + dx * size, y + dy * size, 0.8 * size, (60, 140, 70))

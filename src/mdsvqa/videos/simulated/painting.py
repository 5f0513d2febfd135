"""The brushes that the made-up scenes share: colours, gradients, texture, text, antialiased shapes."""

import colorsys
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mdsvqa.runtime.arrays import Floats

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]
# A scene is a function of time in seconds, so that any frame can be drawn alone.
Painter = Callable[[float], Frame]

_WORDS = (
    *("river", "harbour", "lantern", "garden", "winter", "market", "window", "morning", "letter", "island"),
    *("bridge", "silver", "copper", "forest", "meadow", "village", "station", "summer", "journey", "thunder"),
    *("pepper", "orange", "castle", "ribbon", "marble", "captain", "kettle", "feather", "planet", "ticket"),
)
# OpenCV draws at 1/16 pixel, which keeps slow motion smooth.
_SUBPIXEL_BITS = 4


def colour(hue: float, saturation: float, value: float) -> Colour:
    """RGB of a hue, saturation and value in [0, 1].

    >>> colour(0.0, 1.0, 1.0)
    (255, 0, 0)
    """
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def vertical_gradient(width: int, height: int, top: Colour, bottom: Colour) -> Frame:
    """A picture that goes from one colour to another, uint8 RGB of shape (height, width, 3)."""
    share = np.linspace(0.0, 1.0, height)[:, None]
    column = (1.0 - share) * np.array(top) + share * np.array(bottom)
    return np.ascontiguousarray(np.repeat(np.rint(column).astype(np.uint8)[:, None], width, axis=1))


def textured(rng: np.random.Generator, width: int, height: int, base: Colour, contrast: float) -> Frame:
    """A flat colour with two scales of random brightness, uint8 RGB of shape (height, width, 3)."""
    coarse = rng.standard_normal((height // 6 + 2, width // 6 + 2)).astype(np.float32)
    fine = rng.standard_normal((height, width)).astype(np.float32)
    pattern = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + 0.5 * fine
    filled = np.array(base, dtype=np.float32) + contrast * pattern[..., None]
    return np.asarray(np.clip(filled, 0, 255), dtype=np.uint8)


def window(world: Frame, left: float, top: float, width: int, height: int) -> Frame:
    """What a camera sees of a larger picture, at subpixel position, with the border repeated outside."""
    matrix = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(world, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, dtype=np.uint8)


def polygon(frame: Frame, points: Sequence[tuple[float, float]] | Floats, fill: Colour) -> None:
    """Fills a polygon in place; points are (x, y) in pixels, shape (N, 2)."""
    fixed = np.rint(np.asarray(points) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(frame, [fixed], fill, cv2.LINE_AA, _SUBPIXEL_BITS)


def disc(frame: Frame, x: float, y: float, radius: float, fill: Colour, outline: int = -1) -> None:
    """Draws a filled circle in place, or one of `outline` pixels."""
    one = 2**_SUBPIXEL_BITS
    centre = (round(x * one), round(y * one))
    cv2.circle(frame, centre, max(1, round(radius * one)), fill, outline, cv2.LINE_AA, _SUBPIXEL_BITS)


def box(frame: Frame, x: float, y: float, width: float, height: float, fill: Colour) -> None:
    """Fills an upright rectangle in place, at subpixel position."""
    polygon(frame, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], fill)


def write(frame: Frame, words: str, x: float, y: float, size: float, ink: Colour) -> None:
    """Writes one line in place; (x, y) is its lower left corner."""
    cv2.putText(frame, words, (round(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)


def sentence(rng: np.random.Generator, words: int) -> str:
    """A line of this many random words."""
    return " ".join(str(word) for word in rng.choice(_WORDS, size=words))


def hills(width: int, left: float, base: float, waves: Floats, floor: int) -> Floats:
    """Outline of a hilly horizon, closed along the floor.

    Args:
        width: of the picture in pixels.
        left: world position of its left edge in pixels.
        base: mean height of the outline in pixels from the top.
        waves: amplitude in pixels, wavelength in pixels and phase of each wave, shape (N, 3).
        floor: where the polygon ends at the bottom.

    Returns:
        Points (x, y), shape (M, 2).
    """
    x = np.arange(-4.0, width + 8.0, 4.0)
    amplitude, length, phase = waves.T[:, :, None]
    y = base + np.sum(amplitude * np.sin(2 * np.pi * (x + left) / length + phase), axis=0)
    return np.vstack([np.column_stack([x, y]), [[x[-1], floor], [x[0], floor]]])


def random_waves(rng: np.random.Generator, amplitude: float, length: float) -> Floats:
    """Three waves for `hills`, each smaller and shorter than the one before, shape (3, 3)."""
    shrink = np.array([1.0, 0.5, 0.25])
    lengths = length * shrink * rng.uniform(0.8, 1.2, 3)
    return np.column_stack([amplitude * shrink, lengths, rng.uniform(0, 2 * np.pi, 3)])

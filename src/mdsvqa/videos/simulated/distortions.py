"""What goes wrong with a made-up video, and how much of it a simulated viewer notices.

Every distortion has one severity in [0, 1]. `distort` damages frames, `constant_rate_factor` says how hard
the encoder presses, and `true_quality` is the stated formula that turns severities into quality: a loss for
each distortion (weight times severity to a power), made more or less visible by texture and motion; what the
losses leave is multiplied.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from mdsvqa.videos.simulated.painting import Frame

DistortionKind = Literal["compression", "blur", "noise", "exposure", "freeze", "scaling"]
DISTORTION_KINDS: tuple[DistortionKind, ...] = get_args(DistortionKind)

# What a distortion does to a frame, given its number; frames come in order.
Change = Callable[[Frame, int], Frame]

# x264 at 320x180: artefacts are hard to see below 24 and hard to miss above 45.
CLEAN_RATE_FACTOR = 24
WORST_RATE_FACTOR = 50
# A perfect picture does not get a perfect score: people rarely use the end of a scale.
PRISTINE_QUALITY = 4.75


@dataclass(frozen=True)
class Distortion:
    """One thing that is wrong with a video.

    Attributes:
        kind: what is wrong.
        severity: how much, in [0, 1].
    """

    kind: DistortionKind
    severity: float


@dataclass(frozen=True)
class Masking:
    """What the content does to the visibility of distortions.

    Attributes:
        texture: spatial activity of the undistorted video, in [0, 1].
        motion: temporal activity of the undistorted video, in [0, 1].
    """

    texture: float
    motion: float


@dataclass(frozen=True)
class _Annoyance:
    weight: float
    exponent: float
    visibility: Callable[[Masking], float]


# Texture hides noise and blocks but has more to lose from blur; a freeze of a still scene is hardly seen.
_ANNOYANCE: dict[DistortionKind, _Annoyance] = {
    "compression": _Annoyance(0.95, 1.5, lambda m: 1.1 - 0.25 * m.texture),
    "blur": _Annoyance(0.90, 0.8, lambda m: 0.7 + 0.4 * m.texture),
    "noise": _Annoyance(0.85, 0.9, lambda m: 1.1 - 0.4 * m.texture),
    "exposure": _Annoyance(0.85, 1.3, lambda m: 1.0),
    "freeze": _Annoyance(0.95, 0.8, lambda m: 0.2 + 0.8 * m.motion),
    "scaling": _Annoyance(0.90, 0.8, lambda m: 0.7 + 0.4 * m.texture),
}


def true_quality(distortions: Sequence[Distortion], masking: Masking) -> float:
    """Quality of a video before anyone rates it.

    Args:
        distortions: of the video, empty for a pristine one.
        masking: of its content.

    Returns:
        1 + (PRISTINE_QUALITY - 1) * the product over distortions of
        (1 - weight * severity^exponent * visibility), each factor kept in [0, 1].

    >>> true_quality([], Masking(0.5, 0.5))
    4.75
    >>> round(true_quality([Distortion("exposure", 1.0)], Masking(0.5, 0.5)), 4)
    1.5625
    """
    kept = 1.0
    for distortion in distortions:
        annoyance = _ANNOYANCE[distortion.kind]
        loss = annoyance.weight * distortion.severity**annoyance.exponent * annoyance.visibility(masking)
        kept *= 1.0 - min(1.0, loss)
    return 1.0 + (PRISTINE_QUALITY - 1.0) * kept


def constant_rate_factor(distortions: Sequence[Distortion]) -> int:
    """How hard the encoder compresses.

    Args:
        distortions: of the video; all but "compression" are ignored.

    Returns:
        x264's constant rate factor, CLEAN_RATE_FACTOR without compression, WORST_RATE_FACTOR at severity 1.

    >>> constant_rate_factor([]), constant_rate_factor([Distortion("compression", 1.0)])
    (24, 50)
    """
    severity = max((d.severity for d in distortions if d.kind == "compression"), default=0.0)
    return round(CLEAN_RATE_FACTOR + (WORST_RATE_FACTOR - CLEAN_RATE_FACTOR) * severity)


def distort(
    frames: Iterable[Frame],
    distortions: Sequence[Distortion],
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    count: int,
) -> Iterator[Frame]:
    """Damages frames one after the other, by each distortion in the order given; compression is left to the encoder.

    Args:
        frames: uint8 RGB, each of shape (*size, 3).
        distortions: to apply.
        rng: for what severity leaves open (the noise itself, which frames freeze, too bright or too dark).
        size: height and width in pixels.
        count: of frames.

    Yields:
        As many frames of the same shape.
    """
    changes = [_CHANGES[d.kind](d.severity, rng, size, count) for d in distortions if d.kind != "compression"]
    for k, frame in enumerate(frames):
        for change in changes:
            frame = change(frame, k)
        yield frame


def shown_frames(count: int, severity: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which frame is shown at each moment when the player stalls.

    Args:
        count: of frames.
        severity: in [0, 1]; both the share of the time that is frozen and the length of a stall grow with it.
        rng: places the stalls.

    Returns:
        Ascending frame indices, shape (count,), with repeats where the picture stands still.
    """
    stall = 2 + round(14 * severity)
    stalled = np.zeros(count, dtype=bool)
    while stalled.sum() < min(0.8 * severity * count, count - 2):
        start = int(rng.integers(0, max(1, count - stall)))
        stalled[start + 1 : start + stall] = True
    return np.maximum.accumulate(np.where(stalled, 0, np.arange(count)))


def _blur(severity: float, rng: np.random.Generator, size: tuple[int, int], count: int) -> Change:
    sigma = 0.3 + 2.7 * severity
    return lambda frame, k: np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), dtype=np.uint8)


def _noise(severity: float, rng: np.random.Generator, size: tuple[int, int], count: int) -> Change:
    # Drawing new noise for every frame would cost more than encoding does; windows into one larger field,
    # placed at random, are as good as new to the eye and to the encoder.
    height, width = size
    field = rng.standard_normal((height + 64, width + 64, 3), dtype=np.float32)
    grain = np.rint(field * (2.0 + 16.0 * severity)).astype(np.int16)
    corners = rng.integers(0, 64, size=(count, 2))

    def change(frame: Frame, k: int) -> Frame:
        y, x = corners[k]
        return np.asarray(cv2.add(frame, grain[y : y + height, x : x + width], dtype=cv2.CV_8U), dtype=np.uint8)

    return change


def _exposure(severity: float, rng: np.random.Generator, size: tuple[int, int], count: int) -> Change:
    level = np.linspace(0.0, 1.0, 256)
    if rng.random() < 0.5:
        curve = level * (1.0 + 1.6 * severity) + 0.15 * severity
    else:
        curve = np.maximum(level - 0.15 * severity, 0.0) ** (1.0 + 0.8 * severity) * (1.0 - 0.6 * severity)
    table = np.rint(255.0 * np.clip(curve, 0.0, 1.0)).astype(np.uint8)
    return lambda frame, k: np.asarray(cv2.LUT(frame, table), dtype=np.uint8)


def _freeze(severity: float, rng: np.random.Generator, size: tuple[int, int], count: int) -> Change:
    shown = shown_frames(count, severity, rng)
    screen: dict[int, Frame] = {}

    def change(frame: Frame, k: int) -> Frame:
        if shown[k] == k:
            screen.clear()
            screen[k] = frame
        return screen[int(shown[k])]

    return change


def _scaling(severity: float, rng: np.random.Generator, size: tuple[int, int], count: int) -> Change:
    height, width = size
    factor = 1.2 + 4.0 * severity
    small = (max(2, round(width / factor)), max(2, round(height / factor)))
    upscaler = cv2.INTER_NEAREST if rng.random() < 0.4 else cv2.INTER_LINEAR

    def change(frame: Frame, k: int) -> Frame:
        shrunk = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(shrunk, (width, height), interpolation=upscaler), dtype=np.uint8)

    return change


_CHANGES: dict[DistortionKind, Callable[[float, np.random.Generator, tuple[int, int], int], Change]] = {
    "blur": _blur,
    "noise": _noise,
    "exposure": _exposure,
    "freeze": _freeze,
    "scaling": _scaling,
}

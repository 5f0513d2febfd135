"""Hand-made features of the embedded quality model: natural scene statistics, exposure, blocks, noise, motion.

Artefacts live at the native resolution: frames must not be resized when they are sampled, because resizing wipes
out block edges and changes noise and sharpness. Large frames are cropped to their centre instead.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from siti_tools.siti import SiTiCalculator

from mdsvqa.runtime.arrays import Floats
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.frame_times import GRID, centre

# What to sample for these features: enough frames that a stall of a tenth of the clip repeats at least one.
SAMPLED_FRAMES = 24
# Only motion needs them all: what is measured within a frame changes little within a clip, and BRISQUE and SI
# cost ten times as much as the rest.
_PICTURE_FRAMES = 8
_COSTLY_FRAMES = 3
# Side in pixels beyond which a frame is cropped; a multiple of the block grid, as the crop's offset is.
WINDOW = 960
_BLOCK = GRID
# BRISQUE halves the frame and needs some pixels to fit its distributions to.
_SMALLEST = 32
# Mean absolute difference of luma below which two frames are the same picture, coded twice.
_FROZEN = 0.25

# Columns: red against green, yellow against blue.
_OPPONENTS = np.array([[1.0, 0.5], [-1.0, 0.5], [0.0, -1.0]], dtype=np.float32)

_BRISQUE_NAMES = tuple(f"brisque_{k:02d}" for k in range(36))
_PICTURE_NAMES = (
    *("luma_mean", "luma_floor", "luma_p05", "luma_p50", "luma_p95", "luma_ceiling"),
    *("contrast", "dark_share", "bright_share"),
    *("colourfulness", "sharpness", "gradient", "noise", "blockiness", "repeated_pixels", "flat_share"),
)
_MOTION_NAMES = (
    *("change_mean", "change_std", "change_p10", "change_p90", "change_peak"),
    *("frozen_share", "frozen_longest", "ti_mean", "ti_std", "ti_max"),
)
FEATURE_NAMES: tuple[str, ...] = (
    *_BRISQUE_NAMES,
    *("si_mean", "si_std"),
    *(f"{name}_{pooled}" for pooled in ("mean", "std") for name in _PICTURE_NAMES),
    *_MOTION_NAMES,
)


def clip_features(clip: Clip) -> NDArray[np.float32]:
    """Describes a clip by FEATURE_NAMES.

    Args:
        clip: frames at native resolution, at best SAMPLED_FRAMES of them, evenly spread.

    Returns:
        Finite values, shape (len(FEATURE_NAMES),). What cannot be measured is 0: motion in a single frame, a
        BRISQUE parameter of a flat picture.
    """
    pictures = [_picture(frame) for frame in clip.frames]
    lumas = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    costly = _spread(len(lumas), _COSTLY_FRAMES)
    brisque = np.mean([brisque_features(lumas[k]) for k in costly], axis=0)
    spatial = [float(SiTiCalculator.si(lumas[k].astype(np.float32))) for k in costly]
    still = np.array([_picture_features(pictures[k], lumas[k]) for k in _spread(len(lumas), _PICTURE_FRAMES)])
    pooled = [brisque, [np.mean(spatial), np.std(spatial)], still.mean(axis=0), still.std(axis=0)]
    return np.concatenate([*pooled, _motion_features(lumas)]).astype(np.float32)


def brisque_features(luma: NDArray[np.uint8]) -> Floats:
    """Parameters of the distributions of locally normalised luma and of products of neighbours, at two scales.

    Args:
        luma: uint8, shape (H, W), H and W at least 32.

    Returns:
        Shape (36,); 0 for the parameters that a flat picture leaves undefined.

    Source: Mittal, Moorthy and Bovik (2012), table I; OpenCV's implementation.
    """
    values = np.asarray(cv2.quality.QualityBRISQUE.computeFeatures(luma), dtype=np.float64).ravel()
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def colourfulness(picture: NDArray[np.uint8]) -> float:
    """How colourful people find a picture: 0 for grey, about 80 for the most colourful photographs.

    Args:
        picture: uint8 RGB, shape (H, W, 3).

    Source: Hasler and Suesstrunk (2003), the measure M3.

    >>> colourfulness(np.full((4, 4, 3), 128, dtype=np.uint8))
    0.0
    """
    opponents = picture.reshape(-1, 3).astype(np.float32) @ _OPPONENTS
    mean, spread = cv2.meanStdDev(opponents[:, None])
    return float(np.linalg.norm(spread) + 0.3 * np.linalg.norm(mean))


def noise_level(luma: NDArray[np.uint8]) -> float:
    """Standard deviation of Gaussian noise, in luma levels; texture reads as noise too.

    Args:
        luma: uint8, shape (H, W), H and W at least 3.

    Source: Immerkaer (1996), equation 3.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = cv2.filter2D(luma, cv2.CV_16S, mask)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * cv2.norm(response, cv2.NORM_L1) / response.size)


def blockiness(luma: NDArray[np.uint8]) -> float:
    """How much stronger steps are across the 8x8 grid than elsewhere.

    Args:
        luma: uint8, shape (H, W), at least 16 each way; its corner lies on the coding grid.

    Returns:
        Logarithm of (mean step on the grid + 1) / (mean step off it + 1), averaged over both directions; 0 for
        a picture without blocks.

    Source: after the blockiness term of Wang, Sheikh and Bovik (2002), as a ratio so that texture cancels.
    """
    logs = []
    across, down = cv2.absdiff(luma[:, :-1], luma[:, 1:]), cv2.absdiff(luma[:-1], luma[1:])
    for differences, axis in ((across, 0), (down, 1)):
        steps = cv2.reduce(differences, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
        on_grid = np.arange(1, len(steps) + 1) % _BLOCK == 0
        logs.append(np.log((steps[on_grid].mean() + 1.0) / (steps[~on_grid].mean() + 1.0)))
    return float(np.mean(logs))


def longest_run(flags: Iterable[bool]) -> int:
    """Length of the longest run of true flags.

    >>> longest_run([True, False, True, True])
    2
    """
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest


def _picture(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame of shape (3, H, W) as a picture of shape (H, W, 3), neither too large nor too small."""
    height, width = frame.shape[1:]
    cropped = cv2.merge(list(frame[:, centre(height, WINDOW), centre(width, WINDOW)]))
    missing = (max(0, _SMALLEST - height), max(0, _SMALLEST - width))
    if any(missing):
        cropped = np.pad(cropped, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    return np.asarray(cropped, dtype=np.uint8)


def _spread(count: int, wanted: int) -> list[int]:
    """Indices of at most `wanted` of `count` frames, evenly spread, both ends included."""
    return sorted({round(k) for k in np.linspace(0, count - 1, wanted)})


def _picture_features(picture: NDArray[np.uint8], luma: NDArray[np.uint8]) -> Floats:
    """_PICTURE_NAMES of one frame."""
    histogram = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel() / luma.size
    cumulative = np.cumsum(histogram)
    # The outermost thousandths are what exposure moves even where the content is all dark or all bright.
    levels_at = [float(np.searchsorted(cumulative, share)) for share in (0.001, 0.05, 0.5, 0.95, 0.999)]
    levels = np.arange(256)
    mean = float(histogram @ levels)
    contrast = float(np.sqrt(histogram @ (levels - mean) ** 2))
    sharpness = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1].item() ** 2
    steps = cv2.absdiff(luma[:, :-1], luma[:, 1:])
    # Pixels doubled by a cheap upscaler repeat exactly; so do flat areas, which `flat_share` tells apart.
    repeated = 1.0 - cv2.countNonZero(steps) / steps.size
    flat = float(np.mean(cv2.blur(steps, (9, 9)) == 0))
    return np.array(
        [
            *(mean, *levels_at, contrast, cumulative[16], 1.0 - cumulative[238]),
            *(colourfulness(picture), np.log1p(sharpness), np.log1p(cv2.mean(steps)[0])),
            *(np.log1p(noise_level(luma)), blockiness(luma), repeated, flat),
        ]
    )


def _motion_features(lumas: list[NDArray[np.uint8]]) -> Floats:
    """_MOTION_NAMES of a clip, all 0 for a single frame."""
    if len(lumas) < 2:
        return np.zeros(len(_MOTION_NAMES))
    pairs = list(zip(lumas[1:], lumas[:-1], strict=True))
    change = np.array([cv2.mean(cv2.absdiff(now, before))[0] for now, before in pairs])
    temporal = np.array(
        [SiTiCalculator.ti(now.astype(np.float32), before.astype(np.float32)) for now, before in pairs],
        dtype=np.float64,
    )
    frozen = change < _FROZEN
    logs = np.log1p(change)
    # After a stall the picture jumps, which smooth motion never does.
    peak = float(np.log((change.max() + 0.1) / (np.median(change) + 0.1)))
    return np.array(
        [
            *(logs.mean(), logs.std(), np.percentile(logs, 10), np.percentile(logs, 90), peak),
            *(frozen.mean(), longest_run(frozen) / len(frozen)),
            *(np.log1p(temporal).mean(), np.log1p(temporal).std(), np.log1p(temporal).max()),
        ]
    )

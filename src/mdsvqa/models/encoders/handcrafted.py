"""The embedded content encoder: where a frame has which colours, edges and textures.

It needs no download and tells scenes apart, not meanings. For real pools name a CLIP or SigLIP checkpoint instead.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.feature import local_binary_pattern

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError

SIDE = 64
COLOR_CELLS = 4
TEXTURE_CELLS = 2
ORIENTATIONS = 8
# A layout of colours that lies nearer to plain mid-grey has hardly a direction: normalised, one grey level more or less
# would turn it around.
FAINTEST_COLOR = 0.4
TEXTURES = 10  # uniform local binary patterns of 8 neighbours
DIMS = 3 * COLOR_CELLS**2 + ORIENTATIONS * COLOR_CELLS**2 + TEXTURES * TEXTURE_CELLS**2
_CELL = (SIDE // COLOR_CELLS, SIDE // COLOR_CELLS)


def encode_frames(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Encodes frames one by one.

    Args:
        frames: uint8 RGB, shape (T, 3, H, W).

    Returns:
        Shape (T, dims), unit norm: a third each from colour (mean CIELAB in 4 x 4 cells; less of it where a frame is
        plain mid-grey), gradients (histograms of oriented gradients in 4 x 4 cells) and texture (histograms of local
        binary patterns in 2 x 2 cells).

    Source: Dalal and Triggs (2005) for the gradients, Ojala et al. (2002) for the textures.
    """
    return np.stack([_encode(frame) for frame in frames]).astype(np.float32)


def _encode(frame: NDArray[np.uint8]) -> Floats:
    picture = cv2.resize(frame.transpose(1, 2, 0), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    colors = _color_layout(picture)
    colors = colors / max(float(np.linalg.norm(colors)), FAINTEST_COLOR)
    return _unit(np.concatenate([colors, _unit(_gradient_layout(gray)), _unit(_texture_layout(gray))]))


def _color_layout(picture: NDArray[np.uint8]) -> Floats:
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    cells = cv2.resize(lab, (COLOR_CELLS, COLOR_CELLS), interpolation=cv2.INTER_AREA)
    # Around mid-grey, so that dark and bright point in opposite directions.
    return np.asarray((cells - np.array([50.0, 0.0, 0.0])) / 50.0, np.float64).ravel()


def _gradient_layout(gray: NDArray[np.uint8]) -> Floats:
    return np.asarray(_gradients().compute(gray), np.float64).ravel()


@cache
def _gradients() -> Any:
    try:
        return cv2.HOGDescriptor((SIDE, SIDE), _CELL, _CELL, _CELL, ORIENTATIONS)
    except AttributeError:
        raise InputError(
            f"OpenCV {cv2.__version__} in {cv2.__file__} has no HOGDescriptor, which the handcrafted encoder needs: "
            "another package has put a build without contrib modules over it. `pip install --force-reinstall "
            "opencv-contrib-python-headless` mends it."
        ) from None


def _texture_layout(gray: NDArray[np.uint8]) -> Floats:
    codes = local_binary_pattern(gray, P=8, R=1, method="uniform").astype(int)
    half = SIDE // TEXTURE_CELLS
    histograms = [
        np.bincount(codes[top : top + half, left : left + half].ravel(), minlength=TEXTURES)
        for top in range(0, SIDE, half)
        for left in range(0, SIDE, half)
    ]
    return np.sqrt(np.concatenate(histograms).astype(np.float64))


def _unit(values: Floats) -> Floats:
    norm = np.linalg.norm(values)
    return values / norm if norm > 0 else np.full_like(values, len(values) ** -0.5)

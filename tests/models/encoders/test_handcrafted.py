"""The embedded content encoder: unit vectors that tell scenes apart and stay calm where there is little to see."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mdsvqa.models.encoders.handcrafted import DIMS, encode_frames
from mdsvqa.selection.distances.chamfer import chamfer_distance
from mdsvqa.videos.simulated.scenes import load_photograph

RNG = np.random.default_rng(0)
PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def flat(level: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.full((1, 3, height, width), level, np.uint8)


def panned(name: str, offset: int) -> NDArray[np.uint8]:
    """A crop of a photograph, as a camera that moves sideways sees it."""
    picture = load_photograph(name)[20:340, offset : offset + 480]
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])


def test_dims() -> None:
    # 16 cells of 3 colours, 16 of 8 orientations, 4 of 10 textures.
    assert DIMS == 16 * 3 + 16 * 8 + 4 * 10 == 216


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 3, 2, 3), (2, 3, 1, 700), (2, 3, 63, 65), (1, 3, 1080, 1920)])
def test_unit_norm_on_noise_of_any_size(shape: tuple[int, ...]) -> None:
    found = encode_frames(RNG.integers(0, 256, shape).astype(np.uint8))
    assert found.shape == (shape[0], DIMS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("level", [0, 1, 119, 128, 255])
def test_unit_norm_on_flat_frames(level: int) -> None:
    found = encode_frames(flat(level))
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)


def test_one_gray_level_is_a_small_step() -> None:
    frames = np.concatenate([flat(level) for level in range(256)])
    found = encode_frames(frames).astype(np.float64)
    steps = np.linalg.norm(np.diff(found, axis=0), axis=1)
    black_to_white = np.linalg.norm(found[0] - found[-1])
    assert black_to_white > 1.0
    # The largest is from 0 to 1: local binary patterns take what lies outside the frame for black.
    assert steps.max() < black_to_white / 5
    assert steps[1:].max() < black_to_white / 10


def test_colour_part_of_black_and_white_point_opposite_ways() -> None:
    # L* of black is 0 and of white 100: -1 and +1 around the middle, in each of the 16 cells; a* and b* are 0.
    black, white = (encode_frames(flat(level))[0, :48].reshape(16, 3) for level in (0, 255))
    cell = 1 / np.sqrt(16) / np.sqrt(3)  # one of three unit parts
    np.testing.assert_allclose(black, np.tile([-cell, 0, 0], (16, 1)), atol=1e-3)
    np.testing.assert_allclose(white, np.tile([cell, 0, 0], (16, 1)), atol=1e-3)


def test_frames_are_encoded_one_by_one() -> None:
    frames = RNG.integers(0, 256, (4, 3, 40, 60)).astype(np.uint8)
    np.testing.assert_array_equal(encode_frames(frames), np.concatenate([encode_frames(f[None]) for f in frames]))


def test_another_scene_is_farther_than_another_frame_of_the_same() -> None:
    first, second = ([encode_frames(panned(name, offset)) for offset in (0, 12, 24)] for name in PHOTOGRAPHS)
    within = [chamfer_distance(scene[i], scene[j]) for scene in (first, second) for i in range(3) for j in range(i)]
    between = [chamfer_distance(x, y) for x in first for y in second]
    assert max(within) < min(between) / 2


def test_compression_is_not_another_scene() -> None:
    plain = load_photograph(PHOTOGRAPHS[0])
    coded = cv2.imdecode(cv2.imencode(".jpg", plain, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    other = load_photograph(PHOTOGRAPHS[1])
    plain, coded, other = (encode_frames(picture.transpose(2, 0, 1)[None]) for picture in (plain, coded, other))
    assert chamfer_distance(plain, coded) < chamfer_distance(plain, other) / 3

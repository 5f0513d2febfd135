"""Features: numbers that can be derived, and finite values on whatever a real file holds."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mdsvqa.models.statistical.features import (
    FEATURE_NAMES,
    blockiness,
    brisque_features,
    clip_features,
    colourfulness,
    longest_run,
    noise_level,
)
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.simulated.scenes import load_photograph

RNG = np.random.default_rng(0)
CHINA = load_photograph("china.jpg")


def features(frames: NDArray[np.uint8]) -> dict[str, float]:
    clip = Clip("v", frames, np.arange(len(frames)) / 10)
    return dict(zip(FEATURE_NAMES, clip_features(clip).tolist(), strict=True))


def still(picture: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return np.repeat(picture.transpose(2, 0, 1)[None], count, axis=0)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (5, 3, 16, 16), (2, 3, 1, 1), (3, 3, 181, 33), (2, 3, 1, 700)])
def test_constant_frames(shape: tuple[int, ...], level: int) -> None:
    found = features(np.full(shape, level, dtype=np.uint8))
    assert np.all(np.isfinite(list(found.values())))
    assert found["luma_mean_mean"] == pytest.approx(level)
    assert found["noise_mean"] == found["blockiness_mean"] == found["si_mean"] == 0.0


@pytest.mark.parametrize(
    "shape", [(1, 3, 16, 16), (4, 3, 17, 33), (30, 3, 40, 40), (2, 3, 1080, 1920), (2, 3, 8, 1200)]
)
def test_random_frames_are_finite(shape: tuple[int, ...]) -> None:
    values = clip_features(Clip("v", RNG.integers(0, 256, shape).astype(np.uint8), np.arange(shape[0]) * 1.0))
    assert values.dtype == np.float32
    assert values.shape == (len(FEATURE_NAMES),)
    assert np.all(np.isfinite(values))


def test_names_are_unique() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_brisque_is_opencv_s() -> None:
    luma = cv2.cvtColor(CHINA, cv2.COLOR_RGB2GRAY)
    expected = cv2.quality.QualityBRISQUE.computeFeatures(luma).ravel()
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(brisque_features(luma), expected)
    found = features(still(CHINA, 3))
    np.testing.assert_allclose([found[f"brisque_{k:02d}"] for k in range(36)], expected, rtol=1e-5)


def test_colourfulness_by_hand() -> None:
    # Half red, half blue. rg: 255 and 0; yb: 127.5 and -255.
    picture = np.zeros((4, 8, 3), dtype=np.uint8)
    picture[:, :4, 0] = 255
    picture[:, 4:, 2] = 255
    spread, mean = np.hypot(127.5, 191.25), np.hypot(127.5, -63.75)
    assert colourfulness(picture) == pytest.approx(spread + 0.3 * mean, rel=1e-5)


@pytest.mark.parametrize("sigma", [3.0, 10.0])
def test_noise_level_finds_the_deviation(sigma: float) -> None:
    luma = np.clip(np.rint(128 + RNG.normal(0, sigma, (200, 200))), 0, 255).astype(np.uint8)
    assert noise_level(luma) == pytest.approx(sigma, rel=0.03)


def test_blockiness_of_blocks_and_of_texture() -> None:
    # Every step on the grid is 10, every other one 0: log(11 / 1).
    squares = 100 + 10 * (np.indices((8, 8)).sum(axis=0) % 2)
    blocks = np.kron(squares, np.ones((8, 8))).astype(np.uint8)
    assert blockiness(blocks) == pytest.approx(np.log(11.0))
    texture = RNG.integers(0, 256, (256, 256)).astype(np.uint8)
    assert blockiness(texture) == pytest.approx(0.0, abs=0.05)


def test_the_crop_keeps_the_block_grid() -> None:
    squares = 100 + 10 * (np.indices((130, 150)).sum(axis=0) % 2)
    blocks = np.kron(squares, np.ones((8, 8))).astype(np.uint8)
    found = features(still(np.repeat(blocks[..., None], 3, axis=2), 1))
    assert found["blockiness_mean"] == pytest.approx(np.log(11.0), rel=1e-5)


def test_frozen_frames() -> None:
    moving = np.stack([np.roll(CHINA, 5 * k, axis=1).transpose(2, 0, 1) for k in range(11)])
    assert features(moving)["frozen_share"] == 0.0
    stalled = moving[[0, 1, 1, 1, 1, 5, 6, 6, 8, 9, 10]]
    found = features(stalled)
    assert found["frozen_share"] == pytest.approx(0.4)
    assert found["frozen_longest"] == pytest.approx(0.3)
    assert features(still(CHINA, 4))["frozen_share"] == 1.0


def test_ti_of_a_step_in_brightness_is_zero() -> None:
    frames = np.stack([np.full((3, 40, 40), level, dtype=np.uint8) for level in (50, 90)])
    found = features(frames)
    assert found["ti_max"] == 0.0
    assert found["change_mean"] == pytest.approx(np.log(41.0), rel=1e-5)


def test_longest_run() -> None:
    assert longest_run([]) == 0
    assert longest_run([False, True, True, False, True]) == 2

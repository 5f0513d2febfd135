"""Distortions do what their severity says, and quality follows the stated formula."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mdsvqa.videos.simulated.distortions import (
    DISTORTION_KINDS,
    Distortion,
    DistortionKind,
    Masking,
    distort,
    shown_frames,
    true_quality,
)

RNG = np.random.default_rng(5)
TEXTURE = RNG.integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)
GREY = np.full((12, 48, 64, 3), 128, dtype=np.uint8)
HALF = Masking(0.5, 0.5)


def damage(frames: NDArray[np.uint8], *distortions: Distortion, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return np.stack(list(distort(frames, distortions, rng, size=frames.shape[1:3], count=len(frames))))


@pytest.mark.parametrize("kind", DISTORTION_KINDS)
def test_quality_falls_with_severity_and_stays_on_the_scale(kind: DistortionKind) -> None:
    for masking in (Masking(0.0, 0.0), HALF, Masking(1.0, 1.0)):
        quality = [true_quality([Distortion(kind, s)], masking) for s in np.linspace(0.0, 1.0, 21)]
        assert np.all(np.diff(quality) <= 0.0)
        assert quality[0] == 4.75
        assert 1.0 <= quality[-1] < 4.1


def test_two_distortions_multiply_what_is_left() -> None:
    exposure, noise = Distortion("exposure", 0.5), Distortion("noise", 0.3)
    kept = (1 - 0.85 * 0.5**1.3) * (1 - 0.85 * 0.3**0.9 * (1.1 - 0.4 * 0.5))
    assert true_quality([exposure, noise], HALF) == pytest.approx(1 + 3.75 * kept)


def test_masking() -> None:
    def lost(kind: DistortionKind, masking: Masking) -> float:
        return 4.75 - true_quality([Distortion(kind, 0.5)], masking)

    assert lost("noise", Masking(1.0, 0.5)) < lost("noise", Masking(0.0, 0.5))
    assert lost("blur", Masking(1.0, 0.5)) > lost("blur", Masking(0.0, 0.5))
    assert lost("freeze", Masking(0.5, 1.0)) > lost("freeze", Masking(0.5, 0.0))


@pytest.mark.parametrize("severity", [0.1, 0.5, 1.0])
def test_noise_has_the_stated_deviation(severity: float) -> None:
    noisy = damage(GREY, Distortion("noise", severity)).astype(float)
    assert noisy.std() == pytest.approx(2 + 16 * severity, rel=0.05)
    assert not np.array_equal(noisy[0], noisy[1])


def test_blur_and_scaling_smooth() -> None:
    def roughness(frames: NDArray[np.uint8]) -> float:
        return float(np.abs(np.diff(frames.astype(float), axis=2)).mean())

    for kind in ("blur", "scaling"):
        levels: Sequence[float] = [roughness(damage(TEXTURE, Distortion(kind, s))) for s in (0.1, 0.5, 1.0)]
        assert roughness(TEXTURE) > levels[0] > levels[1] > levels[2]


def test_exposure_goes_both_ways() -> None:
    means = [damage(GREY, Distortion("exposure", 0.6), seed=seed).mean() for seed in range(12)]
    assert min(means) < 80
    assert max(means) > 200


def test_compression_is_left_to_the_encoder() -> None:
    assert np.array_equal(damage(TEXTURE, Distortion("compression", 1.0)), TEXTURE)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 60])
@pytest.mark.parametrize("severity", [0.0, 0.3, 1.0])
def test_stalls(count: int, severity: float) -> None:
    shown = shown_frames(count, severity, np.random.default_rng(count))
    assert shown.shape == (count,)
    assert shown[0] == 0
    assert np.all(np.diff(shown) >= 0)
    assert np.all(shown <= np.arange(count))
    assert np.sum(np.diff(shown) == 0) >= min(0.8 * severity * count, count - 2)


def test_freeze_shows_only_frames_of_the_past() -> None:
    frozen = damage(TEXTURE, Distortion("freeze", 0.5), seed=3)
    shown = shown_frames(len(TEXTURE), 0.5, np.random.default_rng(3))
    assert np.array_equal(frozen, TEXTURE[shown])

"""HDR pictures as SDR ones: PQ and HLG to display light, reference white at the white of SDR, highlights rolled off."""

import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]

# cd/m2: of HDR reference white (ITU-R BT.2408, table 1), which is where the white of SDR lies; of the brightest light
# that is told apart, the nominal peak of an HLG display and of most PQ masters. One curve for all files: what a scene
# looks like does not hang on metadata that half of them lack.
REFERENCE_WHITE = 203.0
PEAK = 1000.0
# ITU-R BT.2100, table 4.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ITU-R BT.2100, table 5: of HLG, at a nominal peak of 1000 cd/m2.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
# Linear RGB of ITU-R BT.2020 to that of BT.709 (ITU-R BT.2087, its inverse).
_TO_709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
# ITU-R BT.1886, with a black of 0.
_SDR_GAMMA = 2.4


def pq_to_light(signal: Light) -> Light:
    """Display light of PQ code values.

    Args:
        signal: 0 to 1.

    Returns:
        cd/m2, 0 to 10,000.

    Source: ITU-R BT.2100, table 4.

    >>> [round(float(v)) for v in pq_to_light(np.array([0.0, 0.58, 1.0], np.float32))]
    [0, 202, 10000]
    """
    root = np.power(np.clip(signal, 0, 1), np.float32(1 / _M2))
    return np.asarray(10_000 * np.power(np.maximum(root - _C1, 0) / (_C2 - _C3 * root), np.float32(1 / _M1)))


def light_to_pq(light: Light) -> Light:
    """PQ code values of display light in cd/m2; the inverse of `pq_to_light`."""
    power = np.power(np.clip(light, 0, 10_000) / np.float32(10_000), np.float32(_M1))
    return np.asarray(np.power((_C1 + _C2 * power) / (1 + _C3 * power), np.float32(_M2)))


def hlg_to_light(signal: Light) -> Light:
    """Display light of HLG code values on a display of 1000 cd/m2.

    Args:
        signal: RGB, 0 to 1, shape (3, ...).

    Returns:
        cd/m2 of the same shape.

    Source: ITU-R BT.2100, table 5.

    >>> hlg_to_light(np.full((3, 1), 0.75, np.float32))[:, 0].round().tolist()
    [203.0, 203.0, 203.0]
    """
    signal = np.clip(signal, 0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12).astype(np.float32)
    luminance = np.tensordot(_LUMINANCE, scene, 1)
    return np.asarray(PEAK * scene * np.power(luminance, np.float32(_HLG_GAMMA - 1)))


def roll_off(signal: Light, brightest: float, white: float) -> Light:
    """Rolls off what is brighter than a display: the EETF, with a black of 0 on both sides.

    Args:
        signal: PQ code values.
        brightest, white: of the source and of the display, as PQ code values.

    Returns:
        PQ code values up to `white`; those below its knee as they were.

    Source: ITU-R BT.2390, section 5.4.1; recommended by BT.2408, annex 5.
    """
    scaled, most = np.clip(signal / brightest, 0, 1), white / brightest
    knee = 1.5 * most - 0.5
    t = np.clip((scaled - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.asarray(np.where(scaled < knee, scaled, spline) * brightest)


def tone_mapped(rgb: Light, kind: str, wide: bool) -> NDArray[np.uint8]:
    """An HDR picture as an SDR one.

    The largest of the three lights of a pixel is rolled off and the others go with it, so that hues stay.

    Args:
        rgb: code values of R'G'B', 0 to 1, shape (3, H, W).
        kind: "PQ" or "HLG".
        wide: whether its primaries are those of BT.2020; else it is taken for BT.709.

    Returns:
        uint8 R'G'B' of BT.709 for a display of gamma 2.4, shape (3, H, W).
    """
    light = pq_to_light(rgb) if kind == "PQ" else hlg_to_light(rgb)
    largest = light.max(axis=0)
    brightest, white = light_to_pq(np.array([PEAK, REFERENCE_WHITE], np.float32)).tolist()
    mapped = pq_to_light(roll_off(light_to_pq(largest), brightest, white))
    shown = light * (mapped / np.maximum(largest, 1e-6)) / REFERENCE_WHITE
    if wide:
        shown = np.tensordot(_TO_709, shown, 1)
    return np.asarray(np.power(np.clip(shown, 0, 1), np.float32(1 / _SDR_GAMMA)) * 255 + 0.5, np.uint8)

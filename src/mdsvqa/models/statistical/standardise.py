"""Features in standard deviations of a training set, safe for a domain far away from it."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from mdsvqa.runtime.arrays import Floats

# Beyond 4 standard deviations a feature of a new domain says nothing but "far away"; without the limit it alone
# decides.
LARGEST_Z = 4.0


@dataclass(frozen=True)
class Standardiser:
    """z(x) = (x - center) / scale, limited to +-4; a missing feature counts as average.

    Attributes:
        center, scale: shape (dims,); scale is positive.
    """

    center: Floats
    scale: Floats

    @classmethod
    def fit(cls, features: Floats) -> Self:
        """Mean and standard deviation of features (n, dims), NaN left out; a constant feature keeps its unit.

        >>> Standardiser.fit(np.array([[1.0, 5.0], [3.0, 5.0]])).scale.tolist()
        [1.0, 1.0]
        """
        known = np.isfinite(features).any(0)
        center, scale = np.zeros(known.size), np.ones(known.size)
        center[known] = np.nanmean(features[:, known], 0)
        spread = np.nanstd(features[:, known], 0)
        # The spread of equal numbers is a rounding error, which grows with them.
        scale[known] = np.where(spread > 1e-9 * np.maximum(1.0, np.abs(center[known])), spread, 1.0)
        return cls(center, scale)

    def __call__(self, features: Floats) -> Floats:
        z = (features - self.center) / self.scale
        return np.nan_to_num(np.clip(z, -LARGEST_Z, LARGEST_Z), nan=0.0)

"""How different two videos look: the symmetric Chamfer distance between their frame features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def chamfer_distance(x: Floats, y: Floats) -> float:
    """The symmetric Chamfer distance between two sets of frames.

    Args:
        x, y: frame features, shapes (frames of x, dims) and (frames of y, dims).

    Returns:
        The mean over x's frames of the Euclidean distance to the nearest frame of y, and the reverse, averaged.

    Source: Zou et al. (2026), section 3.

    >>> chamfer_distance(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    0.3535533905932738
    """
    distances = np.linalg.norm(x[:, None, :] - y[None, :, :], axis=2)
    return float((distances.min(1).mean() + distances.min(0).mean()) / 2)


@dataclass(frozen=True)
class Content:
    """Frame features of many videos, stacked.

    Attributes:
        frames: shape (sum of T, dims).
        starts: index of each video's first frame, shape (n,).
        counts: frames of each video, T >= 1, shape (n,).
    """

    frames: Floats
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def stack(cls, videos: Sequence[NDArray[np.floating]]) -> Self:
        """From one array (T, dims) a video."""
        counts = np.array([len(video) for video in videos], np.int64)
        return cls(np.concatenate(videos).astype(np.float64), np.cumsum(counts) - counts, counts)

    def __len__(self) -> int:
        return len(self.counts)

    def of(self, video: int) -> Floats:
        """The frames of one video, shape (T, dims)."""
        return self.frames[self.starts[video] : self.starts[video] + self.counts[video]]

    def take(self, chosen: NDArray[np.int64]) -> "Content":
        return Content.stack([self.of(int(video)) for video in chosen])

    def means(self) -> Floats:
        """The mean frame of each video, shape (n, dims)."""
        sums: Floats = np.add.reduceat(self.frames, self.starts, axis=0)
        return sums / self.counts[:, None]

    def distances_from(self, frames: Floats) -> Floats:
        """The Chamfer distance from one set of frames to every video, by one matrix product.

        Args:
            frames: shape (T, dims).

        Returns:
            Shape (n,), equal to `chamfer_distance` of each up to rounding.
        """
        squared = (frames**2).sum(1)[:, None] + (self.frames**2).sum(1)[None, :] - 2 * frames @ self.frames.T
        distances = np.sqrt(np.maximum(squared, 0))
        there = np.minimum.reduceat(distances, self.starts, axis=1).mean(0)
        back = np.add.reduceat(distances.min(0), self.starts) / self.counts
        mean: Floats = (there + back) / 2
        return mean

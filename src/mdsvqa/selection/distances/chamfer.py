"""How different two videos look: the symmetric Chamfer distance between their frame features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mdsvqa.runtime.arrays import Floats, Ints

Frames = NDArray[np.floating]

# Numbers that one block of a row of distances holds at a time: 128 MB in double precision.
BLOCK = 1 << 24


def chamfer_distance(x: Frames, y: Frames) -> float:
    """The symmetric Chamfer distance between two sets of frames.

    Args:
        x, y: frame features, shapes (frames of x, dims) and (frames of y, dims).

    Returns:
        The mean over x's frames of the Euclidean distance to the nearest frame of y, and the reverse, averaged.

    Source: Zou et al. (2026), section 3.

    >>> chamfer_distance(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    0.3535533905932738
    """
    distances = cdist(x.astype(np.float64), y.astype(np.float64))
    return float((distances.min(1).mean() + distances.min(0).mean()) / 2)


@dataclass(frozen=True)
class Content:
    """Frame features of many videos, stacked.

    Attributes:
        frames: shape (sum of T, dims), of any floating type; may be mapped from a file.
        starts: index of each video's first frame, shape (n,).
        counts: frames of each video, T >= 1, shape (n,).
    """

    frames: Frames
    starts: Ints
    counts: Ints

    @classmethod
    def stack(cls, videos: Sequence[Frames]) -> Self:
        """From one array (T, dims) a video."""
        counts = np.array([len(video) for video in videos], np.int64)
        return cls(np.concatenate(videos), np.cumsum(counts) - counts, counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def dims(self) -> int:
        return int(self.frames.shape[1])

    def of(self, video: int) -> Frames:
        """The frames of one video, shape (T, dims), as they are stored."""
        return self.frames[self.starts[video] : self.starts[video] + self.counts[video]]

    def take(self, chosen: Ints) -> "Content":
        """Some of the videos, in this order; no frame is copied."""
        return Content(self.frames, self.starts[chosen], self.counts[chosen])

    def gathered(self, videos: Ints) -> Frames:
        """The frames of some videos one after the other, shape (sum of T, dims), as they are stored."""
        starts, counts = self.starts[videos], self.counts[videos]
        if len(videos) and (starts[1:] == starts[:-1] + counts[:-1]).all():
            return self.frames[starts[0] : starts[-1] + counts[-1]]
        return self.frames[np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())]

    def blocks(self, most: int) -> Iterator[slice]:
        """The videos in consecutive parts of at most `most` frames each, and at least one video."""
        ends = np.cumsum(self.counts)
        first = 0
        while first < len(self):
            before = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
            yield slice(first, last)
            first = last

    def means(self, precision: type[np.floating] = np.float64) -> Frames:
        """The mean frame of each video, computed in double precision, shape (n, dims)."""
        means = np.empty((len(self), self.dims), precision)
        for part in self.blocks(BLOCK // max(self.dims, 1)):
            counts = self.counts[part]
            frames = self.gathered(np.arange(part.start, part.stop)).astype(np.float64)
            means[part] = np.add.reduceat(frames, np.cumsum(counts) - counts, axis=0) / counts[:, None]
        return means

    def distances_from(self, frames: Frames) -> Floats:
        """The Chamfer distance from one set of frames to every video, by matrix products.

        Args:
            frames: shape (T, dims).

        Returns:
            Shape (n,), equal to `chamfer_distance` of each up to rounding: in double precision where features are
            stored in it, else in single.
        """
        precision: type[np.floating] = np.float64 if self.frames.dtype == np.float64 else np.float32
        one: Frames = frames.astype(precision)
        own = (one**2).sum(1)[:, None]
        mean = np.empty(len(self))
        for part in self.blocks(BLOCK // max(self.dims, len(one))):
            counts = self.counts[part]
            starts = np.cumsum(counts) - counts
            others: Frames = self.gathered(np.arange(part.start, part.stop)).astype(precision)
            squared = -2 * (one @ others.T)
            squared += own
            squared += np.square(others).sum(1)
            distances = np.sqrt(np.maximum(squared, 0, out=squared), out=squared)
            there = np.minimum.reduceat(distances, starts, axis=1).mean(0)
            back = np.add.reduceat(distances.min(0), starts) / counts
            mean[part] = (there + back) / 2
        return mean

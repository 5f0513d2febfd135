"""Chamfer distances from some videos to the last few of a growing list, by matrix products, with bounds of error."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.distances.bounds import SINGLE
from mdsvqa.selection.distances.chamfer import Content

# Half a unit in the last place of double precision, relative.
DOUBLE_UNIT = 2.0**-53
# Multiplications of a distance up to which double precision costs less than what it spares.
FEW = 2e5
# Products that are summed at a time in single precision.
PART = 128
# Squared distances, against that of the longest frame, of which a double-precision product leaves too few digits.
CANCELLED = 1e-6
# Numbers of a product that are looked through at a time, so that they stay in a CPU's cache.
CACHED = 1 << 20


class ChosenFrames:
    """The frames of a list of videos, ready for products.

    A frame x is kept as (x, |x|^2, 1) on one side and (-2 x, 1, |x|^2) on the other, so that products are squared
    distances. A sum of m products is off by at most m units of rounding times (|x| + |y|)^2, in whatever order it is
    taken (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); in parts of 128 and then over the
    parts, by at most 128 + the number of parts. Videos of few frames are compared in double precision: their products
    cost little, and nothing is left to be decided afterwards.

    Args:
        content: of all videos.
        largest: norm of the longest frame.
        device: that multiplies.
        memory: bytes that a product may take.
        double: compare all videos in double precision.
    """

    def __init__(
        self, content: Content, largest: float, device: torch.device, memory: int, *, double: bool = False
    ) -> None:
        self._content = content
        self._device = device
        self._largest = largest
        self._most = max(1, min(memory // 16, CACHED * (64 if device.type == "cuda" else 1)))
        # Multiplications of one distance.
        self.work = float(content.counts.mean()) ** 2 * content.dims
        double = double or self.work <= FEW or content.frames.dtype == np.float64
        self._kind = torch.float64 if double else torch.float32
        unit = DOUBLE_UNIT if double else SINGLE
        self._rows = torch.empty((0, content.dims + 2), dtype=self._kind, device=device)
        self._ends = [0]
        self._videos: list[int] = []
        self._counts: list[int] = []
        terms = content.dims if double else PART + -(-content.dims // PART)
        # Not 0 where all frames are.
        self._squared_error = max((terms + 10) * unit * (2 * largest) ** 2, 1e-30)
        self.computed = 0

    def __len__(self) -> int:
        return len(self._videos)

    def add(self, video: int) -> None:
        """Appends a video to the list."""
        left = self.left_of(np.array([video]))
        end = self._ends[-1] + len(left)
        if end > len(self._rows):
            more = self._rows.new_empty((max(end, 2 * len(self._rows)), self._rows.shape[1]))
            more[: self._ends[-1]] = self._rows[: self._ends[-1]]
            self._rows = more
        new = self._rows[self._ends[-1] : end]
        new[:, :-2] = -2 * left[:, :-2]
        new[:, -2] = 1
        new[:, -1] = left[:, -2]
        self._ends.append(end)
        self._videos.append(video)
        self._counts.append(int(self._content.counts[video]))

    def last(self) -> Tensor:
        """The frames of the last video of the list as they stand on the right side of a product."""
        return self._rows[self._ends[-2] : self._ends[-1]]

    def left_of(self, videos: Ints) -> Tensor:
        """The frames of some videos as they stand on the left side of a product."""
        frames = self._content.gathered(videos)
        # A memory map may be read-only, which torch warns of; nothing writes to it here.
        stored = torch.from_numpy(np.array(frames) if not frames.flags.writeable else np.ascontiguousarray(frames))
        rows = torch.ones((len(frames), frames.shape[1] + 2), dtype=self._kind, device=self._device)
        rows[:, :-2] = stored.to(self._device)
        rows[:, -2] = rows[:, :-2].double().square().sum(1)
        return rows

    def sums(self, videos: Ints, begins: Ints) -> tuple[Floats, Floats]:
        """Sums of the distances to the list, each from a place in it on.

        Args:
            videos: indices, shape (k,).
            begins: first place in the list of each video's sum, shape (k,); the least is below the list's length.

        Returns:
            Sums, and the most by which each is off, both of shape (k,).
        """
        counts = self._content.counts[videos]
        left = self.left_of(videos)
        known, last = int(begins.min()), len(self._videos)
        since = torch.from_numpy(begins).to(self._device)[:, None]
        found = torch.zeros((2, len(videos)), dtype=torch.float64, device=self._device)
        while known < last:
            # As many of the list as fit, but at least one.
            most = self._ends[known] + max(1, self._most // len(left))
            stop = max(known + 1, min(last, bisect_right(self._ends, most) - 1))
            squared = _product(left, self._rows[self._ends[known] : self._ends[stop]])
            new = torch.arange(known, stop, device=self._device) >= since
            for total, part in zip(found, self.reduced(squared, counts, self._counts[known:stop]), strict=True):
                total += torch.where(new, part, 0.0).sum(1)
            self.computed += len(videos) * (stop - known)
            known = stop
        sums, errors = found.cpu().numpy()
        return sums, errors

    def reduced(self, squared: Tensor, counts: Ints, others: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Means of the roots of the least squared distances, and what they may be off by, shape (k, others).

        The root of a + e is off by at most e / max(root of a, root of e).
        """
        least = self._squared_error**0.5
        if (counts == counts[0]).all() and min(others) == max(others):
            grid = squared.view(len(counts), int(counts[0]), len(others), others[0])
            roots = [grid.amin(3).double().sqrt_(), grid.amin(1).double().sqrt_()]
            mean = (roots[0].mean(1) + roots[1].mean(2)) / 2
            inverse = [root.clamp_(min=least).reciprocal_() for root in roots]
            return mean, (inverse[0].mean(1) + inverse[1].mean(2)) * (self._squared_error / 2)
        values = squared.cpu().numpy()
        sizes = np.array(others, np.int64)
        above, beside = np.cumsum(counts) - counts, np.cumsum(sizes) - sizes
        there = np.sqrt(np.minimum.reduceat(values, beside, axis=1).astype(np.float64))
        back = np.sqrt(np.minimum.reduceat(values, above, axis=0).astype(np.float64))

        def means(rows: Floats, columns: Floats) -> Tensor:
            first: Floats = np.add.reduceat(rows, above, axis=0) / counts[:, None]
            second: Floats = np.add.reduceat(columns, beside, axis=1) / sizes[None, :]
            return torch.from_numpy((first + second) / 2).to(self._device)

        error = means(1 / np.maximum(there, least), 1 / np.maximum(back, least))
        return means(there, back), error * self._squared_error

    def exact_sum(self, video: int, known: int, total: float) -> float:
        """Adds the distances from a video to the list without its first `known` videos, in double precision.

        The order of the sum is that of the list. Squares that cancel are taken from differences, so that equal frames
        are at 0.
        """
        one = self._content.of(video).astype(np.float64)
        own = np.square(one).sum(1)[:, None]
        while known < len(self._videos):
            stop = min(len(self._videos), known + max(1, self._most // 2 // max(1, int(self.work / len(one)))))
            part = np.array(self._videos[known:stop])
            others, counts = self._content.gathered(part).astype(np.float64), self._content.counts[part]
            squared = own + np.einsum("ij,ij->i", others, others) - 2 * one @ others.T
            for row, column in np.argwhere(squared < CANCELLED * self._largest**2):
                squared[row, column] = np.square(one[row] - others[column]).sum()
            starts = np.cumsum(counts) - counts
            there = np.sqrt(np.minimum.reduceat(squared, starts, axis=1)).mean(0)
            back = np.add.reduceat(np.sqrt(squared.min(0)), starts) / counts
            for distance in (there + back) / 2:
                total += float(distance)
            known = stop
        return total


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Squared distances, summed in parts where that makes them more exact."""
    if left.dtype == torch.float64:
        return (left @ right.T).clamp_(min=0)
    squared = left[:, :PART] @ right[:, :PART].T
    for start in range(PART, left.shape[1], PART):
        squared.addmm_(left[:, start : start + PART], right[:, start : start + PART].T)
    return squared.clamp_(min=0)

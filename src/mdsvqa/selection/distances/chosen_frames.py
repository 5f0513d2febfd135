"""Chamfer distances from some videos to the last few of a growing list, by matrix products, with bounds of error."""

from bisect import bisect_right

import numpy as np
import torch
from torch import Tensor

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.distances.bounds import SINGLE
from mdsvqa.selection.distances.chamfer import Content, Frames

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
    """

    def __init__(self, content: Content, largest: float, device: torch.device, memory: int) -> None:
        self._content = content
        self._device = device
        self._largest = largest
        self._most = max(1, min(memory // 16, CACHED * (64 if device.type == "cuda" else 1)))
        # Multiplications of one distance.
        self.work = float(content.counts.mean()) ** 2 * content.dims
        double = self.work <= FEW or content.frames.dtype == np.float64
        self._kind: type[np.floating] = np.float64 if double else np.float32
        unit = DOUBLE_UNIT if double else SINGLE
        self._rows = torch.empty((0, content.dims + 2), dtype=torch.float64 if double else torch.float32, device=device)
        self._ends = [0]
        self._videos: list[int] = []
        terms = content.dims if double else PART + -(-content.dims // PART)
        # Not 0 where all frames are.
        self._squared_error = max((terms + 10) * unit * (2 * largest) ** 2, 1e-30)
        self.computed = 0

    def __len__(self) -> int:
        return len(self._videos)

    def add(self, video: int) -> None:
        """Appends a video to the list."""
        left = self._left(self._content.of(video))
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

    def _left(self, frames: Frames) -> Tensor:
        rows = np.empty((len(frames), frames.shape[1] + 2), self._kind)
        rows[:, :-2] = frames
        rows[:, -2] = np.square(rows[:, :-2], dtype=np.float64).sum(1)
        rows[:, -1] = 1
        return torch.from_numpy(rows).to(self._device)

    def distances(self, videos: Ints, known: int) -> tuple[Floats, Floats]:
        """Distances to the list without its first `known` videos.

        Args:
            videos: indices, shape (k,).
            known: at least one video less than the list has.

        Returns:
            Distances, and the most by which each is off, both of shape (k, len(self) - known).
        """
        counts = self._content.counts[videos]
        left = self._left(self._content.gathered(videos))
        last, parts = len(self._videos), []
        while known < last:
            # As many of the list as fit, but at least one.
            most = self._ends[known] + max(1, self._most // len(left))
            stop = max(known + 1, min(last, bisect_right(self._ends, most) - 1))
            right = self._rows[self._ends[known] : self._ends[stop]]
            squared = _product(left, right)
            parts.append(self._reduced(squared, counts, self._content.counts[self._videos[known:stop]]))
            self.computed += len(videos) * (stop - known)
            known = stop
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([d for d, _ in parts], 1), np.concatenate([e for _, e in parts], 1)

    def _reduced(self, squared: Tensor, counts: Ints, others: Ints) -> tuple[Floats, Floats]:
        """Means of the roots of the least squared distances, and what they may be off by.

        The root of a + e is off by at most e / max(root of a, root of e).
        """
        least = self._squared_error**0.5
        if (counts == counts[0]).all() and (others == others[0]).all():
            grid = squared.view(len(counts), int(counts[0]), len(others), int(others[0]))
            there = grid.amin(3).cpu().numpy().astype(np.float64)
            back = grid.amin(1).cpu().numpy().astype(np.float64)

            def means(rows: Floats, columns: Floats) -> Floats:
                both: Floats = rows.mean(1) + columns.mean(2)
                return both / 2
        else:
            values = squared.cpu().numpy()
            above, beside = np.cumsum(counts) - counts, np.cumsum(others) - others
            there = np.minimum.reduceat(values, beside, axis=1).astype(np.float64)
            back = np.minimum.reduceat(values, above, axis=0).astype(np.float64)

            def means(rows: Floats, columns: Floats) -> Floats:
                first: Floats = np.add.reduceat(rows, above, axis=0) / counts[:, None]
                second: Floats = np.add.reduceat(columns, beside, axis=1) / others[None, :]
                return (first + second) / 2

        np.sqrt(there, out=there)
        np.sqrt(back, out=back)
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

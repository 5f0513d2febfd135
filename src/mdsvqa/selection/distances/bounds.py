"""Upper bounds of Chamfer distances, and of sums of them, from one vector and one number a video.

With c_x the mean of x's frames and v_x the mean squared distance of the frames from it,

    d(x, y) <= sqrt(|c_x - c_y|^2 + v_x + v_y).

Proof. The nearest frame of y is at most as far as the mean one: mean_i min_j |x_i - y_j| <= mean_ij |x_i - y_j|. The
square root is concave, so this is at most sqrt(mean_ij |x_i - y_j|^2), and the mean splits into the three terms. The
same holds from y to x, and d is the mean of both directions.

For many y at once, again because the root is concave: the sum over m of them is at most sqrt(m times the sum of the
squares), and the sum of |c_x - c_y|^2 needs only the sums of the c_y and of the |c_y|^2: one product of vectors for any
number of y.

Centers are stored in half or single precision. If the stored one is off by e_x, the triangle inequality adds
e_x + e_y to the bound.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.distances.chamfer import Content

# Half a unit in the last place, relative.
HALF, SINGLE = 2.0**-11, 2.0**-24
# The smallest step of half precision, for what is near 0.
HALF_STEP = 2.0**-25
# Numbers of a block of frames, so that it stays in a CPU's cache.
CACHED = 1 << 19
# Room for the rounding of double precision, relative to the squares that are summed.
DOUBLE = 1e-11


@dataclass(frozen=True)
class Summaries:
    """What is known of each of n videos at a glance.

    Attributes:
        centers: mean frames as stored, shape (n, dims), float32 or float16.
        offsets: most that each is away from the true mean, shape (n,).
        variances: most that the mean squared distance of the frames from it can be, shape (n,).
        squares: squared norms of the stored centers, shape (n,).
        largest: norm of the longest frame of all.
        caps: a distance that no other video's is above, shape (n,).
    """

    centers: Tensor
    offsets: Floats
    variances: Floats
    squares: Floats
    largest: float
    caps: Floats

    def __len__(self) -> int:
        return len(self.offsets)


def summarise(content: Content, device: torch.device, memory: int) -> Summaries:
    """One pass over the frames.

    Args:
        content: n videos.
        device: that holds the result.
        memory: bytes; where the centers would take more than half of it they are stored in half precision, and the
            frames of a block take an eighth.
    """
    n, dims = len(content), content.dims
    kind = torch.float16 if n * dims * 4 > memory // 2 else torch.float32
    centers = torch.empty((n, dims), dtype=kind, device=device)
    mean_squares = torch.empty(n, device=device)
    longest = torch.zeros((), device=device)
    most = memory // 64 if device.type == "cuda" else min(memory // 64, CACHED)
    for part in content.blocks(max(1, most // max(dims, 1))):
        counts = torch.from_numpy(content.counts[part]).to(device)
        frames = _frames(content, part, device)
        norms = torch.linalg.vector_norm(frames, dim=1)
        longest = torch.maximum(longest, norms.amax())
        centers[part] = _means(frames, counts)
        mean_squares[part] = _means(norms.square()[:, None], counts)[:, 0]
    largest = float(longest) * (1 + 1e-6)
    if not np.isfinite(largest):
        raise ValueError("a frame feature is not finite")
    squares = torch.cat([c.double().square().sum(1) for c in centers.split(CACHED // 64)]).cpu().numpy()
    offsets, variances = _measured(squares, mean_squares.cpu().numpy().astype(np.float64), content.counts, kind, dims)
    return Summaries(centers, offsets, variances, squares, largest, _caps(centers, offsets, variances, largest))


def _measured(
    squares: Floats, mean_squares: Floats, counts: Ints, kind: torch.dtype, dims: int
) -> tuple[Floats, Floats]:
    """Offsets and variances of `Summaries`.

    Args:
        squares: squared norms of the centers as stored, shape (n,).
        mean_squares: of the frames' norms, shape (n,).
        counts: of frames, shape (n,).
        kind: in which the centers are stored.
        dims: of a frame.
    """
    norms: Floats = np.sqrt(squares)
    # Of the sum of the frames and of their cast to single precision.
    offsets: Floats = (2.0 * SINGLE) * counts.astype(np.float64) * np.sqrt(mean_squares)
    if kind == torch.float16:
        offsets += 2 * HALF * norms + HALF_STEP * dims**0.5
    # mean |x_i|^2 = |c|^2 + v, and c is off by `offsets`; then what the squares themselves may be off by.
    spread: Floats = np.maximum(mean_squares - squares + 2.0 * offsets * norms, 0.0)
    spread += (4.0 * SINGLE) * (counts.astype(np.float64) + dims + 8) * mean_squares
    return offsets, spread


def _frames(content: Content, part: slice, device: torch.device) -> Tensor:
    frames = content.gathered(np.arange(part.start, part.stop))
    # A memory map may be read-only, which torch warns of; nothing writes to it here.
    copied = np.array(frames) if not frames.flags.writeable else np.ascontiguousarray(frames)
    return torch.from_numpy(copied).to(device).float()


def _means(rows: Tensor, counts: Tensor) -> Tensor:
    """Means of consecutive rows."""
    if bool((counts == counts[0]).all()):
        return rows.view(len(counts), int(counts[0]), -1).mean(1)
    sums = torch.zeros((len(counts), rows.shape[1]), dtype=rows.dtype, device=rows.device)
    owners = torch.repeat_interleave(torch.arange(len(counts), device=rows.device), counts)
    return sums.index_add_(0, owners, rows) / counts[:, None]


def _caps(centers: Tensor, offsets: Floats, variances: Floats, largest: float) -> Floats:
    """By the distances of the centers from their common mean, and by the longest frame: twice its norm at most."""
    middle = torch.stack([c.double().sum(0) for c in centers.split(CACHED // 64)]).sum(0) / len(centers)
    radius = torch.cat([(c.double() - middle).norm(dim=1) for c in centers.split(CACHED // 64)]).cpu().numpy()
    radius = (radius + offsets) * (1 + 1e-9)
    caps: Floats = np.sqrt((radius + radius.max()) ** 2 + variances + variances.max())
    return np.minimum(caps, 2 * largest) + DOUBLE


class SumBounds:
    """Bounds of the sums of distances from each video to the last few of a growing list.

    Args:
        summaries: of all videos.

    Attributes:
        products: what `dot` gave for each video when its sum was last known, shape (n,).
    """

    def __init__(self, summaries: Summaries) -> None:
        self._summaries = summaries
        self._center = torch.zeros(summaries.centers.shape[1], dtype=torch.float64, device=summaries.centers.device)
        # By the length of the list: sums of the squares and variances of its videos, and of their offsets.
        self._sums = np.zeros((1, 2))
        self._length = 0
        self.products = np.zeros(len(summaries))

    def add(self, video: int) -> None:
        """Appends a video to the list."""
        s = self._summaries
        self._center = self._center + s.centers[video].double()
        if self._length + 1 == len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
        step = (s.squares[video] + s.variances[video], s.offsets[video])
        self._sums[self._length + 1] = self._sums[self._length] + step
        self._length += 1

    def dot(self, videos: Ints) -> Floats:
        """Products of centers with the sum of the centers of the list, shape (k,)."""
        centers = self._summaries.centers[torch.from_numpy(videos).to(self._center.device)]
        found: Floats = (centers.double() @ self._center).cpu().numpy()
        return found

    def since(self, videos: Ints, known: Ints) -> Floats:
        """Bounds of the sums of distances to the list without its first `known` videos, shape (k,).

        Args:
            videos: indices, shape (k,).
            known: for each, shape (k,); `products` must hold what `dot` gave when the list was that long.
        """
        s = self._summaries
        number = self._length - known
        sums = self._sums[self._length] - self._sums[known]
        between = self.dot(videos) - self.products[videos]
        total = number * (s.squares[videos] + s.variances[videos]) - 2 * between + sums[:, 0]
        total = np.maximum(total, 0) + DOUBLE * self._length * s.largest**2
        bound: Floats = np.sqrt(number * total) + number * s.offsets[videos] + sums[:, 1]
        return bound

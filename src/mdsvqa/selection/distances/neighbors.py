"""The nearest videos of every video of a large pool: candidates by mean frames, then Chamfer distances."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.distances.chamfer import Content

# Videos up to which each is compared with every other one. 50,000 of 512 numbers: a minute on one core.
MOST_EXACT_CPU, MOST_EXACT_GPU = 50_000, 1_000_000
# Numbers of a block of products.
BLOCK_CPU, BLOCK_GPU = 1 << 23, 1 << 28
# Of the inverted file: lists for each root of the pool's size, those that are looked into, and what its centers are
# learned from.
LISTS, LOOKED_INTO, TO_LEARN, ROUNDS = 4, 8, 64, 10
# Neighbors of a video.
FEWEST, MOST, SHARE = 64, 512, 4


def neighbors_wanted(videos: int, budget: int) -> int:
    """How many neighbors of each video a choice looks at.

    About (n / budget) log(n / budget) cost a factor of 1 + alpha at most (Lindgren, Wu and Dimakis, 2016); four times
    as many as there are videos for each chosen one lose nothing that could be measured (benchmarks/selection.py).

    >>> neighbors_wanted(1_000_000, 50_000), neighbors_wanted(1_000_000, 1000), neighbors_wanted(50, 5)
    (80, 512, 50)
    """
    return min(videos, MOST, max(FEWEST, -(-SHARE * videos // max(budget, 1))))


@dataclass(frozen=True)
class Graph:
    """Which videos are near which, by the video that may be chosen: what it would cover.

    Attributes:
        starts: of each video's entries, shape (n + 1,).
        covers: the videos among whose nearest it is, ascending for each, int32.
        distances: Chamfer distances to them in units of `unit`, float16.
        radius: of each video to the farthest of its nearest, in the same unit, shape (n,), float32.
        unit: about the mean distance, so that half the precision is enough in any space.
    """

    starts: Ints
    covers: NDArray[np.int32]
    distances: NDArray[np.float16]
    radius: NDArray[np.float32]
    unit: float = 1.0

    def __len__(self) -> int:
        return len(self.radius)

    def of(self, video: int) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
        """The videos that one would cover, and its distances to them."""
        part = slice(self.starts[video], self.starts[video + 1])
        return self.covers[part], self.distances[part]

    def among(self, videos: Ints) -> "Graph":
        """The same where only some videos, ascending, may be chosen; all are to be covered."""
        lengths = np.zeros(len(self), np.int64)
        lengths[videos] = np.diff(self.starts)[videos]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.repeat(self.starts[videos] - starts[videos], lengths[videos]) + np.arange(starts[-1])
        return Graph(starts, self.covers[entries], self.distances[entries], self.radius, self.unit)


def neighbor_graph(content: Content, k: int, device: str = "cpu", threads: int | None = None) -> Graph:
    """The k nearest of each video, itself among them.

    Candidates are the k nearest mean frames, exact by blocks of products up to MOST_EXACT_CPU videos (on a GPU
    MOST_EXACT_GPU), beyond that by an inverted file of FAISS. Their distances are Chamfer distances. 6 k n bytes.

    Args:
        content: n videos; may be mapped.
        k: at most n.
        device: that multiplies, "cpu" or "cuda".
        threads: of FAISS; None for one each core.

    Raises:
        InputError: FAISS is needed and not installed.
    """
    n = len(content)
    # Before the minutes that mean frames take.
    faiss = None if n <= (MOST_EXACT_GPU if device == "cuda" else MOST_EXACT_CPU) else _faiss(n)
    means = half_means(content)
    near = nearest(means, means, k, device, own=True) if faiss is None else _by_inverted_file(faiss, means, k, threads)
    del means
    here, everyone = near >= 0, np.arange(n, dtype=np.int32)
    # Where fewer were found, the video itself stands in the place of the others.
    np.copyto(near, everyone[:, None], where=~here)
    some = np.unique(np.linspace(0, n - 1, 256).round().astype(np.int64))
    unit = float(pair_distances(content, some, near[some], device).mean()) or 1.0
    found = pair_distances(content, everyone, near, device, np.float16, unit)
    found[near == everyone[:, None]] = 0
    radius = found.max(1).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(here.sum(1))])
    # By the video that is near instead of the one it is near to. Sparse arrays know no numbers of two bytes but whole.
    kept = (found[here].view(np.uint16), near[here], starts)
    del found, near, here
    inverse = csr_array(kept, shape=(n, n)).tocsc()
    return Graph(inverse.indptr.astype(np.int64), inverse.indices, inverse.data.view(np.float16), radius, unit)


def half_means(content: Content) -> NDArray[np.float16]:
    """Mean frames in half precision, shape (n, dims), in units of the largest number among them."""
    means = content.means(np.float32)
    means /= max(float(np.abs(means).max(initial=0)), 1e-30)
    return means.astype(np.float16)


def nearest(
    asked: NDArray[np.floating], among: NDArray[np.floating], k: int, device: str = "cpu", *, own: bool = False
) -> NDArray[np.int32]:
    """The k nearest of some points to each of others by Euclidean distance, in no order, shape (len(asked), k).

    Args:
        asked, among: shapes (m, dims) and (n, dims).
        k: at most n.
        device: that multiplies.
        own: the two are the same, and each point is among its own nearest, whatever coincides with it.
    """
    points = torch.from_numpy(np.ascontiguousarray(among)).to(device).float()
    halves = (points**2).sum(1) / 2
    found = np.empty((len(asked), k), np.int32)
    side = max(1, (BLOCK_GPU if device == "cuda" else BLOCK_CPU) // max(len(among), 1))
    for first in range(0, len(asked), side):
        part = torch.from_numpy(np.ascontiguousarray(asked[first : first + side])).to(device).float()
        # Half the squared distance less what is the same for all.
        farness = torch.addmm(halves, part, points.T, alpha=-1)
        if own:
            rows = torch.arange(len(part), device=device)
            farness[rows, first + rows] = -torch.inf
        found[first : first + side] = farness.topk(k, 1, largest=False, sorted=False).indices.cpu().numpy()
    return found


def pair_distances(
    content: Content,
    videos: Ints | NDArray[np.int32],
    others: NDArray[np.integer[Any]],
    device: str = "cpu",
    precision: type[np.floating] = np.float32,
    unit: float = 1.0,
) -> NDArray[np.floating]:
    """Chamfer distances from each of m videos to k others of its own, shape (m, k), computed in single precision.

    Args:
        content: of all.
        videos: shape (m,).
        others: shape (m, k).
        device: that multiplies.
        precision, unit: of the result.
    """
    found = np.empty(others.shape, precision)
    if found.size == 0:
        return found
    longest = int(content.counts.max())
    most = BLOCK_GPU if device == "cuda" else BLOCK_CPU
    side = max(1, most // (others.shape[1] * longest * content.dims))
    for first in range(0, len(videos), side):
        part = slice(first, first + side)
        found[part] = _pairs(content, videos[part], others[part], device) / unit
    return found


def _pairs(
    content: Content, videos: Ints | NDArray[np.int32], others: NDArray[np.integer[Any]], device: str
) -> NDArray[np.float32]:
    x, of_x = _frames(content, videos, device)
    y, of_y = _frames(content, others.ravel(), device)
    rows, k, there = len(videos), others.shape[1], y.shape[1]
    y, of_y = y.reshape(rows, k * there, -1), of_y.reshape(rows, k, there)
    squared = torch.baddbmm((y**2).sum(2)[:, None], x, y.transpose(1, 2), alpha=-2)
    squared += (x**2).sum(2)[:, :, None]
    squared = squared.view(rows, -1, k, there)
    # Of squares, which are in the order of distances: fewer roots.
    onward = (squared.amin(3).clamp_(min=0).sqrt_() * of_x[:, :, None]).sum(1)
    back = (squared.amin(1).clamp_(min=0).sqrt_() * of_y).sum(2)
    return ((onward + back) / 2).cpu().numpy()


def _frames(content: Content, videos: NDArray[np.integer[Any]], device: str) -> tuple[Tensor, Tensor]:
    """Frames of videos, the last one again where one is shorter than the longest, and the weight of each in a mean."""
    counts = content.counts[videos]
    places = np.arange(int(counts.max()))[None, :]
    rows = content.starts[videos][:, None] + np.minimum(places, counts[:, None] - 1)
    weights = ((places < counts[:, None]) / counts[:, None]).astype(np.float32)
    return torch.from_numpy(content.frames[rows]).to(device).float(), torch.from_numpy(weights).to(device)


def _faiss(videos: int) -> Any:
    if find_spec("faiss") is None:
        raise InputError(
            f"{videos} videos: the neighbors of more than {MOST_EXACT_CPU} on a CPU, and of more than {MOST_EXACT_GPU} "
            "on a GPU, are found by FAISS. Install it: pip install 'mdsvqa[large]'."
        )
    import faiss  # noqa: PLC0415

    return faiss


def _by_inverted_file(faiss: Any, means: NDArray[np.float16], k: int, threads: int | None) -> NDArray[np.int32]:
    n, dims = means.shape
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads or before)
    try:
        lists = max(1, round(LISTS * n**0.5))
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(dims), dims, lists, faiss.ScalarQuantizer.QT_fp16)
        index.by_residual = False
        index.cp.niter, index.cp.max_points_per_centroid, index.cp.seed = ROUNDS, TO_LEARN, 1
        learned = np.sort(np.random.default_rng(0).permutation(n)[: TO_LEARN * lists])
        index.train(means[learned].astype(np.float32))
        side = max(1, BLOCK_CPU // dims)
        for first in range(0, n, side):
            index.add(means[first : first + side].astype(np.float32))
        # Enough lists to hold so many neighbors several times over.
        index.nprobe = min(lists, max(LOOKED_INTO, -(-LOOKED_INTO * k * lists // n)))
        found = np.empty((n, k), np.int32)
        for first in range(0, n, side):
            found[first : first + side] = index.search(means[first : first + side].astype(np.float32), k)[1]
    finally:
        faiss.omp_set_num_threads(before)
    own = np.arange(n, dtype=np.int32)
    missing = ~(found == own[:, None]).any(1)
    found[missing, -1] = own[missing]
    return found

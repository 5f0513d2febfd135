"""How near a pool's videos are to the nearest chosen one, and how much nearer another one would bring them."""

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats
from mdsvqa.runtime.devices import torch_device
from mdsvqa.runtime.threads import torch_threads
from mdsvqa.selection.base import Pool
from mdsvqa.selection.distances.matrices import distance_table
from mdsvqa.selection.distances.neighbors import Graph, neighbor_graph, neighbors_wanted
from mdsvqa.selection.settings import SelectionSettings

# Entries of a graph that are looked at at a time.
BLOCK = 1 << 22
# By how much an old gain is raised that was summed in another order.
SLACK = 1e-6


class Coverage(Protocol):
    """What the rules of facility location ask."""

    def gain(self, video: int) -> float:
        """By how much the mean distance to the nearest chosen video falls if this one is chosen."""
        ...

    def best(self, mask: Flags, prior: Floats | float = 0.0, weight: float = 1.0) -> tuple[int, float]:
        """The video of largest prior + weight * gain, the first among equals, and its gain.

        Args:
            mask: whether a video may be chosen, shape (n,); some are.
            prior: of each video, shape (n,), or of all.
            weight: at least 0.
        """
        ...

    def add(self, video: int) -> None:
        """Counts a video as chosen."""
        ...

    def value(self) -> float:
        """By how much the mean distance has fallen since the start."""
        ...

    def gains(self) -> Floats:
        """Of every video now, shape (n,)."""
        ...


class _Lazy:
    """Lazy greedy: a gain never rises from one step to the next, so an old one is a bound, and only videos whose bound
    is the largest are looked at again.

    Attributes:
        bounds: of gains, shape (n,).
        known: which of them are gains of this step.
    """

    bounds: Floats
    known: set[int]

    def gain(self, video: int) -> float:
        """See `Coverage`."""
        raise NotImplementedError

    def best(self, mask: Flags, prior: Floats | float = 0.0, weight: float = 1.0) -> tuple[int, float]:
        """See `Coverage`."""
        priors = np.broadcast_to(prior, mask.shape)
        values = np.where(mask, priors + weight * self.bounds, -np.inf)
        while (best := int(values.argmax())) not in self.known:
            self.bounds[best] = self.gain(best)
            self.known.add(best)
            values[best] = priors[best] + weight * self.bounds[best]
        return best, float(self.bounds[best])


class TableCoverage(_Lazy):
    """`Coverage` by the distances of all pairs.

    Args:
        distances: shape (n, n).
        chosen: what earlier rounds chose.
    """

    def __init__(self, distances: np.ndarray[tuple[int, ...], np.dtype[np.floating]], chosen: Sequence[int]) -> None:
        self.distances = distances
        # From each video to the nearest chosen one; the largest distance where none is, which is similarity 0.
        self.nearest = np.full(len(distances), distances.max(initial=0), distances.dtype)
        for video in chosen:
            np.minimum(self.nearest, distances[video], out=self.nearest)
        self._start = self.nearest.sum(dtype=np.float64)
        self.known = set(range(len(distances)))
        self.bounds = self.gains()

    def gain(self, video: int) -> float:
        """See `Coverage`."""
        distances = self.distances[video]
        # Always summed in the same order, so that no gain rises by rounding from one step to the next.
        return float((np.maximum(self.nearest, distances) - distances).sum()) / len(distances)

    def add(self, video: int) -> None:
        """See `Coverage`."""
        np.minimum(self.nearest, self.distances[video], out=self.nearest)
        self.known.clear()

    def value(self) -> float:
        """See `Coverage`."""
        return float(self._start - self.nearest.sum(dtype=np.float64)) / max(len(self.nearest), 1)

    def gains(self) -> Floats:
        """See `Coverage`."""
        return np.array([self.gain(video) for video in range(len(self.distances))])


class GraphCoverage(_Lazy):
    """`Coverage` by the nearest videos of each: what lies beyond them counts as far as the farthest of them.

    So a look-up is as long as the video has others that it is near to. Where nothing but the gain counts, bounds are in
    a heap.

    Args:
        graph: of n videos.
        chosen: what earlier rounds chose.
        reopens: whether a video that may not be chosen may be chosen later, as limits by group can have it.

    Attributes:
        nearest: distance of each video to the nearest chosen one, at most its radius and in the same unit, shape (n,).
    """

    def __init__(self, graph: Graph, chosen: Sequence[int], *, reopens: bool = False) -> None:
        self.graph = graph
        self._scale = graph.unit / len(graph)
        self.nearest = graph.radius.copy()
        for video in chosen:
            self._cover(int(video))
        self._start = self.nearest.sum(dtype=np.float64)
        self.known = set()
        self.bounds = self.gains() * (1 + SLACK)
        # Of the bounds, the largest first; None before the first choice.
        self._heap: list[tuple[float, int]] | None = None
        self._reopens = reopens

    def gain(self, video: int) -> float:
        """See `Coverage`."""
        covers, distances = self.graph.of(video)
        falls = self.nearest[covers] - distances
        return self._scale * float(np.maximum(falls, 0, out=falls).sum(dtype=np.float64))

    def best(self, mask: Flags, prior: Floats | float = 0.0, weight: float = 1.0) -> tuple[int, float]:
        """See `Coverage`."""
        if self._reopens or np.ndim(prior) or weight != 1:
            return super().best(mask, prior, weight)
        if self._heap is None:
            open_ = np.flatnonzero(mask)
            self._heap = list(zip((-self.bounds[open_]).tolist(), open_.tolist(), strict=True))
            heapify(self._heap)
        while True:
            bound, video = self._heap[0]
            if not mask[video]:
                heappop(self._heap)
            elif video in self.known and -bound == self.bounds[video]:
                return video, -bound
            else:
                if video not in self.known:
                    self.bounds[video] = self.gain(video)
                    self.known.add(video)
                heapreplace(self._heap, (-float(self.bounds[video]), video))

    def add(self, video: int) -> None:
        """See `Coverage`."""
        self._cover(video)
        self.known.clear()

    def _cover(self, video: int) -> None:
        covers, distances = self.graph.of(video)
        self.nearest[covers] = np.minimum(self.nearest[covers], distances)

    def value(self) -> float:
        """See `Coverage`."""
        return self._scale * float(self._start - self.nearest.sum(dtype=np.float64))

    def gains(self) -> Floats:
        """See `Coverage`."""
        graph, sums = self.graph, np.zeros(len(self.graph))
        ends = graph.starts[1:]
        first = 0
        while first < len(graph):
            last = max(first + 1, int(np.searchsorted(ends, graph.starts[first] + BLOCK, side="right")))
            part = slice(graph.starts[first], graph.starts[last])
            falls = np.maximum(self.nearest[graph.covers[part]] - graph.distances[part], 0)
            whose = np.repeat(np.arange(last - first), np.diff(graph.starts[first : last + 1]))
            sums[first:last] = np.bincount(whose, falls, last - first)
            first = last
        return self._scale * sums


def coverage_of(pool: Pool, budget: int, settings: SelectionSettings) -> TableCoverage | GraphCoverage:
    """The distances of all pairs where a table of them fits, else the nearest videos of each.

    Raises:
        InputError: FAISS is needed and not installed.
    """
    table = distance_table(pool.content)
    if table is not None:
        return TableCoverage(table, pool.chosen)
    with torch_threads(settings.threads):
        k = neighbors_wanted(len(pool), budget)
        graph = neighbor_graph(pool.content, k, str(torch_device(settings.device)), settings.threads)
    return GraphCoverage(graph, pool.chosen, reopens=pool.limits.least > 0)

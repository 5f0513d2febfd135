"""Distances between many videos of a pool, as fine as there is time and memory for."""

import numpy as np
from numpy.typing import NDArray

from mdsvqa.selection.distances.chamfer import Content

# Pairs of frames that a choice may compare: some seconds to a few minutes on one core, by the size of a frame.
MOST_PAIRS = 1 << 30
# Of a table of distances, which leaves a choice under 2 GB: all pairs of 14,142 videos in single precision.
TABLE_BYTES = 800_000_000
# Numbers of a block of a product: large enough for its speed, small beside the table.
BLOCK = 1 << 22
# Videos of a block of a table.
SIDE = 1024


def affordable(content: Content, others: int) -> Content:
    """What to measure Chamfer distances on when every video is compared with some others.

    Args:
        content: n videos.
        others: how many videos each is compared with.

    Returns:
        The content itself where that compares at most MOST_PAIRS pairs of frames, else its `mean_frames`.

    >>> content = Content.stack([np.array([[1.0], [3.0]]), np.array([[5.0]])])
    >>> affordable(content, 2) is content
    True
    """
    frames = int(content.counts.sum())
    return content if frames * (others * frames / max(len(content), 1)) <= MOST_PAIRS else mean_frames(content)


def mean_frames(content: Content) -> Content:
    """One frame a video, the mean of all of it. Chamfer distances between these are Euclidean distances."""
    means = content.means(_precision(content))
    return Content(means, np.arange(len(means)), np.ones(len(means), np.int64))


def distance_table(content: Content) -> NDArray[np.floating] | None:
    """Distances between all of n videos, shape (n, n): Chamfer distances, or where these would take too long (see
    `affordable`) those of mean frames; None where the table would have more than TABLE_BYTES."""
    n = len(content)
    if n * n * np.dtype(_precision(content)).itemsize > TABLE_BYTES:
        return None
    return chamfer_table(affordable(content, n))


def chamfer_table(content: Content) -> NDArray[np.floating]:
    """Chamfer distances between all of n videos by matrix products, shape (n, n); in double precision where features
    are stored in it, else in single."""
    table = _one_way(content, content)
    for first in range(0, len(table), SIDE):
        part = slice(first, first + SIDE)
        both = (table[part, first:] + table[first:, part].T) / 2
        table[part, first:] = both
        table[first:, part] = both.T
    return table


def _one_way(content: Content, others: Content) -> NDArray[np.floating]:
    """From every one of m others to every one of n videos, the mean distance of its frames to the nearest frame there,
    shape (n, m)."""
    precision = _precision(content)
    there = others.gathered(np.arange(len(others))).astype(precision)
    there_squared = np.einsum("ij,ij->i", there, there)
    starts = np.cumsum(others.counts) - others.counts
    table = np.empty((len(content), len(others)), precision)
    for part in content.blocks(max(1, BLOCK // max(len(there), 1))):
        frames = content.gathered(np.arange(part.start, part.stop)).astype(precision)
        products = frames @ there.T
        products *= -2
        products += np.einsum("ij,ij->i", frames, frames)[:, None]
        ends = np.cumsum(content.counts[part])
        for row, (end, count) in enumerate(zip(ends, content.counts[part], strict=True), part.start):
            squared = products[end - count : end].min(0) + there_squared
            table[row] = np.add.reduceat(np.sqrt(np.maximum(squared, 0)), starts)
    table /= others.counts
    return table


def _precision(content: Content) -> type[np.floating]:
    return np.float64 if content.frames.dtype == np.float64 else np.float32

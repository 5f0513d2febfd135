"""Parts of the labeled source that play the unlabeled target in a rehearsal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError

# Videos that a pseudo-target needs, two thirds of them for its pool, and that must be left to train f.
FEWEST = 24
# Of the source, at each end of a direction.
END = 1 / 3
DIRECTIONS = 3


@dataclass(frozen=True)
class PseudoTarget:
    """A part of the source.

    Attributes:
        name: of the part.
        members: indices of its videos.
        others: indices of those that f learns from.
        weight: in every mean over pseudo-targets; all weights sum to 1.
    """

    name: str
    members: Ints
    others: Ints
    weight: float


# The videos of a part, and those that f learns from.
Part = tuple[Ints, Ints]


def ends_of_directions(content: Floats) -> dict[str, Part]:
    """The two outer thirds of the source along each main direction of its content; f learns from the other end.

    Left with the videos in between, or with the neighbours that a cluster has on every side, f knows most of the part
    already: on YouTube-UGC and KoNViD-1k labels then bought little, and no rule could show what it is worth.

    Args:
        content: of the source's videos, shape (n, dims).

    Returns:
        By name, such as "direction 1 low".
    """
    n = len(content)
    places = PCA(min(DIRECTIONS, n, content.shape[1]), svd_solver="full").fit_transform(content)
    third = round(END * n)
    found = {}
    for number, place in enumerate(places.T, 1):
        order = np.argsort(place, kind="stable")
        low, high = np.sort(order[:third]), np.sort(order[n - third :])
        found[f"direction {number} low"], found[f"direction {number} high"] = (low, high), (high, low)
    return found


def clusters(content: Floats, count: int, seed: int) -> dict[str, Part]:
    """k-means clusters of the source's content, the largest first; f learns from all others.

    Args:
        content: shape (n, dims).
        count, seed: of the clustering.
    """
    count = min(count, len(np.unique(content, axis=0)))
    labels = KMeans(count, n_init=4, random_state=seed).fit(content).labels_
    parts = sorted((np.flatnonzero(labels == code) for code in range(count)), key=lambda part: -len(part))
    return {f"cluster {number}": _and_the_rest(part, len(content)) for number, part in enumerate(parts, 1)}


def groups(values: Sequence[str | None], column: str) -> dict[str, Part]:
    """The source's videos by what a column says of them, such as their category; f learns from all others.

    Args:
        values: one a video, None where the column says nothing.
        column: its name.
    """
    names = sorted({value for value in values if value is not None})
    members = {name: np.array([i for i, v in enumerate(values) if v == name], np.int64) for name in names}
    return {f"{column} {name}": _and_the_rest(part, len(values)) for name, part in members.items()}


def _and_the_rest(members: Ints, n: int) -> Part:
    return members, np.setdiff1d(np.arange(n), members)


def pseudo_targets(parts: Mapping[str, Part], content: Floats, pool: Floats) -> list[PseudoTarget]:
    """The parts that are large enough, and how much each counts.

    Half of the weight is shared equally; the other half goes by the share of the real pool's videos whose nearest
    source video is in the part.

    Args:
        parts: by name; they may overlap.
        content: of the source's n videos, shape (n, dims).
        pool: of the real pool's, shape (m, dims); m = 0 weighs all parts alike.

    Raises:
        InputError: fewer than two parts are large enough and leave enough of the source.
    """
    n = len(content)
    fit = {name: part for name, part in parts.items() if min(map(len, part)) >= FEWEST}
    if len(fit) < 2:
        found = ", ".join(f"{name} ({len(members)})" for name, (members, _) in parts.items()) or "none"
        raise InputError(
            f"a rehearsal needs two or more parts of the source of at least {FEWEST} labeled videos each, that leave "
            f"{FEWEST} others; found {found} of {n} videos."
        )
    near = np.zeros(len(fit))
    if len(pool):
        nearest = KDTree(content).query(pool)[1]
        used = np.bincount(nearest, minlength=n)
        near = np.array([used[members].sum() for members, _ in fit.values()], np.float64)
    near = near / near.sum() if near.any() else np.ones(len(fit)) / len(fit)
    weights = (near + 1 / len(fit)) / 2
    return [PseudoTarget(name, *fit[name], float(weight)) for name, weight in zip(fit, weights, strict=True)]

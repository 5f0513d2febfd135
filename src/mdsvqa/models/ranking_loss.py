"""Ranking by pairs: what difficulty/ and finetuning/ both learn with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import ndtr
from torch import Tensor

from mdsvqa.runtime.arrays import Flags, Floats, Ints


def fidelity_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """How far a predicted preference lies from the true one, pair by pair.

    Args:
        predicted: probability that the first of a pair ranks higher, in [0, 1].
        target: the true preference, in [0, 1], the same shape.

    Returns:
        1 - sqrt(p p_hat) - sqrt((1 - p)(1 - p_hat)) of each pair, in [0, 1]; 0 when they agree.

    Source: Tsai et al. (2007), FRank; equation 4 of Zhang et al. (2021), UNIQUE.

    >>> fidelity_loss(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    # sqrt(p) * sqrt(p_hat), not sqrt(p * p_hat): where p is 0 the latter's gradient is 0 * infinity. The clamp keeps
    # the gradient finite where p_hat has rounded to 0 or 1.
    tiny = torch.finfo(predicted.dtype).tiny
    agree = torch.sqrt(target) * torch.sqrt(predicted.clamp_min(tiny))
    disagree = torch.sqrt(1 - target) * torch.sqrt((1 - predicted).clamp_min(tiny))
    return (1 - agree - disagree).clamp_min(0)


def pairs_within(groups: Tensor, most: int | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """All pairs of items that share a group: labels of two data sets are never compared.

    Args:
        groups: integer group of each item, shape (n,).
        most: of each group at most this many pairs, drawn uniformly without replacement.
        seed: of that draw.

    Returns:
        First and second index of each pair, two int64 tensors of one shape (pairs,), the first the smaller.

    >>> first, second = pairs_within(torch.tensor([0, 1, 0, 1]))
    >>> list(zip(first.tolist(), second.tolist()))
    [(0, 2), (1, 3)]
    """
    generator = torch.Generator().manual_seed(seed)
    firsts, seconds = [], []
    for group in torch.unique(groups):
        members = torch.nonzero(groups == group).flatten()
        first, second = torch.triu_indices(len(members), len(members), offset=1)
        if most is not None and len(first) > most:
            kept = torch.randperm(len(first), generator=generator)[:most]
            first, second = first[kept], second[kept]
        firsts.append(members[first])
        seconds.append(members[second])
    return torch.cat(firsts), torch.cat(seconds)


def group_weights(groups: Tensor) -> Tensor:
    """Weights that sum to 1, every group the same in all, so that a large data set does not drown a small one.

    Args:
        groups: integer group of each item, shape (n,), n >= 1.

    Returns:
        Shape (n,), float64.

    >>> group_weights(torch.tensor([0, 0, 1])).tolist()
    [0.25, 0.25, 0.5]
    """
    _, code, count = torch.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (count[code].double() * len(count))


@dataclass(frozen=True)
class WeighedPairs:
    """Pairs of which the first should rank above the second, for `fidelity_of`.

    Attributes:
        better, worse: indices of the two of each pair, shape (pairs,).
        weights: of each pair's loss, shape (pairs,).
        constant: of the loss, from pairs that are equal.
    """

    better: Ints
    worse: Ints
    weights: Floats
    constant: float

    @classmethod
    def within(
        cls,
        truth: Floats,
        groups: Ints,
        most: int | None,
        seed: int,
        new: Flags | None = None,
        target_weight: float = 0.5,
    ) -> "WeighedPairs":
        """Pairs of items that share a group, the larger truth first; every group the same weight in all.

        A pair of equals stands twice, once each way, with weight sqrt(1/2): up to a constant that is its loss.

        Args:
            truth: of n items, shape (n,).
            groups: shape (n,).
            most, seed: see `pairs_within`.
            new: of each item, the same throughout a group: the new groups share `target_weight` of all weight, the
                others the rest; None makes no difference between them, and neither does one side without pairs.
            target_weight: in [0, 1].
        """
        codes = torch.from_numpy(groups)
        first, second = (index.numpy() for index in pairs_within(codes, most, seed))
        weights = group_weights(codes[first]).numpy() if len(first) else np.empty(0)
        if new is not None and len(np.unique(new[first])) == 2:
            share = float(weights[new[first]].sum())
            weights = weights * np.where(new[first], target_weight / share, (1 - target_weight) / (1 - share))
        above, below = truth[first] > truth[second], truth[first] < truth[second]
        equal = ~(above | below)
        half = np.sqrt(0.5) * weights[equal]
        return cls(
            np.concatenate([first[above], second[below], first[equal], second[equal]]),
            np.concatenate([second[above], first[below], second[equal], first[equal]]),
            np.concatenate([weights[above], weights[below], half, half]),
            float((1 - 2 * np.sqrt(0.5)) * weights[equal].sum()),
        )

    def __len__(self) -> int:
        return len(self.better)


def fidelity_of(differences: Floats, pairs: WeighedPairs, variance: float = 1.0) -> tuple[float, Floats]:
    """The weighted sum of fidelity losses of Thurstone's probabilities, and its gradient: several times faster than by
    `fidelity_loss` and automatic differentiation.

    Args:
        differences: score of the better minus score of the worse of each pair, shape (pairs,).
        pairs: the pairs.
        variance: of each reading.

    Returns:
        The loss, at least 0, and its derivative by each difference, shape (pairs,).

    Source: as `fidelity_loss` and `thurstone_probability`.
    """
    scale = np.sqrt(2 * variance)
    u = differences / scale
    # Below it the density is 0 as well.
    root = np.sqrt(np.maximum(ndtr(u), np.finfo(np.float64).tiny))
    loss = float(pairs.weights @ (1 - root)) + pairs.constant
    density = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
    return loss, -pairs.weights * density / (2 * scale * root)


def minimise(objective: Callable[[Floats], tuple[float, Floats]], size: int, steps: int) -> Floats:
    """Parameters at which a smooth objective is small, by L-BFGS from zero.

    Args:
        objective: from parameters (size,) to its value and gradient.
        size: number of parameters.
        steps: at most this many iterations.

    Returns:
        Shape (size,).

    >>> minimise(lambda x: (((x - 2) ** 2).sum(), 2 * (x - 2)), size=2, steps=20).round(6).tolist()
    [2.0, 2.0]
    """
    return minimize(objective, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": steps}).x

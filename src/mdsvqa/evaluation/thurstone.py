"""Thurstone's model of pairs: how often one of two noisy readings is above the other."""

import torch
from torch import Tensor


def thurstone_probability(x: Tensor, y: Tensor, variance: Tensor | float = 1.0) -> Tensor:
    """Probability that x ranks above y when both are read with Gaussian noise.

    Args:
        x, y: scores, any broadcastable shapes.
        variance: of each reading; a scalar or a shape that broadcasts with x and y. Where the two differ, their mean.

    Returns:
        Values in [0, 1] of the broadcast shape.

    Source: Thurstone (1927), case V; as used for f in Zou et al. (2026), section 3.

    >>> thurstone_probability(torch.tensor(3.0), torch.tensor(3.0)).item()
    0.5
    """
    return torch.special.ndtr((x - y) / torch.sqrt(torch.as_tensor(2.0 * variance, dtype=x.dtype)))


def preference(x: Tensor, y: Tensor) -> Tensor:
    """What the truth says of a pair: 1 where x is above y, 0.5 where they are equal, 0 where x is below.

    >>> preference(torch.tensor([4.0, 2.0, 1.0]), torch.tensor([2.0, 2.0, 2.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return (torch.sign(x - y) + 1) / 2

"""MC dropout: how much f's score varies when dropout stays on, for any torch network that has it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError


def mc_dropout(
    network: nn.Module,
    read: Callable[[], Floats],
    passes: int,
    seed: int,
    spread: Callable[[Sequence[Floats]], Floats] = lambda scores: np.std(scores, 0, ddof=1),
) -> Floats:
    """Standard deviation of a network's scores over passes with dropout on.

    Args:
        network: has dropout layers; the rest of it stays as it is (batch normalisation in evaluation, say), and all of
            it is left as it was found.
        read: scores all videos with the network, shape (n,).
        passes: at least 2.
        seed: of the dropout; torch's own generator is left as it was found.
        spread: from the scores of all passes to a number for each video, shape (n,).

    Returns:
        Shape (n,), in units of the score.

    Raises:
        InputError: the network has no dropout that drops anything.

    Source: Gal and Ghahramani (2016).
    """
    with torch.random.fork_rng(), dropout_on(network):
        torch.manual_seed(seed)
        return spread([read() for _ in range(passes)])


@contextmanager
def dropout_on(network: nn.Module) -> Iterator[None]:
    """Dropout layers in training mode, all others as they are, for as long as the block runs."""
    layers = _dropout_layers(network)
    if not layers:
        raise InputError("MC dropout: this network has no dropout layer with a rate above 0; use another rule.")
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.train(training)


def has_dropout(network: nn.Module) -> bool:
    """Whether a network has a dropout layer that drops anything.

    >>> has_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    False
    """
    return bool(_dropout_layers(network))


def _dropout_layers(network: nn.Module) -> list[nn.Module]:
    # By their base class: Dropout, Dropout2d, AlphaDropout and what others derive from them.
    return [layer for layer in network.modules() if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0]

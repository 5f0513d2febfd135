"""MC dropout on a small network whose variance is known."""

import numpy as np
import pytest
import torch
from torch import nn

from mdsvqa.difficulty.mc_dropout import mc_dropout
from mdsvqa.runtime.errors import InputError

X = torch.tensor([[0.0], [1.0], [3.0]])


def network(rate: float) -> nn.Module:
    layers = nn.Sequential(nn.Dropout(rate), nn.BatchNorm1d(1, affine=False)).eval()
    return layers


def read(layers: nn.Module):
    return lambda: layers(X)[:, 0].detach().numpy().astype(np.float64)


def test_spread_is_that_of_the_dropout() -> None:
    layers = network(0.2)
    found = mc_dropout(layers, read(layers), passes=4000, seed=0)
    # x times (0 or 1 / 0.8): standard deviation x sqrt(0.2 / 0.8). The normalisation stays as it was trained: 0 and 1.
    np.testing.assert_allclose(found, [0, 0.5, 1.5], rtol=0.05, atol=1e-3)


def test_everything_is_left_as_it_was() -> None:
    layers = network(0.2)
    torch.manual_seed(5)
    before = torch.rand(3)
    torch.manual_seed(5)
    first = mc_dropout(layers, read(layers), 5, seed=1)
    assert torch.equal(torch.rand(3), before)
    assert not any(layer.training for layer in layers.modules())
    np.testing.assert_array_equal(mc_dropout(layers, read(layers), 5, seed=1), first)
    assert (mc_dropout(layers, read(layers), 5, seed=2) != first).any()


@pytest.mark.parametrize("layers", [network(0.0), nn.Linear(1, 1)])
def test_a_network_without_dropout_is_refused(layers: nn.Module) -> None:
    with pytest.raises(InputError, match="no dropout layer"):
        mc_dropout(layers, read(layers), 5, seed=0)

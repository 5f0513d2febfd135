"""PyTorch's threads for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """As many threads as long as the block runs; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Batches of videos of different lengths that fit a device."""

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
# Of a GPU's memory; what is left is for what fragments and for other programs' ups and downs.
SHARE = 0.9


def batches_by_tokens(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Groups items so that little of a batch is padding and none holds more tokens than fit.

    Args:
        lengths: tokens of each item.
        most: tokens a batch, padding included; an item that is longer makes a batch of its own.

    Yields:
        Indices of each batch, longest items first.

    >>> list(batches_by_tokens([10, 50, 12, 48], most=100))
    [[1, 3], [2, 0]]
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # The first is the longest: the others are padded to it.
        if batch and (len(batch) + 1) * lengths[batch[0]] > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def run_halving(items: Sequence[T], run: Callable[[Sequence[T]], list[R]], failed: Callable[[T], R]) -> list[R]:
    """Runs a batch; one that does not fit the device's memory is halved until its parts do.

    Args:
        items: of the batch.
        run: from items to one result each.
        failed: stands in for the result of an item that does not fit alone.

    Returns:
        One result an item, in order.
    """
    try:
        return run(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the handler: the exception holds the frames that hold the memory.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        return [failed(items[0])]
    middle = len(items) // 2
    return [result for part in (items[:middle], items[middle:]) for result in run_halving(part, run, failed)]


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that may still be taken, so that `SHARE` of it is in use."""
    free, total = torch.cuda.mem_get_info(device)
    kept_ready = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(0, int(free + kept_ready - (1 - SHARE) * total))


class MemoryUse:
    """Bytes of a GPU that are taken in a block of code.

    Attributes:
        kept: at its end, above what was taken before.
        most: at any time in it, above what was taken before.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __enter__(self) -> "MemoryUse":
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        self.kept = torch.cuda.memory_allocated(self._device) - self._before
        self.most = torch.cuda.max_memory_allocated(self._device) - self._before


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the device's memory is used up.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # What the CPU's allocator raises.
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)

"""The processes that share a training: one, or as many as `accelerate launch` or `torchrun` started."""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from mdsvqa.models.batching import is_out_of_memory
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError

T = TypeVar("T")
# The longest that one waits for another: an evaluation, or the decoding of all videos.
PATIENCE = timedelta(hours=6)
LOST = (
    "a process that shares the training has ended; see its own message above. Start all of them again: they go on from "
    "the last checkpoint."
)


class DoesNotFit(Exception):
    """What one of the processes did takes more memory than its device has."""


class Processes:
    """This process among those that share the work. Without a launcher it is the only one.

    Attributes:
        rank: of this process; 0 writes.
        size: of them.
    """

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1 and not distributed.is_initialized():
            device = None
            if torch.cuda.is_available():
                device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
                torch.cuda.set_device(device)
            distributed.init_process_group("nccl" if device else "gloo", timeout=PATIENCE, device_id=device)

    def share(self, batch: Ints) -> Ints:
        """The part of a batch that is this process's: every size-th."""
        return batch[self.rank :: self.size]

    def together(self, work: Callable[[], T]) -> T:
        """Does this process's part of what all do, and goes on when all are done.

        Raises:
            DoesNotFit: in one of them the memory was used up.
            InputError: one of them failed, or has ended; the same in all.
        """
        failed: str | None = None
        found: Any = None
        cause: Exception | None = None
        try:
            found = work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) and self.size == 1:
                raise
            failed = None if is_out_of_memory(error) else _told(error)
            fits = False
        except Exception as error:
            if self.size == 1:
                raise
            failed, fits, cause = _told(error), False, error
        else:
            fits = True
        if self.size > 1:
            states: list[Any] = [None] * self.size
            self._waiting(lambda: distributed.all_gather_object(states, (fits, failed)))
            messages = [f"{message}" for _, message in states if message is not None]
            if messages:
                raise InputError(messages[0]) from cause
            fits = all(fitted for fitted, _ in states)
        if not fits:
            raise DoesNotFit
        return found

    def first(self, work: Callable[[], T], told: type[Exception]) -> T:
        """What the first process finds, in all of them, which all do the work; so is an exception of one kind."""
        found: Any = None
        stopped: str | None = None
        try:
            found = work()
        except told as error:
            stopped = str(error)
        if self.size > 1:
            decided: list[Any] = [found, stopped]
            self._waiting(lambda: distributed.broadcast_object_list(decided, 0))
            found, stopped = decided
        if stopped is not None:
            raise told(stopped)
        return found

    def _waiting(self, collective: Callable[[], Any]) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise InputError(LOST) from error

    def gather(self, values: Tensor) -> Tensor:
        """Values of a whole batch, of which each process filled in its own and left the others NaN."""
        if self.size == 1:
            return values
        gathered = [torch.empty_like(values) for _ in range(self.size)]
        self._waiting(lambda: distributed.all_gather(gathered, values))
        merged = values
        for found in gathered:
            merged = torch.where(torch.isnan(merged), found, merged)
        return merged

    def gather_array(self, values: Floats) -> Floats:
        """`gather` for an array on the CPU."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return self.gather(torch.from_numpy(values).to(device)).cpu().numpy()

    def sum(self, gradients: Sequence[Tensor]) -> None:
        """Sums gradients over the processes, in place."""
        if self.size > 1:
            self._waiting(lambda: [distributed.all_reduce(gradient) for gradient in gradients])

    def barrier(self) -> None:
        """Until all are here."""
        if self.size > 1:
            self._waiting(distributed.barrier)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"

"""The processes that share a training: one, or as many as `accelerate launch` or `torchrun` started."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from mdsvqa.models.batching import is_out_of_memory
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import fingerprint

T = TypeVar("T")
# The longest that one waits for another: its share of decoding all videos, or of the base model's replies.
PATIENCE = timedelta(hours=6)
LOST = (
    "a process that shares the training has ended; see its own message above. Start all of them again: they go on from "
    "the last checkpoint."
)


# Of the launcher's settings: those that cut the frozen weights into pieces, of which none can be read alone.
_SHARDED = {
    "ACCELERATE_USE_FSDP": ("true", "FSDP"),
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": ("3", "ZeRO-3"),
}


class DoesNotFit(InputError):
    """What one of the processes did takes more memory than its device has."""

    def __init__(self) -> None:
        super().__init__("a device's memory does not hold what is worked on at a time; allow fewer frames or pixels.")


class Processes:
    """This process among those that share the work. Without a launcher it is the only one.

    Attributes:
        rank: of this process; 0 writes.
        size: of them.
        here: how many of them are on this machine.

    Raises:
        InputError: the launcher is set to cut the weights of the model among them.
    """

    def __init__(self) -> None:
        for name, (value, what) in _SHARDED.items():
            if os.environ.get(name, "").lower() == value:
                raise InputError(
                    f"accelerate launch is set to share out the weights by {what}, which is not offered: the frozen "
                    "model is read whole on every GPU. Use configs/accelerate/several-gpus.yaml or zero2.yaml."
                )
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.here = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
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

    def of_first(self, work: Callable[[], T]) -> T:
        """What the first process finds, in all of them, which wait for it.

        Raises:
            InputError: the first failed; the same in all.
        """
        found = self.together(lambda: work() if self.rank == 0 else None)
        told: list[Any] = [found]
        if self.size > 1:
            self._waiting(lambda: distributed.broadcast_object_list(told, 0))
        given: T = told[0]
        return given

    def gathered(self, found: T) -> list[T]:
        """What each process found, in their order."""
        every: list[Any] = [found] * self.size
        if self.size > 1:
            self._waiting(lambda: distributed.all_gather_object(every, found))
        return every

    def compare(self, what: str, found: Mapping[str, str]) -> None:
        """Holds what each process was given against the first one's.

        Args:
            what: is compared, in the plural.
            found: a text by name.

        Raises:
            InputError: one differs; the same in all.
        """
        sums = self.gathered((len(found), fingerprint(sorted(found.items()))))
        others = [rank for rank, each in enumerate(sums) if each != sums[0]]
        if not others:
            return
        wanted, other = ({} if each is None else dict(each) for each in self._of_two(found, others[0]))
        names = sorted(name for name in {*wanted, *other} if wanted.get(name) != other.get(name))
        one, two = (each.get(names[0], "not there") for each in (wanted, other))
        raise InputError(
            f"the processes do not have the same {what}: {len(others)} of {self.size} have others than process 0 "
            f"({sums[0][0]}; process {others[0]} has {sums[others[0]][0]}, and {len(names)} differ). The first that "
            f"differs is {names[0]}: {one} in process 0, {two} in process {others[0]}. Start all of them by the same "
            "command on the same files, with an output folder on a disk that all machines share."
        )

    def _of_two(self, found: Mapping[str, str], other: int) -> tuple[Mapping[str, str] | None, ...]:
        every = self.gathered(found if self.rank in (0, other) else None)
        return every[0], every[other]

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

    def each(self, count: int, read: Callable[[Sequence[int]], Sequence[float] | Floats]) -> Floats:
        """A number for each of some things, of which every process reads its share.

        Args:
            count: of them.
            read: from the places of some to their numbers.

        Raises:
            InputError: one process failed; the same in all.
        """
        values = np.full(count, np.nan)
        mine = self.share(np.arange(count))
        values[mine] = self.together(lambda: read(mine.tolist()))
        return self.gather_array(values)

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

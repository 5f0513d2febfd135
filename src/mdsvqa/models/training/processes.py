"""The processes that share a training: one, or as many as `accelerate launch` or `torchrun` started."""

import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from mdsvqa.runtime.arrays import Floats, Ints


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
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    def share(self, batch: Ints) -> Ints:
        """The part of a batch that is this process's: every size-th."""
        return batch[self.rank :: self.size]

    def gather(self, values: Tensor) -> Tensor:
        """Values of a whole batch, of which each process filled in its own and left the others NaN."""
        if self.size == 1:
            return values
        gathered = [torch.empty_like(values) for _ in range(self.size)]
        distributed.all_gather(gathered, values)
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
            for gradient in gradients:
                distributed.all_reduce(gradient)

    def barrier(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

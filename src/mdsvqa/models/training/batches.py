"""Which videos a step of ranking learns from: enough of each data set to rank, new ones and old ones in a set share."""

import math
from collections.abc import Iterator

import numpy as np

from mdsvqa.runtime.arrays import Flags, Ints
from mdsvqa.runtime.errors import InputError


def training_batches(
    dataset: Ints, new: Flags, batch: int, seed: int, *, new_share: float | None = None, least: int = 4
) -> Iterator[Ints]:
    """Batches without end, the same for the same arguments.

    Every video of a stratum (a data set's new or old videos) comes once before any of it comes twice. Strata share a
    batch by their sizes, but none has fewer than `least`; where that many do not fit they take turns.

    Args:
        dataset: integer code of each video's study, shape (n,).
        new: whether it was labeled for this training, shape (n,).
        batch: videos a batch; fewer where there are not as many.
        seed: of the order.
        new_share: of new videos in a batch, in [0, 1]; None goes by their number.
        least: of a stratum in a batch, where it has as many.

    Yields:
        Indices, distinct, sorted by data set, shape (up to batch,).

    >>> dataset = np.array([0] * 6 + [1] * 2)
    >>> batches = training_batches(dataset, dataset == 1, 4, 0, new_share=0.5, least=2)
    >>> [dataset[next(batches)].tolist() for _ in range(2)]
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    rng = np.random.default_rng(seed)
    keys = sorted({(int(d), bool(n)) for d, n in zip(dataset, new, strict=True)})
    members = [np.flatnonzero((dataset == d) & (new == n)) for d, n in keys]
    is_new = np.array([n for _, n in keys])
    waiting: list[list[int]] = [[] for _ in keys]
    turn = 0
    fit = max(1, batch // least)
    while True:
        taking = [(turn + k) % len(keys) for k in range(min(fit, len(keys)))]
        turn = (turn + len(taking)) % len(keys) if len(taking) < len(keys) else 0
        sizes = np.array([len(members[k]) for k in taking])
        drawn: list[int] = []
        for k, quota in zip(taking, quotas(sizes, is_new[taking], batch, new_share, least), strict=True):
            if len(waiting[k]) < quota:
                fresh = rng.permutation(members[k])
                waiting[k] += [int(i) for i in fresh if i not in waiting[k]]
            drawn += waiting[k][:quota]
            waiting[k] = waiting[k][quota:]
        yield np.array(sorted(drawn, key=lambda i: (dataset[i], i)), np.int64)


def quotas(sizes: Ints, new: Flags, batch: int, new_share: float | None, least: int) -> list[int]:
    """How many videos of each stratum a batch holds.

    Args:
        sizes: of the strata, shape (s,), each at least 1.
        new: whether a stratum's videos are new, shape (s,).
        batch, new_share, least: as in `training_batches`.

    Returns:
        At most `sizes`; in all at most `batch`, where `least` of each stratum fit.

    >>> quotas(np.array([90, 10]), np.array([False, True]), 20, None, 4), quotas(
    ...     np.array([90, 10]), np.array([False, True]), 20, 0.3, 4)
    ([16, 4], [14, 6])
    """
    wanted = sizes * batch / sizes.sum()
    if new_share is not None and new.any() and not new.all():
        for part, share in ((new, new_share), (~new, 1 - new_share)):
            wanted[part] = sizes[part] / sizes[part].sum() * share * batch
        floor = np.where(wanted > 0, np.minimum(least, sizes), 0)
    else:
        floor = np.minimum(least, sizes)
    found = np.minimum(np.maximum(np.floor(wanted).astype(int), floor), sizes)
    # What the floors took too much comes from where most is over, the rest goes where most is missing.
    while found.sum() > batch and (found > floor).any():
        found[np.argmax(np.where(found > floor, found - wanted, -np.inf))] -= 1
    open_to_more = (found < sizes) & (wanted > 0)
    while found.sum() < batch and open_to_more.any():
        found[np.argmax(np.where(open_to_more, wanted - found, -np.inf))] += 1
        open_to_more &= found < sizes
    return [int(count) for count in found]


def check_shares(videos: int, generations: int, processes: int) -> None:
    """Raises an InputError where the replies of a step are not as many for each process.

    What is left over would go into the next step, and the replies to one video into two.

    Args:
        videos: of a step.
        generations: replies to each.
        processes: that share them.
    """
    if videos * generations % processes == 0:
        return
    least = processes // math.gcd(processes, generations)
    below = videos // least * least
    fitting = [str(size) for size in (below, below + least) if size >= 2]
    raise InputError(
        f"objective grpo: the {videos * generations} replies of a step ({videos} videos of {generations} each) cannot "
        f"be shared evenly by {processes} processes. Use a batch size of {' or '.join(fitting)} videos: a multiple of "
        f"{least}."
    )

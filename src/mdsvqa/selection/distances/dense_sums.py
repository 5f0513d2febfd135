"""The greedy rule's best video on a GPU: the sums of all videos that may be the best one are kept up to date.

A GPU compares a new video with tens of thousands of others in less time than it takes to ask which of them matter. So
each step adds one row of distances, in double precision, to the sums of all videos at the top of a list: the list is
sorted by what a utility can be at the most, and its top reaches as far as this reaches the best utility. What the top
grows by is summed then, once. `lazy_sums` asks; both give the choice of the plain rule.
"""

import numpy as np
import torch
from torch import Tensor

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.selection.distances.bounds import summarise
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.chosen_frames import ChosenFrames

# As in `lazy_sums`.
TIE = 1e-10
# Of a sum in double precision, relative, for each of what is summed.
ROUNDING = 2.0**-52
# Videos by which the top grows at least, that are summed at a time, and best ones that are looked at together.
GROWTH, PART, LOOKED_AT = 1 << 10, 1 << 10, 8
# Of a GPU's free memory, for the frames of the top.
SHARE = 0.4


class TooMany(Exception):
    """So many videos may be the best one that their frames do not fit the device."""


class DenseSums:
    """Sums of the distances from the videos at the top to a growing list.

    Args:
        content: of n videos of as many frames each.
        difficulty: on the scale of the utility, shape (n,).
        weight: of the mean distance, at least 0.
        device: that multiplies.
        memory: bytes for blocks of distances.
    """

    def __init__(self, content: Content, difficulty: Floats, weight: float, device: torch.device, memory: int) -> None:
        summaries = summarise(content, device, memory)
        self._difficulty, self._weight, self._device = np.asarray(difficulty, np.float64), weight, device
        self._chosen = ChosenFrames(content, summaries.largest, device, memory, double=True)
        ceiling = self._difficulty + weight * summaries.caps + TIE
        self._order = np.argsort(-ceiling, kind="stable")
        self._ceiling = ceiling[self._order]
        # How much of the order is at the top, or was; those at the top, their frames, sums and difficulties.
        self._reach = 0
        self._top = np.zeros(0, np.int64)
        self._frames = self._chosen.left_of(self._top)
        empty = torch.zeros(0, dtype=torch.float64, device=device)
        # Sums of distances, the most that they are off by, difficulties.
        self._sums, self._errors, self._hard = empty, empty, empty
        self._count = int(content.counts[0])
        self._most = int(SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else memory
        self._added = 0
        self.computed = 0

    def add(self, video: int) -> None:
        """Appends a video to the list."""
        self._chosen.add(video)
        if len(self._top):
            distances, errors = self._row()
            self._sums += distances
            self._errors += errors
            self.computed += len(self._top)
        self._added += 1

    def _row(self) -> tuple[Tensor, Tensor]:
        """Distances from the last video of the list to those at the top, and the most that they are off by."""
        squared = (self._frames @ self._chosen.last().T).clamp_(min=0)
        counts = np.full(len(self._top), self._count)
        mean, error = self._chosen.reduced(squared, counts, [self._count])
        return mean[:, 0], error[:, 0]

    def best(self, open_: Flags) -> tuple[int, float, float]:
        """The video of the largest utility; see `LazySums.best`.

        Raises:
            TooMany: see there.
        """
        share = self._weight / max(self._added, 1)
        if 2 * int(open_[self._top].sum()) < len(self._top):
            self._drop(open_)
        if not len(self._top):
            self._grow(GROWTH)
        while True:
            utility = self._hard + share * self._sums
            utility.masked_fill_(torch.from_numpy(~open_[self._top]).to(self._device), -torch.inf)
            values, places = utility.topk(min(LOOKED_AT, len(utility)))
            off = share * torch.stack([self._errors[places], self._errors.max().expand_as(values)])
            found = torch.cat([values[None], places[None].double(), off]).cpu().numpy()
            best = float(found[0, 0])
            reach = int(np.searchsorted(-self._ceiling, -(best - TIE), side="right")) if best > -np.inf else None
            if reach is None or reach > self._reach:
                self._grow(GROWTH if reach is None else max(GROWTH, reach - self._reach))
                continue
            # Twice the most that two of them can be off by against each other.
            rounding = ROUNDING * (self._added + 2) * (abs(best) + self._weight)
            near = found[0] >= best - TIE - 2 * (found[2] + found[2, 0] + rounding)
            surely = found[0] >= best - TIE + 2 * (found[2] + found[2, 0] + rounding)
            if found[0, -1] < best - TIE - 2 * (found[3, 0] + found[2, 0] + rounding) or len(utility) <= LOOKED_AT:
                videos = self._top[found[1, near].astype(np.int64)]
                if (near[1:] == surely[1:]).all():
                    first = int(np.argmin(videos))
                    value = float(found[0, near][first])
                    mean = (value - self._difficulty[videos[first]]) / self._weight if self._added else 0.0
                    return int(videos[first]), float(mean), value
            else:
                least = best - TIE - 2 * (share * self._errors + found[2, 0] + rounding)
                videos = self._top[torch.nonzero(utility >= least).flatten().cpu().numpy()]
            return self._decided(np.sort(videos), share)

    def _decided(self, videos: Ints, share: float) -> tuple[int, float, float]:
        """The first of the videos whose utility is largest, with its mean distance and its utility."""
        totals = np.array([self._chosen.exact_sum(int(index), 0, 0.0) for index in videos])
        utilities = self._difficulty[videos] + share * totals
        place = int(np.flatnonzero(utilities >= utilities.max() - TIE)[0])
        return int(videos[place]), float(totals[place]) / max(self._added, 1), float(utilities[place])

    def _drop(self, open_: Flags) -> None:
        """Takes those that are closed off the top."""
        kept = np.flatnonzero(open_[self._top])
        places = torch.from_numpy(kept).to(self._device)
        frames = self._frames.view(len(self._top), self._count, -1)
        self._frames = frames[places].flatten(0, 1)
        self._sums, self._errors, self._hard = self._sums[places], self._errors[places], self._hard[places]
        self._top = self._top[kept]

    def _grow(self, more: int) -> None:
        """Takes the next videos of the order to the top."""
        new = self._order[self._reach : self._reach + more]
        width = self._frames.shape[1] * self._count * 8
        # While it grows there are two of it.
        if 2 * (len(self._top) + len(new)) * width > self._most:
            raise TooMany
        parts = [new[start : start + PART] for start in range(0, len(new), PART)]
        sums = np.zeros((2, len(new)))
        if self._added:
            sums = np.concatenate(
                [np.stack(self._chosen.sums(part, np.zeros(len(part), np.int64))) for part in parts], 1
            )
            self.computed += len(new) * self._added
        fresh = torch.from_numpy(sums).to(self._device)
        self._frames = torch.cat([self._frames, *(self._chosen.left_of(part) for part in parts)])
        self._sums, self._errors = torch.cat([self._sums, fresh[0]]), torch.cat([self._errors, fresh[1]])
        self._hard = torch.cat([self._hard, torch.from_numpy(self._difficulty[new]).to(self._device)])
        self._top = np.concatenate([self._top, new])
        self._reach += len(new)

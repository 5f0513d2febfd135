"""The greedy rule's best video without most of the distances: bounds first, exact sums only where they may decide.

For every video x there is a sum of distances to the first few chosen ones, computed once and kept, and an upper bound
of the distances to the others. At each step

0. no mean distance is above a video's cap: those whose difficulty plus weight times cap is below what the best one has
   at least are not looked at. They are the end of a list that is sorted once;
1. the utilities of the others are bounded: what is known of x, plus its cap for every chosen video since x was last
   looked at. The mean distance of a video changes little from step to step, so this excludes nearly all;
2. those that are left get the better bound of `SumBounds`;
3. those that are still left, the most promising first, are summed in single precision, together with a bound of their
   error (`ChosenFrames`), until no bound reaches the best sum;
4. where the errors leave more than one, those are summed in double precision.

So the video that is returned has the largest utility of the plain rule in double precision; of those within `TIE` of
it, it is the first. Each of the bounds is proved where it is computed.
"""

import numpy as np

from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.devices import torch_device
from mdsvqa.selection.distances.bounds import SumBounds, summarise
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.chosen_frames import ChosenFrames

# Utilities that are so near are equal but for rounding.
TIE = 1e-10
# Videos that are summed at a time: the first may exclude the others, so it begins with few.
FIRST_BATCH, LARGEST_BATCH = 4, 256
GPU_FIRST, GPU_FIRST_BATCH = 8, 32
# Multiplications that take as long as what one more product costs beside them.
SPARED, GPU_SPARED = 8e6, 2e9
# Videos at the top of the list that are looked at without asking.
TOP = 1 << 10
# Videos whose centers are copied to double precision at a time.
PART = 1 << 12


class LazySums:
    """Sums of the distances from every video to a growing list, computed as far as they are needed.

    Args:
        content: of n videos.
        difficulty: on the scale of the utility, shape (n,).
        weight: of the mean distance, at least 0.
        device: that multiplies: "auto" takes a GPU if there is one.
        memory: bytes for blocks of distances and for the centers of the videos.
    """

    def __init__(self, content: Content, difficulty: Floats, weight: float, device: str, memory: int) -> None:
        place = torch_device(device)
        self._difficulty = np.asarray(difficulty, np.float64)
        self._summaries = summarise(content, place, memory)
        self._bounds = SumBounds(self._summaries)
        self._chosen = ChosenFrames(content, self._summaries.largest, place, memory)
        on_gpu = place.type == "cuda"
        self._first = GPU_FIRST if on_gpu else 1
        self._first_batch, self._spared = (GPU_FIRST_BATCH, GPU_SPARED) if on_gpu else (FIRST_BATCH, SPARED)
        n = len(content)
        # Sums of the first `_known` distances, off by `_error` at most.
        self._total, self._error, self._known = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
        # Bounds of the sums of the first `_seen` distances.
        self._upper, self._seen = np.zeros(n), np.zeros(n, np.int64)
        self._in_double: dict[int, tuple[int, float]] = {}
        # Videos by the most that their utility can ever be under a weight, that with its sign turned, and how many of
        # them were looked at.
        self._order, self._floor = np.zeros(0, np.int64), np.zeros(0)
        self._weight, self._reach = weight, min(TOP, n)
        self._sort()

    @property
    def computed(self) -> int:
        """How many distances were computed in single precision."""
        return self._chosen.computed

    def add(self, video: int) -> None:
        """Appends a video to the list."""
        self._bounds.add(video)
        self._chosen.add(video)

    def best(self, open_: Flags) -> tuple[int, float, float]:
        """The video of the largest utility: its difficulty plus the weight times its mean distance to the list.

        Args:
            open_: whether each video may be returned, shape (n,), at least one of them.

        Returns:
            Its index, its mean distance to the list (0 where that is empty), its utility.
        """
        length, weight = len(self._chosen), self._weight
        if length == 0 or weight == 0:
            values = np.where(open_, self._difficulty, -np.inf)
            index = int(np.argmax(values >= values.max() - TIE))
            mean = self._exact(index) / length if length else 0.0
            return index, mean, float(self._difficulty[index]) + weight * mean
        share = weight / length
        looked_at = self._order[: self._reach]
        bound = self._glanced(looked_at, open_, share)
        while bound.max() == -np.inf:
            # All at the top are chosen.
            self._reach = min(2 * self._reach, len(self._order))
            looked_at = self._order[: self._reach]
            bound = self._glanced(looked_at, open_, share)
        # On a GPU several cost as much as one, and one of them is the best as a rule.
        several = min(self._first, len(bound))
        top = np.argpartition(-bound, several - 1)[:several] if several > 1 else np.array([bound.argmax()])
        first = looked_at[top[bound[top] > -np.inf]]
        self._sum(first)
        # Only what can still reach the first one's utility.
        least = self._least(first, share) - TIE
        reach = int(np.searchsorted(self._floor, -least, side="right"))
        if reach > self._reach:
            more = self._order[self._reach : reach]
            looked_at = self._order[:reach]
            bound = np.concatenate([bound, self._glanced(more, open_, share)])
        self._reach = min(max(reach, TOP), len(self._order))
        left = looked_at[bound >= least]
        left = left[self._bounded(left, share) >= least]
        return self._decided(self._all_summed(left, share), share)

    def _sort(self) -> None:
        """Sorts the videos by what their utility can be at the most."""
        turned = -(self._difficulty + self._weight * self._summaries.caps + TIE)
        self._order = np.argsort(turned, kind="stable")
        self._floor = turned[self._order]

    def _glanced(self, videos: Ints, open_: Flags, share: float) -> Floats:
        """Bounds of their utilities, the quick ones; of those that are closed none is smaller."""
        bound = (len(self._chosen) - self._seen[videos]) * self._summaries.caps[videos]
        bound += self._upper[videos]
        bound *= share
        bound += self._difficulty[videos]
        bound[~open_[videos]] = -np.inf
        found: Floats = bound
        return found

    def _least(self, videos: Ints, share: float) -> float:
        """The largest utility that one of these summed videos has at least."""
        least = self._difficulty[videos] + share * (self._total[videos] - self._error[videos])
        return float(least.max())

    def _bounded(self, videos: Ints, share: float) -> Floats:
        """Bounds of their utilities, the better ones."""
        stale = videos[self._seen[videos] < len(self._chosen)]
        for start in range(0, len(stale), PART):
            part = stale[start : start + PART]
            since = self._bounds.since(part, self._known[part])
            self._upper[part] = self._total[part] + self._error[part] + since
            self._seen[part] = len(self._chosen)
        bound: Floats = self._difficulty[videos] + share * self._upper[videos]
        return bound

    def _all_summed(self, videos: Ints, share: float) -> Ints:
        """Those of the videos whose utility may be the largest, all of them summed."""
        summed = self._known[videos] == len(self._chosen)
        done, left = videos[summed], videos[~summed]
        bound = self._difficulty[left] + share * self._upper[left]
        order = np.argsort(-bound, kind="stable")
        left, bound = left[order], bound[order]
        batch = self._first_batch
        while len(left):
            self._sum(left[:batch])
            done = np.concatenate([done, left[:batch]])
            kept = bound[batch:] >= self._least(done, share) - TIE
            left, bound = left[batch:][kept], bound[batch:][kept]
            batch = min(2 * batch, LARGEST_BATCH)
        most = self._difficulty[done] + share * (self._total[done] + self._error[done])
        return done[most >= self._least(done, share) - TIE]

    def _sum(self, videos: Ints) -> None:
        """Brings the sums of some videos up to the length of the list."""
        length = len(self._chosen)
        known = self._known[videos]
        for part in self._runs(videos[known < length]):
            # What some of them were known to already is not added again.
            more, errors = self._chosen.sums(part, self._known[part])
            self._total[part] += more
            self._error[part] += errors
            self._upper[part] = self._total[part] + self._error[part]
            self._known[part] = self._seen[part] = length
            self._bounds.products[part] = self._bounds.dot(part)

    def _runs(self, videos: Ints) -> list[Ints]:
        """Splits videos into parts to be summed at once: a few distances too many cost less than another product."""
        order = videos[np.argsort(self._known[videos], kind="stable")]
        known = self._known[order]
        ends = [*(np.flatnonzero(known[1:] > known[:-1]) + 1).tolist(), len(order)]
        runs: list[list[int]] = []
        place = 0
        for end in ends:
            extra = (end - place) * (known[place] - known[runs[-1][0]]) if runs else 0
            if runs and extra * self._chosen.work <= self._spared:
                runs[-1][1] = end
            elif end > place:
                runs.append([place, end])
            place = end
        return [order[place:end] for place, end in runs]

    def _decided(self, videos: Ints, share: float) -> tuple[int, float, float]:
        """The first of the videos whose utility is largest in double precision."""
        length = len(self._chosen)
        if len(videos) == 1:
            index, total = int(videos[0]), float(self._total[videos[0]])
            return index, total / length, float(self._difficulty[index]) + share * total
        videos = np.sort(videos)
        totals = np.array([self._exact(int(index)) for index in videos])
        utilities = self._difficulty[videos] + share * totals
        place = int(np.flatnonzero(utilities >= utilities.max() - TIE)[0])
        return int(videos[place]), float(totals[place]) / length, float(utilities[place])

    def _exact(self, video: int) -> float:
        """The sum of a video's distances to the list in double precision, which from then on stands for it."""
        known, total = self._in_double.get(video, (0, 0.0))
        total = self._chosen.exact_sum(video, known, total)
        length = len(self._chosen)
        self._in_double[video] = (length, total)
        if self._known[video] == length:
            # What the rounding of double precision may make of it.
            off = TIE * max(total, 1e-3)
            self._total[video], self._error[video], self._upper[video] = total, off, total + off
        return total

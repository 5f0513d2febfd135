"""What a rater's next session should hold: the videos that the study knows least about, at that moment."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdsvqa.labeling.assignment import Panelists, UnderWay, next_videos, panelists
from mdsvqa.labeling.collecting.catalogue import numbers_of, stimuli_of
from mdsvqa.labeling.collecting.database import Connection, reading
from mdsvqa.labeling.collecting.hand_over import under_way, votes_of
from mdsvqa.labeling.collecting.raters import name_of
from mdsvqa.labeling.collecting.sessions import ABANDONED, fewest_judged_pairs
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Flags, Ints
from mdsvqa.study.labeling import LabelingSettings

# Between two fits of the raters' precisions, which change slowly.
_REFIT_SECONDS = 60.0
# Between two looks at all votes and open slots; what this planner gives out itself it knows at once.
_LOOK_AGAIN_SECONDS = 5.0


class PlanNeededError(Exception):
    """A session is to begin, and what it should hold takes longer to find than other changes may wait."""


def no_plan(connection: Connection, draws: random.Random) -> Sequence[int]:
    """Raises `PlanNeededError`."""
    raise PlanNeededError


def no_plan_of_pairs(connection: Connection, draws: random.Random) -> Sequence[tuple[int, int]]:
    """Raises `PlanNeededError`."""
    raise PlanNeededError


@dataclass
class _Seen:
    """A look at the study, which takes a while, and what was given out since.

    Attributes:
        looked: when, by the monotonic clock.
        votes: the whole table.
        numbers: of the videos, by id.
        open_: which names of the table are videos that can be shown.
        slots: of a session, about.
        under_way: slots without a vote.
        newcomers: places of raters who are not in the table.
    """

    looked: float
    votes: Votes
    numbers: dict[str, int]
    open_: Flags
    slots: int
    under_way: UnderWay
    newcomers: dict[str, int] = field(default_factory=dict)

    def place_of(self, rater: int) -> int:
        """Of a rater in the table, or behind it."""
        name = name_of(rater)
        if name in self.votes.raters:
            return self.votes.raters.index(name)
        behind = max(len(self.votes.raters), int(self.under_way.rater.max(initial=-1)) + 1)
        return self.newcomers.setdefault(name, behind)

    def give(self, rater: int, videos: Ints) -> None:
        """Remembers what a rater was given."""
        before = self.under_way
        raters = np.full(len(videos), rater, np.int64)
        self.under_way = UnderWay(np.concatenate([before.video, videos]), np.concatenate([before.rater, raters]))


@dataclass
class Planner:
    """Finds what a session should hold. Plans are made one after the other, each seeing what those before gave out.

    Attributes:
        path: of the study's database.
        settings: of the study.
    """

    path: Path
    settings: LabelingSettings
    lock: threading.Lock = field(default_factory=threading.Lock)
    _known: tuple[float, Panelists] | None = None
    _seen: "_Seen | None" = None

    def videos(self, rater: int, seed: int, at: float) -> list[int]:
        """Numbers of videos for a rater, the most wanted first."""
        seen = self._look(at)
        votes, place = seen.votes, seen.place_of(rater)
        chosen = next_videos(
            votes,
            place,
            seen.slots,
            np.random.default_rng(seed),
            rule=self.settings.assign,
            under_way=seen.under_way,
            known=self._panelists(votes),
            open_=seen.open_,
        )
        seen.give(place, chosen)
        found = [seen.numbers[votes.videos[int(video)]] for video in chosen]
        # The last ones link this rater to the others: a session that is full earlier must not lose them.
        return [*found[-2:], *found[:-2]]

    def _look(self, at: float) -> "_Seen":
        """The study as it was a moment ago, with all that was given out since."""
        if self._seen is None or time.monotonic() - self._seen.looked > _LOOK_AGAIN_SECONDS:
            with reading(self.path) as connection:
                votes = votes_of(connection, self.settings)
                numbers = numbers_of(connection, "video")
                durations = [row["duration"] for row in stimuli_of(connection, "video")]
                pending = under_way(connection, votes, at, ABANDONED)
            open_ = np.array([name in numbers for name in votes.videos])
            self._seen = _Seen(time.monotonic(), votes, numbers, open_, self._slots(durations), pending)
        return self._seen

    def pairs(self, seed: int, at: float) -> list[tuple[int, int]]:
        """Pairs of numbers, the most wanted first."""
        with reading(self.path) as connection:
            return fewest_judged_pairs(connection, random.Random(seed), at)

    def _slots(self, durations: Sequence[float]) -> int:
        settings = self.settings
        each = sum(durations) / max(len(durations), 1) * (2 if settings.method == "dcr" else 1)
        extras = sum(1 / every for every in (settings.trap_every, settings.anchor_every) if every)
        if settings.method == "dcr":
            extras = 0.0
        # One more than fits: the session is filled by the durations of the videos themselves.
        return max(1, int(settings.session_minutes * 60 / each * (1 - extras)) - settings.repeats + 1)

    def _panelists(self, votes: Votes) -> Panelists:
        if self._known is None or time.monotonic() - self._known[0] > _REFIT_SECONDS:
            self._known = time.monotonic(), panelists(votes)
        known = self._known[1]
        missing = len(votes.raters) - len(known.precision)
        precision = np.concatenate([known.precision, np.full(max(0, missing), known.newcomer)])
        return Panelists(precision, known.newcomer, known.spread)

"""What a rater's next session should hold: the videos that the study knows least about, at that moment."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdsvqa.labeling.assignment import Panelists, UnderWay, next_videos, panelists
from mdsvqa.labeling.collecting.catalogue import NAMED_PAIRS, numbers_of, stimuli_of
from mdsvqa.labeling.collecting.database import Connection, fact, reading
from mdsvqa.labeling.collecting.hand_over import pair_votes_of, pairs_under_way, under_way, votes_of
from mdsvqa.labeling.collecting.raters import name_of
from mdsvqa.labeling.collecting.sessions import ABANDONED, fewest_judged_pairs
from mdsvqa.labeling.pair_assignment import asked, next_pairs
from mdsvqa.labeling.pairs import posterior
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Flags, Ints
from mdsvqa.study.labeling import LabelingSettings

# Between two fits of the raters' precisions, which change slowly.
_REFIT_SECONDS = 60.0
# Between two looks at all votes and open slots; what this planner gives out itself it knows at once.
_LOOK_AGAIN_SECONDS = 5.0
# Videos among which pairs are chosen at a time: seconds of work for a session.
MOST_COMPARED = 300


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

    def pairs(self, rater: int, seed: int, at: float) -> list[tuple[int, int]]:
        """Pairs of numbers for a rater, the most wanted first."""
        with reading(self.path) as connection:
            if fact(connection, NAMED_PAIRS):
                return fewest_judged_pairs(connection, random.Random(seed), at)
            return self._chosen_pairs(connection, rater, np.random.default_rng(seed), at)

    def _chosen_pairs(
        self, connection: Connection, rater: int, rng: np.random.Generator, at: float
    ) -> list[tuple[int, int]]:
        """Rounds of pairs that are expected to tell most, until a session is full of them."""
        rows = stimuli_of(connection, "video")
        votes = pair_votes_of(connection, self.settings).counted()
        pending = pairs_under_way(connection, votes, at, ABANDONED)
        place = {name: number for number, name in enumerate(votes.videos)}
        views = np.bincount(np.concatenate([votes.first, votes.second, *pending]), minlength=len(votes.videos))
        # Of very many videos, those that were seen least: the work grows with the square of their number.
        order = sorted(rows, key=lambda row: (views[place[row["id"]]], rng.random()))[:MOST_COMPARED]
        numbers = [int(row["number"]) for row in order]
        inside = np.full(len(votes.videos), -1)
        inside[[place[row["id"]] for row in order]] = np.arange(len(order))
        of_these = (inside[votes.first] >= 0) & (inside[votes.second] >= 0)
        first, second = (inside[side[of_these]] for side in (votes.first, votes.second))
        known = posterior(first, second, votes.preference[of_these], len(order))
        going = [inside[side] for side in pending]
        kept = (going[0] >= 0) & (going[1] >= 0)
        known = asked(known, going[0][kept], going[1][kept])
        shut = self._judged(connection, rater, numbers)
        left, found = self._slots([row["duration"] for row in rows]), list[tuple[int, int]]()
        while left > 0:
            one, other = next_pairs(known, rng, shut=shut, most=left)
            if not len(one):
                break
            found += [(numbers[i], numbers[j]) for i, j in zip(one.tolist(), other.tolist(), strict=True)]
            shut[one, other] = shut[other, one] = True
            known, left = asked(known, one, other), left - len(one)
        return found

    def _judged(self, connection: Connection, rater: int, numbers: Sequence[int]) -> Flags:
        """Pairs that a rater has seen, among some videos."""
        place = {number: i for i, number in enumerate(numbers)}
        shut = np.zeros((len(numbers), len(numbers)), np.bool_)
        rows = connection.execute("SELECT first, second FROM slots WHERE rater = ? AND pair IS NOT NULL", (rater,))
        for row in rows:
            if row["first"] in place and row["second"] in place:
                i, j = place[row["first"]], place[row["second"]]
                shut[i, j] = shut[j, i] = True
        return shut

    def _slots(self, durations: Sequence[float]) -> int:
        settings = self.settings
        two, traps, anchors = settings.method in ("dcr", "pairs"), settings.trap_every, settings.anchor_every
        each = sum(durations) / max(len(durations), 1) * (2 if two else 1)
        extras = sum(1 / every for every in (traps, 0 if two else anchors) if every)
        # One more than fits: the session is filled by the durations of the videos themselves.
        return max(1, int(settings.session_minutes * 60 / each * (1 - extras)) - settings.repeats + 1)

    def _panelists(self, votes: Votes) -> Panelists:
        if self._known is None or time.monotonic() - self._known[0] > _REFIT_SECONDS:
            self._known = time.monotonic(), panelists(votes)
        known = self._known[1]
        missing = len(votes.raters) - len(known.precision)
        precision = np.concatenate([known.precision, np.full(max(0, missing), known.newcomer)])
        return Panelists(precision, known.newcomer, known.spread)

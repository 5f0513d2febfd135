"""The table of votes: what raters said, one row a vote. Everything that is computed of votes starts from it.

Nothing here knows where votes come from; whoever collects them hands this table over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdsvqa.runtime.arrays import Flags, Floats, Ints

Words = NDArray[np.str_]

# What a vote was given to. Only those to a VIDEO count toward MOS; the others tell about the rater.
VIDEO, REPEAT, TRAP, ANCHOR, TRAINING = "video", "repeat", "trap", "anchor", "training"
KINDS = (VIDEO, REPEAT, TRAP, ANCHOR, TRAINING)
ACR, ACR_HR, DCR = "acr", "acr-hr", "dcr"
METHODS = (ACR, ACR_HR, DCR)


@dataclass(frozen=True)
class Votes:
    """Votes on a scale of quality or of impairment, higher is better.

    Attributes:
        videos, raters: names, each once, in the order of the file; one that nobody voted on, or who has no vote, too.
        video: place in `videos`, shape (n,).
        rater: place in `raters`, shape (n,).
        vote: shape (n,).
        kind: one of KINDS, shape (n,).
        expected: of a trap or an anchor the known answer; NaN for all others, shape (n,).
        disturbed: the play stalled, lost frames or was hidden, shape (n,).
        excluded: why the vote does not count, such as "corrected"; empty where it does, shape (n,).
        method: one of METHODS.
        low, high: ends of the scale.
    """

    videos: tuple[str, ...]
    raters: tuple[str, ...]
    video: Ints
    rater: Ints
    vote: Floats
    kind: Words
    expected: Floats
    disturbed: Flags
    excluded: Words
    method: str = ACR
    low: float = 1.0
    high: float = 5.0

    @classmethod
    def of(
        cls,
        video: Sequence[str],
        rater: Sequence[str],
        vote: ArrayLike,
        *,
        kind: str | Sequence[str] = VIDEO,
        expected: ArrayLike = np.nan,
        disturbed: ArrayLike = False,
        excluded: str | Sequence[str] = "",
        method: str = ACR,
        scale: tuple[float, float] = (1.0, 5.0),
        videos: Sequence[str] = (),
        raters: Sequence[str] = (),
    ) -> Self:
        """Votes from columns of names.

        Args:
            video, rater: names, length n.
            vote: shape (n,).
            kind, expected, disturbed, excluded: one for all votes or one for each.
            method: one of METHODS.
            scale: its ends.
            videos, raters: names that come first, whether or not they have votes.

        >>> votes = Votes.of(["a", "b", "a"], ["x", "x", "y"], [5, 2, 4])
        >>> votes.videos, votes.video.tolist()
        (('a', 'b'), [0, 1, 0])
        """
        all_videos, of_video = _places(videos, video)
        all_raters, of_rater = _places(raters, rater)
        n = len(of_video)
        return cls(
            all_videos,
            all_raters,
            of_video,
            of_rater,
            np.asarray(vote, np.float64),
            np.broadcast_to(np.asarray(kind, np.str_), n),
            np.broadcast_to(np.asarray(expected, np.float64), n),
            np.broadcast_to(np.asarray(disturbed, np.bool_), n),
            np.broadcast_to(np.asarray(excluded, np.str_), n),
            method,
            *scale,
        )

    def __len__(self) -> int:
        return len(self.vote)

    @property
    def counts(self) -> Flags:
        """Which votes count toward MOS: to a video, undisturbed, not excluded; shape (n,)."""
        return (self.kind == VIDEO) & ~self.disturbed & (self.excluded == "")

    def only(self, kept: Flags | Ints) -> Self:
        """Some of the votes, in the given order; names of videos and raters stay, so places do too."""
        columns = ("video", "rater", "vote", "kind", "expected", "disturbed", "excluded")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    def counted(self) -> Self:
        """The votes that count toward MOS."""
        return self.only(self.counts)

    def without_raters(self, left_out: Flags, reason: str) -> Self:
        """The same table with every vote of some raters excluded.

        Args:
            left_out: shape (raters,).
            reason: kept with those of their votes that counted before.
        """
        excluded = np.where(left_out[self.rater] & (self.excluded == ""), reason, self.excluded)
        return replace(self, excluded=excluded)

    def per_video(self) -> Ints:
        """How many votes each video has, shape (videos,)."""
        return np.bincount(self.video, minlength=len(self.videos))

    def per_rater(self) -> Ints:
        """How many votes each rater gave, shape (raters,)."""
        return np.bincount(self.rater, minlength=len(self.raters))


@dataclass(frozen=True)
class PairVotes:
    """Answers to pairs of videos.

    Attributes:
        videos, raters: names, each once, in the order of the file.
        first, second: places in `videos`, shape (n,).
        rater: place in `raters`, shape (n,).
        preference: 1 for the first, 0 for the second, 0.5 for "cannot tell", shape (n,).
        kind: one of KINDS, shape (n,).
        expected: of a trap the preference that it asks for; NaN for all others, shape (n,).
        disturbed: one of the two plays was, shape (n,).
        excluded: why the answer does not count; empty where it does, shape (n,).
    """

    videos: tuple[str, ...]
    raters: tuple[str, ...]
    first: Ints
    second: Ints
    rater: Ints
    preference: Floats
    kind: Words
    expected: Floats
    disturbed: Flags
    excluded: Words

    @classmethod
    def of(
        cls,
        first: Sequence[str],
        second: Sequence[str],
        rater: Sequence[str],
        preference: ArrayLike,
        *,
        kind: str | Sequence[str] = VIDEO,
        expected: ArrayLike = np.nan,
        disturbed: ArrayLike = False,
        excluded: str | Sequence[str] = "",
        videos: Sequence[str] = (),
        raters: Sequence[str] = (),
    ) -> Self:
        """Answers from columns of names; arguments as the attributes, names in place of places.

        `videos` and `raters` are names that come first, whether or not they have answers.

        >>> PairVotes.of(["a", "c"], ["b", "a"], ["x", "x"], [1, 0.5]).videos
        ('a', 'b', 'c')
        """
        n = len(first)
        both = [name for pair in zip(first, second, strict=True) for name in pair]
        names, places = _places(videos, both)
        all_raters, of_rater = _places(raters, rater)
        return cls(
            names,
            all_raters,
            places[0::2],
            places[1::2],
            of_rater,
            np.asarray(preference, np.float64),
            np.broadcast_to(np.asarray(kind, np.str_), n),
            np.broadcast_to(np.asarray(expected, np.float64), n),
            np.broadcast_to(np.asarray(disturbed, np.bool_), n),
            np.broadcast_to(np.asarray(excluded, np.str_), n),
        )

    def __len__(self) -> int:
        return len(self.preference)

    def only(self, kept: Flags | Ints) -> Self:
        """Some of the answers, in the given order; names stay, so places do too."""
        columns = ("first", "second", "rater", "preference", "kind", "expected", "disturbed", "excluded")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    @property
    def counts(self) -> Flags:
        """Which answers count: to a pair of videos for the first time, undisturbed, not excluded; shape (n,)."""
        return (self.kind == VIDEO) & ~self.disturbed & (self.excluded == "")

    def counted(self) -> Self:
        """The answers that count."""
        return self.only(self.counts)

    def without_raters(self, left_out: Flags, reason: str) -> Self:
        """The same table with every answer of some raters excluded; as of `Votes`."""
        excluded = np.where(left_out[self.rater] & (self.excluded == ""), reason, self.excluded)
        return replace(self, excluded=excluded)

    def per_video(self) -> Ints:
        """In how many answers each video is, shape (videos,)."""
        return np.bincount(np.concatenate([self.first, self.second]), minlength=len(self.videos))


def _places(first: Sequence[str], names: Sequence[str]) -> tuple[tuple[str, ...], Ints]:
    place = {name: number for number, name in enumerate(dict.fromkeys([*first, *names]))}
    return tuple(place), np.fromiter((place[name] for name in names), np.int64, len(names))

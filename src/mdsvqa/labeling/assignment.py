"""Who gets which video next: those of which the model knows least, counting votes that are on their way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mdsvqa.labeling.estimate import sums
from mdsvqa.labeling.panel import BIAS_SHARE, BIAS_STD, NOISE, Known, joint_information, panel
from mdsvqa.labeling.parts import linked
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.errors import InputError

INFORMATION, WIDEST, EVEN = "information", "widest", "even"
# What each is, for people.
RULES: Mapping[str, str] = {
    INFORMATION: "to the videos with the largest standard error of the model: who voted, and how often.",
    WIDEST: "to the videos with the widest interval by their own votes, shrunken. Costs 1 to 8% RMSE on three real "
    "studies: few votes that happen to lie apart draw more, without need.",
    EVEN: "to the videos with the fewest votes.",
}
# Videos of a session that others rated too: they hold its votes on the others' scale.
LINKS = 2
# Votes that the common spread is worth against a video's own, for `widest`.
SHRINKAGE = 4.0
# Relative difference up to which two standard errors are a tie: about that of one vote more on ten. Told apart more
# finely, all videos of one earlier session go to one rater together, whose bias then is not told from theirs: on a real
# study that cost 3% RMSE.
TIE = 0.08


@dataclass(frozen=True)
class Panelists:
    """What assignment needs of a fit; stays useful while some further votes come in.

    Attributes:
        precision: of a vote of each rater of the table, shape (raters,); that of a newcomer where nothing is known.
        newcomer: of a vote of anybody else.
        spread: variance of biases.
    """

    precision: Floats
    newcomer: float
    spread: float


@dataclass(frozen=True)
class UnderWay:
    """Slots that were given out and have no vote yet.

    Attributes:
        video: places, shape (n,).
        rater: places, shape (n,); raters beyond those of the table are newcomers.
    """

    video: Ints
    rater: Ints

    @classmethod
    def none(cls) -> "UnderWay":
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))


def panelists(votes: Votes) -> Panelists:
    """How precise each rater is, by the model `panel`.

    Args:
        votes: the whole table; before the first vote the usual figures are taken.
    """
    usual = (NOISE * (votes.high - votes.low) / 4) ** 2
    counted = votes.counted()
    if not len(counted):
        return Panelists(np.full(len(votes.raters), 1 / usual), 1 / usual, BIAS_SHARE**2 * usual)
    found = panel(counted)
    precision = 1 / found.inconsistency**2
    newcomer = float(np.nanmedian(precision))
    return Panelists(np.where(np.isnan(precision), newcomer, precision), newcomer, found.settings[BIAS_STD] ** 2)


def standard_errors(votes: Votes, under_way: UnderWay, known: Panelists) -> Floats:
    """Of each video's MOS once the votes under way are in; infinite without any. What the votes say plays no part.

    Args:
        votes: the whole table.
        under_way: slots given out.
        known: of the raters.

    Returns:
        Shape (videos,).
    """
    found, videos = _information(votes, under_way, known)
    error = np.full(len(votes.videos), np.inf)
    if found is not None:
        error[videos] = np.sqrt(found.of_quality)
    return error


def next_videos(
    votes: Votes,
    rater: int | None,
    slots: int,
    rng: np.random.Generator,
    *,
    rule: str = INFORMATION,
    under_way: UnderWay | None = None,
    known: Panelists | None = None,
    open_: Flags | None = None,
    links: int = LINKS,
) -> Ints:
    """The videos of a rater's next session.

    Args:
        votes: the whole table, with all videos of the study among its names.
        rater: place in the table's raters; None for a newcomer.
        slots: how many at most.
        rng: for ties.
        rule: one of RULES.
        under_way: slots given out without a vote yet, this rater's too.
        known: of the raters; computed where it is not given.
        open_: videos that may be given, shape (videos,); all by default.
        links: at least so many are videos that others have, while there are such.

    Returns:
        Places of distinct videos that this rater neither rated nor has, most urgent first.

    Raises:
        InputError: there is no such rule.
    """
    if rule not in RULES:
        raise InputError(f"assign: found {rule!r}, expected one of {', '.join(RULES)}.")
    pending = under_way or UnderWay.none()
    free = np.ones(len(votes.videos), np.bool_) if open_ is None else open_.copy()
    if rater is not None:
        # Whatever they saw of it, also a disturbed or excluded vote, they have seen it.
        free[votes.video[votes.rater == rater]] = False
        free[pending.video[pending.rater == rater]] = False
    counts = _counts(votes, pending)
    need = URGENCY[rule](votes, pending, known or panelists(votes)) if rule != EVEN else -counts.astype(np.float64)
    order = _ordered(need, free, rng)
    return _linked(order, slots, min(links, slots), votes, pending, counts)


def _ordered(need: Floats, free: Flags, rng: np.random.Generator) -> Ints:
    """Free videos by falling need, ties at random."""
    shuffled = rng.permutation(np.flatnonzero(free))
    finite = np.where(np.isinf(need), np.finfo(np.float64).max, need)
    with np.errstate(divide="ignore"):
        steps = np.where(finite > 0, np.round(np.log(np.maximum(finite, 1e-300)) / TIE), finite)
    keys = steps[shuffled]
    return shuffled[np.argsort(-keys, kind="stable")]


def _linked(order: Ints, slots: int, links: int, votes: Votes, pending: UnderWay, counts: Ints) -> Ints:
    """The first `slots` of an order, with the last of them exchanged where too few are videos that others have.

    Links go to as many linked groups of videos as there are, the largest first, so that groups grow together.
    """
    chosen, rest = order[:slots], order[slots:]
    lacking = links - int((counts[chosen] > 0).sum())
    bridges = _bridges(chosen, rest, votes, pending, counts)
    wanted = max(lacking, min(len(bridges), links))
    if wanted <= 0 or not len(rest):
        return chosen
    others = rest[counts[rest] > 0]
    added = list(dict.fromkeys([*bridges, *others.tolist()]))[:wanted]
    # Those nobody has yet make room; where all are shared, the least urgent do.
    room = len(chosen) - len(added)
    fresh = [place for place in chosen[::-1].tolist() if counts[place] == 0]
    out = set((fresh + [place for place in chosen[::-1].tolist() if counts[place] > 0])[: len(added)])
    kept = [place for place in chosen.tolist() if place not in out][:room]
    return np.array([*kept, *added], np.int64)


def _bridges(chosen: Ints, rest: Ints, votes: Votes, pending: UnderWay, counts: Ints) -> list[int]:
    """Of each linked group that the chosen videos leave out the most urgent video, the largest groups first."""
    part = _parts(votes, pending)
    groups, sizes = np.unique(part[counts > 0], return_counts=True)
    if len(groups) < 2:
        return []
    reached = set(part[chosen[counts[chosen] > 0]].tolist())
    found = []
    for group in groups[np.argsort(-sizes, kind="stable")].tolist():
        if group not in reached and len(inside := rest[(part[rest] == group) & (counts[rest] > 0)]):
            found.append(int(inside[0]))
    return found


def _parts(votes: Votes, pending: UnderWay) -> Ints:
    video, rater = _all(votes, pending)
    return linked(video, rater, len(votes.videos), int(rater.max(initial=-1)) + 1)[0]


def _all(votes: Votes, pending: UnderWay) -> tuple[Ints, Ints]:
    """Video and rater of the votes that count, then of those under way."""
    counted = votes.counted()
    return np.concatenate([counted.video, pending.video]), np.concatenate([counted.rater, pending.rater])


def _counts(votes: Votes, pending: UnderWay) -> Ints:
    video, _ = _all(votes, pending)
    return np.bincount(video, minlength=len(votes.videos))


def _information(votes: Votes, pending: UnderWay, known: Panelists) -> tuple[Known | None, Ints]:
    """Joint information of the votes and those under way, of the videos that have any."""
    video, rater = _all(votes, pending)
    if not len(video):
        return None, np.zeros(0, np.int64)
    videos, j = np.unique(video, return_inverse=True)
    raters, i = np.unique(rater, return_inverse=True)
    inside = raters < len(known.precision)
    precision = np.full(len(raters), known.newcomer)
    precision[inside] = known.precision[raters[inside]]
    nothing = np.zeros(len(video))
    return joint_information(j, i, nothing, precision, known.spread, len(videos), len(raters)), videos


def _widest(votes: Votes, pending: UnderWay, known: Panelists) -> Floats:
    """The model's standard errors, scaled by each video's own spread of votes, shrunken to the common one."""
    error = standard_errors(votes, pending, known)
    counted = votes.counted()
    n = counted.per_video()
    mean = sums(counted.video, counted.vote, len(n)) / np.maximum(n, 1)
    square = sums(counted.video, (counted.vote - mean[counted.video]) ** 2, len(n))
    freedom = np.maximum(n - 1, 0)
    if not freedom.sum() or not square.sum():
        return error
    common = square.sum() / freedom.sum()
    own = (SHRINKAGE * common + square) / (SHRINKAGE + freedom)
    return np.where(np.isinf(error), error, error * np.sqrt(own / common))


URGENCY: Mapping[str, Callable[[Votes, UnderWay, Panelists], Floats]] = {
    INFORMATION: standard_errors,
    WIDEST: _widest,
}

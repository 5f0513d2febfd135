"""gMAD: the few pairs of videos that tell models apart.

Every model attacks every other: among videos to which the defender gives equal quality it finds the two that it holds
to be most different itself. Then people look. Who sees what the attacker says proves the defender wrong; who sees no
difference proves the attacker wrong. A few dozen pairs decide what thousands of random ones would not.

Source: Ma et al. (2020), "Group maximum differentiation competition: model comparison with few samples", IEEE TPAMI
42(4) (first at CVPR 2016); after Wang and Simoncelli (2008), "Maximum differentiation (MAD) competition", Journal of
Vision 8(12), where the pairs are synthesised.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from mdsvqa.evaluation.logistic import map_to_mos
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError

# Of the common scale: what is lost when a float is mapped, compared and mapped back.
ROUNDING = 1e-9


@dataclass(frozen=True)
class CommonScale:
    """Scores of several models, comparable with each other.

    Attributes:
        values: by model, shape (n,); higher is better.
        span: length of the scale, in its own unit: 100 for ranks, the range of the MOS for MOS.
        unit: "percentile" or "MOS".
    """

    values: Mapping[str, Floats]
    span: float
    unit: str


@dataclass(frozen=True)
class Attack:
    """Two videos that speak against a defender.

    Attributes:
        attacker, defender: models.
        level: of the defender's quality, 1 (worst) to the number of levels.
        weight: share of all videos that the defender puts on this level, in (0, 1].
        better, worse: the videos, as the attacker orders them.
        attacker_difference, defender_difference: of the scores of `better` and `worse`, on the common scale; the
            defender's is signed.
    """

    attacker: str
    defender: str
    level: int
    weight: float
    better: str
    worse: str
    attacker_difference: float
    defender_difference: float

    @property
    def videos(self) -> frozenset[str]:
        """What identifies the pair, whoever found it."""
        return frozenset((self.better, self.worse))


def common_scale(
    scores: Mapping[str, Floats], mos: Floats | None = None, falling: AbstractSet[str] = frozenset()
) -> CommonScale:
    """Puts the scores of different models on one scale, so that "equal" and "most different" mean the same for all.

    With MOS, by the four-parameter logistic: a model that knows little of quality then has a small range, as it should.
    Without, by rank: nothing else is comparable between models whose units nobody knows.

    Args:
        scores: by model, finite, shape (n,).
        mos: of the same videos, shape (n,).
        falling: models whose high scores mean low quality. With MOS the logistic finds that by itself.

    Raises:
        InputError: fewer than two models, or a model that gives all videos one score.

    >>> common_scale({"a": np.array([1.0, 5.0, 2.0]), "b": np.array([9.0, 0.0, 1.0])}).values["a"].tolist()
    [0.0, 100.0, 50.0]
    """
    if len(scores) < 2:
        raise InputError(f"a competition needs at least two models; found {', '.join(scores) or 'none'}.")
    for model, score in scores.items():
        if np.ptp(score) == 0:
            raise InputError(f"scores {model!r} are all {score[0]:g}: a model that never differs cannot compete.")
    if mos is not None:
        if np.ptp(mos) == 0:
            raise InputError(f"the MOS are all {mos[0]:g}: scores cannot be mapped to them; leave the MOS out.")
        return CommonScale({m: map_to_mos(score, mos)[0] for m, score in scores.items()}, float(np.ptp(mos)), "MOS")
    ranks = {m: rankdata(-score if m in falling else score) - 1 for m, score in scores.items()}
    return CommonScale({m: 100 * rank / (len(rank) - 1) for m, rank in ranks.items()}, 100.0, "percentile")


def quality_levels(defender: Floats, levels: int) -> Ints:
    """The level of each video, 1 to `levels`: parts of equal width of the defender's range.

    So in the paper. On ranks the parts hold equally many videos, except for ties.

    >>> quality_levels(np.array([0.0, 1.0, 2.0, 10.0]), 2).tolist()
    [1, 1, 1, 2]
    """
    share = (defender - defender.min()) / np.ptp(defender)
    return np.minimum((share * levels).astype(np.int64), levels - 1) + 1


def most_different_pairs(
    attacker: Floats, defender: Floats, priority: Ints, tolerance: float, count: int, least: float | None = None
) -> list[tuple[int, int]]:
    """The pairs that the attacker holds to be most different among those that are equal to the defender.

    Each pair is the best of the videos that earlier ones left: a single odd video in several pairs would decide a duel.

    Args:
        attacker, defender: scores on the common scale, shape (n,).
        priority: a permutation, shape (n,): among equal pairs the one with the smallest number wins, then that whose
            other video has the smallest.
        tolerance: difference up to which the defender's scores are equal.
        count: of pairs, at most.
        least: the attacker's difference must be larger; by default than the tolerance, on a common scale.

    Returns:
        Places (better, worse), as the attacker orders them; fewer than `count` where no more differ.
    """
    left = np.argsort(defender, kind="stable")
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count and len(left) > 1:
        reach = tolerance if least is None else least
        found = _most_different(attacker[left], defender[left], priority[left], tolerance, reach)
        if found is None:
            break
        x, y = left[found[0]], left[found[1]]
        pairs.append((int(x), int(y)) if attacker[x] > attacker[y] else (int(y), int(x)))
        left = np.delete(left, found)
    return pairs


def _most_different(
    attacker: Floats, defender: Floats, priority: Ints, tolerance: float, least: float
) -> list[int] | None:
    """Places of the best pair of videos that are sorted by the defender's score."""
    start = np.searchsorted(defender, defender - tolerance, "left")
    stop = np.searchsorted(defender, defender + tolerance, "right")
    highest, lowest = _window_maximum(attacker, start, stop), -_window_maximum(-attacker, start, stop)
    difference = np.maximum(highest - attacker, attacker - lowest)
    most = difference.max()
    if most <= least:
        return None
    first = min(np.flatnonzero(difference == most), key=lambda place: priority[place])
    window = np.arange(start[first], stop[first])
    partners = window[np.abs(attacker[window] - attacker[first]) == most]
    return [int(first), int(min(partners, key=lambda place: priority[place]))]


def _window_maximum(values: Floats, start: Ints, stop: Ints) -> Floats:
    """The maximum of values[start[i]:stop[i]] for each i, by a table of maxima over powers of two."""
    table = [values]
    while 2 ** len(table) <= len(values):
        half, last = 2 ** (len(table) - 1), table[-1]
        table.append(np.concatenate([np.maximum(last[:-half], last[half:]), np.full(half, -np.inf)]))
    # frexp is exact where a logarithm might round a power of two down.
    power = np.frexp((stop - start).astype(np.float64))[1] - 1
    stacked = np.stack(table)
    return np.maximum(stacked[power, start], stacked[power, stop - 2**power])


def find_attacks(
    ids: Sequence[str],
    scale: CommonScale,
    *,
    levels: int = 5,
    per_level: int = 2,
    tolerance: float = 0.02,
    seed: int = 0,
) -> list[Attack]:
    """The pairs with which every model attacks every other.

    Args:
        ids: of the videos, n of them, unique.
        scale: their scores.
        levels: of the defender's quality: a model may be right on good videos and wrong on bad ones.
        per_level: pairs on each level of each duel. Within a duel no video is in two pairs.
        tolerance: share of the scale's span up to which the defender's scores are equal. 0.02 is 0.08 on a MOS scale
            of 1 to 5, less than raters tell apart.
        seed: decides among equal pairs; the order in which videos are listed does not.

    Returns:
        Attacks by attacker, defender, level, and strength. A level on which the models agree has fewer than
        `per_level`.

    Raises:
        InputError: too few videos, or no model differs from another.
    """
    need = 2 * levels * per_level
    if len(ids) < need:
        raise InputError(
            f"{levels} levels of {per_level} pairs need at least {need} videos that every model scored; found "
            f"{len(ids)}. Ask for fewer levels or pairs."
        )
    priority = np.empty(len(ids), np.int64)
    # Ids of a corpus begin with its genres: the alphabet among equals would choose a genre.
    priority[np.argsort(np.array(ids))] = np.random.default_rng(seed).permutation(len(ids))
    width = (tolerance + ROUNDING) * scale.span
    attacks = []
    level_of = {model: quality_levels(values, levels) for model, values in scale.values.items()}
    for attacker, defender in permutations(scale.values, 2):
        a, d = scale.values[attacker], scale.values[defender]
        for level in range(1, levels + 1):
            members = np.flatnonzero(level_of[defender] == level)
            pairs = most_different_pairs(a[members], d[members], priority[members], width, per_level)
            for x, y in (members[list(pair)] for pair in pairs):
                share = len(members) / len(ids)
                found = Attack(attacker, defender, level, share, ids[x], ids[y], float(a[x] - a[y]), float(d[x] - d[y]))
                attacks.append(found)
    if not attacks:
        raise InputError(f"{', '.join(scale.values)} differ by less than the tolerance everywhere: nothing to compare.")
    return attacks


@dataclass(frozen=True)
class PairToRate:
    """Two videos side by side, as raters see them; `name` says nothing of the models."""

    name: str
    left: str
    right: str


def pairs_to_rate(attacks: Sequence[Attack], seed: int = 0) -> list[PairToRate]:
    """Every distinct pair once, in random order, sides at random.

    Neither the order nor the side may tell a rater which model found a pair, or what it says of it.

    Returns:
        Pairs named p1, p2, ... (with leading zeros) in the order of rating.
    """
    distinct = sorted(tuple(sorted(videos)) for videos in {attack.videos for attack in attacks})
    rng = np.random.default_rng(seed)
    order, swapped = rng.permutation(len(distinct)), rng.random(len(distinct)) < 0.5
    digits = len(str(len(distinct)))
    rows = [distinct[place][::-1] if swap else distinct[place] for place, swap in zip(order, swapped, strict=True)]
    return [PairToRate(f"p{number:0{digits}d}", left, right) for number, (left, right) in enumerate(rows, 1)]


def mos_preference(difference: Floats, variance: Floats) -> Floats:
    """Probability that a rater prefers the first of two videos, from their MOS.

    Args:
        difference: MOS of the first minus MOS of the second, any shape.
        variance: of that difference: the sum of the variances of single ratings of both videos.

    Returns:
        Values in [0, 1]. Where the variance is 0: 1, 0.5 or 0.

    Source: Thurstone (1927).

    >>> mos_preference(np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 0.0])).round(3).tolist()
    [0.5, 0.841, 0.0]
    """
    certain = (np.sign(difference) + 1) / 2
    noise = np.sqrt(variance)
    return np.where(noise > 0, ndtr(difference / np.where(noise > 0, noise, 1)), certain)

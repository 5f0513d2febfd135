"""Which pairs to show next: those whose answers are expected to narrow the scores most, each video once a round."""

import numpy as np

from mdsvqa.labeling.estimate import sums
from mdsvqa.labeling.pairs import Posterior
from mdsvqa.runtime.arrays import Flags, Floats, Ints

# The information phi(d)^2 / (Phi(d) Phi(-d)) of an answer is close to 2 / pi exp(-FALL d^2).
FALL = 1 - 2 / np.pi
# Relative difference up to which two pairs are a tie.
TIE = 1e-6


def next_pairs(
    known: Posterior, rng: np.random.Generator, *, shut: Flags | None = None, most: int | None = None
) -> tuple[Ints, Ints]:
    """One round of disjoint pairs, each the one that is expected to lower the summed variance of the scores most.

    Neighbours in the order tell most, as their answer is open; but where it is not known yet who they are, pairs from
    afar tell more, and pairs that link what was never compared. Both weigh here as the posterior has it: the expected
    information of an answer over what its two scores may be, times what it lowers all variances by. Earlier pairs of
    the round count as asked.

    Args:
        known: scores so far; before the first answer, the prior.
        rng: for ties, and which side each goes to.
        shut: pairs that may not be asked, symmetric, shape (videos, videos); none by default.
        most: so many pairs at most; the first ones tell most.

    Returns:
        First and second of each pair, shape (videos // 2,) or less where pairs are shut; of an odd number one video
        rests.

    Source: A-optimal design (Chaloner and Verdinelli, 1995), one pair after the other.
    """
    videos = len(known.score)
    rounds = videos // 2 if most is None else min(most, videos // 2)
    covariance = known.covariance.copy()
    squared = covariance @ covariance
    distance = (known.score[:, None] - known.score) ** 2 / 2
    free, order = np.ones(videos, np.bool_), []
    for _ in range(rounds):
        places = np.flatnonzero(free)
        inside = np.ix_(places, places)
        variance, reach = (_of_difference(matrix[inside]) for matrix in (covariance, squared))
        information = expected_information(distance[inside], variance)
        gain = information * reach / (1 + information * variance) * (1 + TIE * rng.random(variance.shape))
        np.fill_diagonal(gain, -1)
        if shut is not None:
            gain[shut[inside]] = -1
        if gain.max() < 0:
            break
        one, other = (int(places[place]) for place in np.unravel_index(int(gain.argmax()), gain.shape))
        free[[one, other]] = False
        order += [one, other]
        covariance, squared = _asked(covariance, squared, one, other, known.score[one] - known.score[other])
    return _sides(np.array(order, np.int64), rng)


def asked(known: Posterior, first: Ints, second: Ints) -> Posterior:
    """What will be known once some pairs are answered, whatever the answers; the scores stay.

    >>> before = Posterior(np.zeros(2), 9 * np.eye(2))
    >>> (asked(before, np.array([0]), np.array([1])).covariance.diagonal() < 9).tolist()
    [True, True]
    """
    if not len(first):
        return known
    videos, score = len(known.score), known.score
    variance = _of_difference(known.covariance)[first, second]
    half = expected_information((score[first] - score[second]) ** 2 / 2, variance) / 2
    between = sums(first * videos + second, half, videos * videos).reshape(videos, videos)
    added = -(between + between.T)
    added[np.diag_indices(videos)] = sums(first, half, videos) + sums(second, half, videos)
    return Posterior(score, np.asarray(np.linalg.inv(np.linalg.inv(known.covariance) + added), np.float64))


def random_pairs(known: Posterior, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """One round of disjoint pairs at random."""
    order = rng.permutation(len(known.score))
    return _sides(order[: len(order) // 2 * 2], rng)


def expected_information(distance: Floats, variance: Floats) -> Floats:
    """Information of an answer about d = (score - score) / sqrt(2), for d normal about its mean.

    Args:
        distance: square of the mean of d, any shape.
        variance: of d.

    >>> expected_information(np.array([0.0]), np.array([0.0])).round(4).tolist()
    [0.6366]
    """
    wide = 1 + 2 * FALL * variance
    return 2 / np.pi / np.sqrt(wide) * np.exp(-FALL * distance / wide)


def _of_difference(matrix: Floats) -> Floats:
    """e' M e for every e = (unit vector - unit vector) / sqrt(2)."""
    diagonal = np.diag(matrix)
    return (diagonal[:, None] + diagonal - 2 * matrix) / 2


def _asked(covariance: Floats, squared: Floats, one: int, other: int, difference: float) -> tuple[Floats, Floats]:
    """Covariance and its square once a pair is answered, whatever the answer."""
    x = (covariance[:, one] - covariance[:, other]) / np.sqrt(2)
    variance = (x[one] - x[other]) / np.sqrt(2)
    information = expected_information(np.array(difference**2 / 2), np.array(variance))
    share = float(information / (1 + information * variance))
    turned = covariance @ x
    squared = squared - share * (np.outer(turned, x) + np.outer(x, turned)) + share**2 * (x @ x) * np.outer(x, x)
    return covariance - share * np.outer(x, x), squared


def _sides(order: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    one, other = order[0::2], order[1::2]
    swapped = rng.random(len(one)) < 0.5
    return np.where(swapped, other, one), np.where(swapped, one, other)

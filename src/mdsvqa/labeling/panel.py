"""The default model of votes: P.910's equation with both effects of a rater shrunk, for few votes a video.

    vote = quality of the video + bias of the rater + noise of the rater

The standard's maximum likelihood has nothing that holds the effects of a rater who gave few votes: a newcomer's bias is
whatever the first vote says, and whoever happens to agree with the means gets all of the weight. Here a bias is normal
with an estimated variance, and a rater's noise variance has a scaled inverse chi-square prior with an estimated scale.
The prior is worth 4 to 32 votes; how many is averaged over by how likely the votes are under each, so that raters who
are alike weigh alike, and careless ones among them lose their weight without a threshold.

EM: the E-step takes quality and bias jointly, by their mixed-model equations, and every rater's precision given them;
intervals come from the same joint information, with what raters in common leave unknown of the scale's zero.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.special import gammaln, logsumexp
from scipy.stats import t as student

from mdsvqa.labeling.estimate import Estimate, shares, spread_out, sums
from mdsvqa.labeling.parts import linked_parts
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.arrays import Floats, Ints

# Votes that the prior of a rater's variance may be worth.
STRENGTHS = np.array([4.0, 8.0, 16.0, 32.0])
# Noise of single votes in levels of a five-level scale where votes say nothing of it (Janowski and Pinson, 2015: about
# half of the five levels), and that of biases against it; each is worth one rater.
NOISE, BIAS_SHARE = 0.7, 0.5
# A vote in whole levels is off by rounding at least: the variance of a uniform error, in steps of the votes squared.
ROUNDING = 1 / 12
# Change of any MOS and any standard deviation, in levels, below which the iteration ends.
CHANGE, MOST_ROUNDS = 1e-6, 500
LEVELS = 4.0
# Name of the estimated standard deviation of biases among the settings.
BIAS_STD = "bias_std"
# Above this share of votes given, plain matrices are faster than sparse ones.
DENSE = 0.1


@dataclass(frozen=True)
class Known:
    """What one round says of quality and bias together.

    Attributes:
        quality, bias: shapes (videos,) and (raters,).
        of_quality, of_bias: their variances.
        of_sum: variance of quality plus bias at each vote, shape (n,).
    """

    quality: Floats
    bias: Floats
    of_quality: Floats
    of_bias: Floats
    of_sum: Floats


def panel(votes: Votes) -> Estimate:
    """MOS from few votes a video, each rater on a part of the videos.

    Args:
        votes: that count; any design, also of a single vote.

    Returns:
        Bias as expected given the votes, so near 0 for who gave few; inconsistency and weight likewise near the
        others'. The interval is Student's.
    """
    videos, raters = np.unique(votes.video), np.unique(votes.rater)
    video, rater = np.searchsorted(videos, votes.video), np.searchsorted(raters, votes.rater)
    level = (votes.high - votes.low) / LEVELS
    found, precision, strength, spread = _fit(video, rater, votes.vote, len(videos), len(raters), level)
    of_video, of_rater = linked_parts(votes)
    zero = centre(found, spread, of_rater[raters])
    freedom = len(votes) - len(videos) + STRENGTHS[0]
    whole = len(votes.videos)
    quality = spread_out(found.quality + zero[of_video[videos]], videos, whole)
    se = spread_out(np.sqrt(found.of_quality), videos, whole)
    half = student.ppf(0.975, freedom) * se
    precisions = spread_out(precision, raters, len(votes.raters))
    return Estimate(
        "panel",
        {"prior_votes": strength, BIAS_STD: float(np.sqrt(spread))},
        quality,
        quality - half,
        quality + half,
        se,
        votes.per_video(),
        spread_out(found.bias - zero[of_rater[raters]], raters, len(votes.raters)),
        1 / np.sqrt(precisions),
        shares(precisions),
        None,
        of_video,
    )


def centre(found: Known, spread: float, part: Ints) -> Floats:
    """The mean bias of each part, by which its zero is moved: raters count as far as their bias is known.

    The equations leave the plain mean at 0. Then one vote of a newcomer, most of which is taken for bias, would move
    all others' biases, and with them every MOS.

    Args:
        found: quality and bias.
        spread: variance of biases.
        part: number of each rater's part, shape (raters,).

    Returns:
        Shape (parts,), 0 where nothing is known.
    """
    reliability = np.maximum(1 - found.of_bias / spread, 0)
    total = np.bincount(part, reliability)
    return np.divide(np.bincount(part, reliability * found.bias), total, out=np.zeros_like(total), where=total > 0)


def _fit(
    video: Ints, rater: Ints, vote: Floats, videos: int, raters: int, level: float
) -> tuple[Known, Floats, float, float]:
    """EM; every video and every rater has a vote."""
    n = np.bincount(rater, minlength=raters)
    steps = np.diff(np.unique(vote))
    finest = 1 / (ROUNDING * (steps.min() if len(steps) else level) ** 2)
    usual = (NOISE * level) ** 2
    mean = sums(video, vote, videos) / np.bincount(video, minlength=videos)
    scale = (((vote - mean[video]) ** 2).sum() + usual) / (len(vote) - videos + 1)
    precision, spread = np.full(raters, 1 / scale), BIAS_SHARE**2 * scale
    before, strength = np.full(videos + raters + 1, np.inf), float(STRENGTHS[0])
    for _ in range(MOST_ROUNDS):
        known = joint_information(video, rater, vote, precision, spread, videos, raters)
        residual = vote - known.quality[video] - known.bias[rater]
        squares = sums(rater, residual**2 + known.of_sum, raters)
        precision, strength = expected_precision(squares, n, scale)
        precision = np.minimum(precision, finest)
        scale = (raters + 1) / (precision.sum() + 1 / usual)
        spread = ((known.bias**2 + known.of_bias).sum() + BIAS_SHARE**2 * scale) / (raters + 1)
        now = np.concatenate([known.quality, 1 / np.sqrt(precision), [np.sqrt(spread)]])
        if np.abs(now - before).max() < CHANGE * level:
            break
        before = now
    return joint_information(video, rater, vote, precision, spread, videos, raters), precision, strength, spread


def expected_precision(squares: Floats, n: Ints, scale: float) -> tuple[Floats, float]:
    """Every rater's expected precision under the prior, averaged over what the prior may be worth.

    Given a worth of v votes and the sum of squared residuals s of n votes, the precision of a rater is gamma with mean
    (v + n) / (v scale + s); the votes' likelihood weighs one v against another.

    Args:
        squares: sums of squared residuals, shape (raters,).
        n: votes of each, shape (raters,).
        scale: of the prior, a variance.

    Returns:
        Shape (raters,), and the expected worth.

    >>> expected_precision(np.array([4.0, 4.0]), np.array([16, 16]), 0.25)[0].round(9).tolist()
    [4.0, 4.0]
    """
    v = STRENGTHS[:, None]
    shape, rate = (v + n) / 2, (v * scale + squares) / 2
    likelihood = (gammaln(shape) - gammaln(v / 2) + v / 2 * np.log(v * scale / 2) - shape * np.log(rate)).sum(1)
    chance = np.exp(likelihood - logsumexp(likelihood))
    return chance @ (shape / rate), float(chance @ STRENGTHS)


def joint_information(
    video: Ints, rater: Ints, vote: Floats, precision: Floats, spread: float, videos: int, raters: int
) -> Known:
    """Quality and bias given the raters' precisions: the mixed-model equations, the larger side eliminated.

    Args:
        video, rater, vote: of each vote, shape (n,).
        precision: of a vote of each rater, shape (raters,).
        spread: variance of biases.
        videos, raters: how many; each has a vote.

    Source: Henderson (1975), "Best linear unbiased estimation and prediction under a selection model".
    """
    weight = precision[rater]
    of_quality, of_bias = sums(video, weight, videos), sums(rater, weight, raters) + 1 / spread
    toward_quality, toward_bias = sums(video, weight * vote, videos), sums(rater, weight * vote, raters)
    if raters <= videos:
        bias, quality, var_bias, var_quality, both = _solve(
            (rater, of_bias, toward_bias), (video, of_quality, toward_quality), weight
        )
    else:
        quality, bias, var_quality, var_bias, both = _solve(
            (video, of_quality, toward_quality), (rater, of_bias, toward_bias), weight
        )
    return Known(quality, bias, var_quality, var_bias, var_quality[video] + 2 * both + var_bias[rater])


def _solve(
    kept: tuple[Ints, Floats, Floats], gone: tuple[Ints, Floats, Floats], weight: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Solves [[A, B], [B', D]] [x, y] = [a, d] with diagonal A and D, of which D is eliminated.

    Args:
        kept, gone: of each side the place of every vote, the diagonal, and the right-hand side.
        weight: of every vote: the entries of B.

    Returns:
        x, y, their variances (diagonals of the inverse), and the covariance of the two at every vote.
    """
    (place, diagonal, right), (other, other_diagonal, other_right) = kept, gone
    shape = (len(diagonal), len(other_diagonal))
    b: Any = csr_array((weight, (place, other)), shape=shape)
    through: Any = csr_array((weight / other_diagonal[other], (place, other)), shape=shape)
    if b.nnz > DENSE * shape[0] * shape[1]:
        b, through = b.toarray(), through.toarray()
    product = through @ b.T
    information = np.diag(diagonal) - (product if isinstance(product, np.ndarray) else product.toarray())
    covariance = cho_solve(cho_factor(information, lower=True), np.eye(shape[0]))
    x = covariance @ (right - through @ other_right)
    y = (other_right - b.T @ x) / other_diagonal
    reached = (through.T @ covariance).T
    cross = -reached[place, other]
    if isinstance(through, np.ndarray):
        added = np.einsum("ij,ij->j", through, reached)
    else:
        added = np.asarray(through.multiply(reached).sum(axis=0)).ravel()
    return x, y, np.diag(covariance), 1 / other_diagonal + added, cross

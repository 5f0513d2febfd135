"""How many videos, and how many raters each, does a study need to measure SRCC this precisely?

By simulation from the pool's own scores: their spread and ties decide how much a correlation can vary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from mdsvqa.evaluation.bootstrap import resampled_pearson
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.metrics import paired_values
from mdsvqa.evaluation.reliability import NORMAL
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError

# Standard deviation of single ratings around a video's true quality, 1-5 scale. The random part of one rating spans
# about half of the five levels (Janowski and Pinson, 2015): about 0.65 as +-1.96 standard deviations; with biases
# between raters of 0.3 to 0.5 on top, 0.7 to 0.8. YouTube-UGC publishes 0.57 per video on average, after screening.
NOISE = 0.8
# Standard deviation of true quality where no video is labeled; that of MOS is 0.64 in YouTube-UGC, 0.72 in KoNViD-1k.
SPREAD = 0.65
# Half of the interval of a MOS at which a study of ours ends by default: MOS then correlate with quality by 0.96.
HALF_WIDTH = 0.35
VIDEOS = (50, 100, 200, 400, 800, 1600)
RATERS = (5, 10, 15, 24, 40)
# Videos of the large sample on which the latent correlation is found.
CALIBRATION = 100_000
# Numbers held at once for one block of studies.
BLOCK = 2_000_000


@dataclass(frozen=True)
class Design:
    """A study and what it would find.

    Attributes:
        videos, raters: each of the videos has this many ratings.
        attenuation: expected SRCC with MOS over SRCC with true quality, in (0, 1]: what the noise of MOS takes.
        width: expected width of the 95% interval of the SRCC with MOS.
    """

    videos: int
    raters: int
    attenuation: float
    width: float


@dataclass(frozen=True)
class StudySize:
    """Designs, and what was assumed.

    Attributes:
        srcc: of scores with true quality, assumed.
        noise: standard deviation of single ratings, assumed.
        designs: every number of videos with every number of raters.
    """

    srcc: float
    noise: float
    designs: Sequence[Design]

    def smallest(self, width: float) -> Design | None:
        """The design with the fewest ratings whose interval is no wider; of two, the one with fewer videos."""
        enough = [design for design in self.designs if design.width <= width]
        return min(enough, key=lambda design: (design.videos * design.raters, design.videos), default=None)


def ratings_for(half_width: float, noise: float = NOISE) -> int:
    """Ratings of a video until half of the 95% interval of its MOS is no wider than wanted.

    Args:
        half_width: in MOS points, larger than 0.
        noise: standard deviation of single ratings, biases of raters included where no model takes them off.

    Source: the interval of the mean, as in `reliability.half_width`.

    >>> ratings_for(0.35, 0.7)
    16
    """
    return max(1, math.ceil((NORMAL * noise / half_width) ** 2))


def study_size(
    score: ArrayLike,
    mos: ArrayLike | None = None,
    *,
    true_srcc: float | None = None,
    noise: float = NOISE,
    videos: Sequence[int] = (),
    raters: Sequence[int] = RATERS,
    studies: int = 1000,
    seed: int = 0,
) -> StudySize:
    """What studies on videos of this pool would find.

    Quality is linked to the ranks of the scores by a normal copula; a MOS is true quality plus normal noise of variance
    noise**2 / raters. Videos are drawn with replacement: the interval is about further such videos.

    Args:
        score: of the pool, shape (n,), finite; where `true_srcc` is to come from labels, higher for better videos.
        mos: of its labeled part: shape (n,), NaN where unlabeled. Its distribution is taken for that of true quality,
            and its SRCC with the scores for the true one where `true_srcc` is None; a little off, as MOS is noisy.
        true_srcc: of scores with true quality, in (0, 1).
        noise: standard deviation of single ratings, MOS points.
        videos: to tabulate; by default `VIDEOS`, as far as the pool has them.
        raters: to tabulate.
        studies: simulated for each number of videos.
        seed: of the simulation.

    Raises:
        InputError: there are fewer than 5 scores, or all are the same; nothing says what the true SRCC is; it is out of
            range, or more than scores with such ties can reach; a MOS is outside 1 to 5 while `noise` is the default.
    """
    x = np.asarray(score, np.float64)
    if len(x) < 5 or not np.isfinite(x).all() or np.ptp(x) == 0:
        raise InputError(
            f"a study is simulated from at least 5 finite scores that are not all the same; found {len(x)}."
        )
    labels = np.full(len(x), np.nan) if mos is None else np.asarray(mos, np.float64)
    labeled = np.isfinite(labels)
    wanted = _assumed_srcc(x[labeled], labels[labeled], true_srcc)
    known = np.sort(labels[labeled])
    if len(known) and noise == NOISE and (known[0] < 1 or known[-1] > 5):
        raise InputError(
            f"MOS from {known[0]:g} to {known[-1]:g} are not on the 1-5 scale, for which the noise of ratings of "
            f"{NOISE} is meant; give the one of their scale."
        )
    pool = norm.ppf((rankdata(x) - 0.5) / len(x))
    link = _latent_correlation(pool, wanted, seed)
    sizes = videos or [*(size for size in VIDEOS if size < len(x)), *([len(x)] if len(x) < VIDEOS[-1] else [])]
    designs = []
    for size in sizes:
        found = _simulate(pool, link, known, noise, size, raters, studies, seed)
        designs += [_design(size, count, found[count], wanted) for count in raters]
    return StudySize(wanted, noise, designs)


def _assumed_srcc(score: Floats, mos: Floats, given: float | None) -> float:
    if given is None and not len(mos):
        raise InputError("no video is labeled: say which SRCC with true quality to assume, such as 0.7.")
    found = srcc(*paired_values(score, mos)) if given is None else given
    if not 0 < found < 1:
        raise InputError(
            f"the SRCC with true quality must be above 0 and below 1; found {found:.3f}. "
            "Scores that fall with quality: hand in their negative."
        )
    return found


def _latent_correlation(pool: Floats, wanted: float, seed: int) -> float:
    """Correlation of normal quality with the normal scores of the pool at which their SRCC is as wanted."""
    rng = np.random.default_rng([seed, 0])
    drawn, noise = rng.choice(pool, CALIBRATION), rng.standard_normal(CALIBRATION)

    def excess(link: float) -> float:
        return srcc(drawn, link * drawn + np.sqrt(1 - link**2) * noise) - wanted

    # Just below 1, where chance still decides within ties: quality has none.
    most = 1 - 1e-9
    if excess(most) < 0:
        raise InputError(
            f"scores with so many ties cannot reach an SRCC of {wanted:.3f}; the most is {excess(most) + wanted:.3f}."
        )
    return float(brentq(excess, 0.0, most, xtol=1e-4))


def _simulate(
    pool: Floats,
    link: float,
    known: Floats,
    noise: float,
    videos: int,
    raters: Sequence[int],
    studies: int,
    seed: int,
) -> dict[int, Floats]:
    """SRCC with MOS of each simulated study, by the number of raters, each of shape (studies,)."""
    rng = np.random.default_rng([seed, videos])
    found: dict[int, list[Floats]] = {count: [] for count in raters}
    rows = max(1, BLOCK // videos)
    for start in range(0, studies, rows):
        shape = (min(rows, studies - start), videos)
        score = rng.choice(pool, shape)
        latent = link * score + np.sqrt(1 - link**2) * rng.standard_normal(shape)
        places = (np.arange(len(known)) + 0.5) / len(known) if len(known) else known
        quality = np.interp(norm.cdf(latent), places, known) if len(known) else SPREAD * latent
        ranks = rankdata(score, axis=1)
        # The same raters first in every panel, so that panels differ by their size and not by chance.
        panel, seen = np.zeros(shape), 0
        for count in sorted(raters):
            panel += np.sqrt(count - seen) * rng.standard_normal(shape)
            seen = count
            rated = quality + noise * panel / count
            found[count].append(resampled_pearson(ranks, rankdata(rated, axis=1), np.ones(shape)))
    return {count: np.concatenate(blocks) for count, blocks in found.items()}


def _design(videos: int, raters: int, found: Floats, true_srcc: float) -> Design:
    # On Fisher's scale, where the correlations are nearly normal: quantiles would need more studies.
    z = np.arctanh(np.clip(found[np.isfinite(found)], -0.999999, 0.999999))
    half = norm.ppf(0.975) * z.std(ddof=1)
    width = np.tanh(z.mean() + half) - np.tanh(z.mean() - half)
    return Design(videos, raters, float(np.nanmean(found)) / true_srcc, float(width))

"""Do the intervals and tests of `mdsvqa compare` keep what they promise?

    python benchmarks/coverage.py [--studies 500] [--videos 200] [--draws 1000] [--seed 0]

Simulated studies of two models whose true SRCC is known: MOS and both scores are jointly normal, where the SRCC of a
correlation r is 6 / pi * arcsin(r / 2) (Pearson, 1907). Scores of the two models correlate with each other beyond what
MOS explains, as those of a model and its fine-tuned version do.

Coverage: how often the 95% paired bootstrap interval of the difference of two SRCC (0.82 and 0.75) holds the true one.
False rejections: how often Meng, Rosenthal and Rubin's test on SRCC, at p < 0.05, calls two models different that have
the same true SRCC (0.75). Wanted: 93 to 97%, and 3 to 7%. The test is the one of the package, with the variance of rank
correlations; as derived, for Pearson's correlations, it stands beside it.
"""

import argparse
import json
import math

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mdsvqa.evaluation.bootstrap import resample_counts, srcc_draws
from mdsvqa.evaluation.correlated import meng_test, williams_test
from mdsvqa.evaluation.correlation import srcc
from mdsvqa.evaluation.intervals import percentile_interval

Floats = NDArray[np.float64]
BETTER, WORSE, BETWEEN = 0.82, 0.75, 0.85


def pearson_of(spearman: float) -> float:
    """The correlation of normal variables that have this SRCC.

    >>> round(pearson_of(0.75), 4)
    0.7654
    """
    return 2 * math.sin(math.pi * spearman / 6)


def study(first: float, second: float, videos: int, rng: np.random.Generator) -> Floats:
    """Both models' scores and MOS, shape (3, videos), with these true SRCC, and `BETWEEN` for the two models."""
    a, b, c = (pearson_of(value) for value in (first, second, BETWEEN))
    covariance = np.array([[1, c, a], [c, 1, b], [a, b, 1]])
    drawn: Floats = rng.multivariate_normal(np.zeros(3), covariance, size=videos, method="cholesky").T
    return drawn


def covers(videos: int, draws: int, seed: int) -> dict[str, bool]:
    """Whether the intervals of one study hold the truth: of the difference, and of one SRCC."""
    first, second, mos = study(BETTER, WORSE, videos, np.random.default_rng([seed, 0]))
    counts = resample_counts(videos, draws, seed)
    of_first, of_second = srcc_draws(first, mos, counts), srcc_draws(second, mos, counts)
    difference = percentile_interval(srcc(first, mos) - srcc(second, mos), of_first - of_second)
    single = percentile_interval(srcc(first, mos), of_first)
    return {
        "difference": difference.low <= BETTER - WORSE <= difference.high,
        "single": single.low <= BETTER <= single.high,
    }


def rejects(videos: int, seed: int) -> dict[str, bool]:
    """Whether each test rejects a true null in one study."""
    first, second, mos = study(WORSE, WORSE, videos, np.random.default_rng([seed, 1]))
    found = srcc(first, mos), srcc(second, mos), srcc(first, second)
    return {
        "meng": meng_test(*found, videos, ranks=True).p < 0.05,
        "williams": williams_test(*found, videos, ranks=True).p < 0.05,
        "meng_plain": meng_test(*found, videos).p < 0.05,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    threadpool_limits(1)
    seeds = range(options.seed, options.seed + options.studies)
    covered = [covers(options.videos, options.draws, seed) for seed in seeds]
    rejected = [rejects(options.videos, seed) for seed in seeds]
    rows = {
        "95% paired bootstrap interval of a difference of SRCC holds the truth": ("difference", covered, "93 to 97%"),
        "95% bootstrap interval of one SRCC holds the truth": ("single", covered, ""),
        "Meng, Rosenthal and Rubin on SRCC rejects a true null": ("meng", rejected, "3 to 7%"),
        "Williams' t on SRCC rejects a true null": ("williams", rejected, ""),
        "Meng, Rosenthal and Rubin as derived, for Pearson's, on SRCC": ("meng_plain", rejected, ""),
    }
    table = Table("", "share", "standard error", "wanted")
    shares = {}
    for words, (name, outcomes, wanted) in rows.items():
        share = shares[name] = float(np.mean([outcome[name] for outcome in outcomes]))
        table.add_row(words, f"{share:.3f}", f"{math.sqrt(share * (1 - share) / len(outcomes)):.3f}", wanted)
    Console().print(table)
    result = {"studies": options.studies, "videos": options.videos, "draws": options.draws}
    result |= {"coverage": round(shares["difference"], 4), "false_rejections": round(shares["meng"], 4)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

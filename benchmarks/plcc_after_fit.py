"""What PLCC after the logistic fit says of a model that knows nothing, beside PLCC without a fit.

    python benchmarks/plcc_after_fit.py [--studies 400] [--draws 300]

Scores are drawn without a look at the MOS, so that the true correlation is 0. Each study is evaluated as by `mdsvqa
evaluate`: the interval of PLCC after the fit is made from resamples in each of which the logistic is fitted anew. A
second table has scores that agree with the MOS, linearly: both intervals should hold the true correlation.
"""

import argparse
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mdsvqa.evaluation.metrics import evaluate
from mdsvqa.runtime.arrays import Floats

SIZES = (20, 50, 100, 200, 400, 1000)
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def worthless(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Scores and MOS that know nothing of each other."""
    return rng.normal(size=n), rng.uniform(1, 5, n)


def agreeing(correlation: float) -> Draw:
    """Scores and MOS of this correlation, Gaussian."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        mos = rng.normal(size=n)
        return correlation * mos + np.sqrt(1 - correlation**2) * rng.normal(size=n), mos

    return draw


def simulate(draw: Draw, truth: float, n: int, studies: int, draws: int) -> dict[str, tuple[float, float]]:
    """Mean of each PLCC over studies, and the share of their 95% intervals that hold the truth."""
    found: dict[str, list[tuple[float, bool]]] = {"plcc": [], "plcc_raw": []}
    for study in track(range(studies), f"{n} videos", transient=True):
        score, mos = draw(np.random.default_rng([study, n]), n)
        result = evaluate(score, mos, draws=draws, seed=study)
        for name, of_studies in found.items():
            interval = result.metrics[name]
            of_studies.append((interval.value, interval.low <= truth <= interval.high))
    return {name: (float(np.mean([v for v, _ in e])), float(np.mean([h for _, h in e]))) for name, e in found.items()}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    for title, draw, truth in (("worthless", worthless, 0.0), ("true correlation 0.7", agreeing(0.7), 0.7)):
        table = Table("videos", "PLCC after fit, mean", "its interval holds the truth", "raw PLCC, mean", "holds it")
        for n in options.sizes:
            found = simulate(draw, truth, n, options.studies, options.draws)
            cells = [f"{found[name][0]:.3f} {found[name][1]:.1%}".split() for name in ("plcc", "plcc_raw")]
            table.add_row(str(n), *cells[0], *cells[1])
        Console().print(title)
        Console().print(table)


if __name__ == "__main__":
    main()

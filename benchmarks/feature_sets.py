"""Two kernels against one: VIDEVAL's 60 and BRISQUE's 36 features as two sets, or all 96 as one.

    python benchmarks/feature_sets.py [--seeds 20] [--first-seed 0] [--data ../shared/data/videval]

The Gaussian process on the source, and fine-tuned with 5% of the target's pool labeled by facility location, over six
directions between YouTube-UGC, KoNViD-1k and LIVE-VQC. A third run has 36 features of noise in BRISQUE's place: the
share of their kernel is to be 0.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.statistical.kernel_model import LabeledFeatures
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.models.statistical.two_domain_gp import finetune_two_domains, fit_source_process
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.select import select
from mdsvqa.selection.settings import SelectionSettings
from real_domains import DIRECTIONS, NAMES, divided, interval, load

Floats = NDArray[np.float64]
# Name, sets of features, whether the second is noise.
KINDS = {"one kernel": ((96,), False), "two kernels": ((60, 36), False), "one of them noise": ((60, 36), True)}


def one_seed(job: tuple[str, str, int], data: Path) -> dict[str, tuple[float, float, float]]:
    """SRCC on the source's and on the target's test part, and the second set's share, by kind."""
    source, target, seed = job
    found = {}
    for kind, (sizes, noise) in KINDS.items():
        rng = np.random.default_rng(seed)
        (features, mos), (others, new_mos) = (both_sets(data, name) for name in (source, target))
        train, held_out = divided(len(mos), rng)
        pool, test = divided(len(new_mos), rng)
        if noise:
            features[:, 60:], others[:, 60:] = (rng.normal(size=(len(rows), 36)) for rows in (features, others))
        content = Content.stack(list(Standardiser.fit(others[pool])(others[pool])[:, None, :]))
        ids = [f"{place:04d}" for place in range(len(pool))]
        picks = select(ids, np.zeros(len(pool)), content, round(0.05 * len(pool)), SelectionSettings(), seed=seed)
        chosen = pool[[pick.index for pick in picks]]
        known, new = labeled(features, mos, train, 0), labeled(others, new_mos, chosen, 1)
        base = fit_source_process(known, sizes)
        tuned = finetune_two_domains(base, known.join(new))
        assert base.process is not None
        shares = base.process.kernel.amplitudes / base.process.kernel.variance
        on_source = srcc(base.predict(features[held_out]), mos[held_out])
        found[kind] = (on_source, srcc(tuned.predict(others[test]), new_mos[test]), float(shares[1:].sum()))
    return found


def both_sets(data: Path, name: str) -> tuple[Floats, Floats]:
    """VIDEVAL's and BRISQUE's features side by side, shape (n, 96), and MOS."""
    (_, first, mos), (_, second, _) = load(data, name), load(data, name, "brisque_")
    return np.hstack([first, second]), mos


def labeled(features: Floats, mos: Floats, index: NDArray[np.int64], code: int) -> LabeledFeatures:
    return LabeledFeatures(features[index], mos[index], np.full(len(index), code), np.full(len(index), bool(code)))


def crashed(job: tuple[str, str, int]) -> dict[str, tuple[float, float, float]]:
    raise RuntimeError(f"the worker of {job} died")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/videval"))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc.csv and the others by --data")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    jobs = [(source, target, seed) for source, target in DIRECTIONS for seed in seeds]
    done = map_in_workers(partial(one_seed, data=arguments.data), jobs, arguments.workers, crashed=crashed)
    rows = list(track(done, "seeds", len(jobs), console=Console(stderr=True)))
    # Shape (kinds, figures, directions, seeds).
    every = np.array([[[row[kind][i] for row in rows] for i in range(3)] for kind in KINDS])
    every = every.reshape(len(KINDS), 3, len(DIRECTIONS), len(seeds))
    table = Table("direction", *(f"{kind}: target" for kind in KINDS), "share of BRISQUE", "of noise")
    for place, (source, target) in enumerate(DIRECTIONS):
        cells = [f"{every[kind, 1, place].mean():.3f}" for kind in range(len(KINDS))]
        shares = [f"{every[kind, 2, place].mean():.2f}" for kind in (1, 2)]
        table.add_row(f"{NAMES[source]} to {NAMES[target]}", *cells, *shares)
    Console(width=130).print(table)
    gains = {side: interval((every[1, i] - every[0, i]).mean(0)) for i, side in enumerate(("source", "target"))}
    figures = {f"two_over_one_{side}{end}": value[at] for side, value in gains.items() for at, end in ENDS}
    figures["noise_share_largest"] = float(every[2, 2].max())
    rounded = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps({"first_seed": arguments.first_seed, "seeds": arguments.seeds, **rounded}))


ENDS = ((0, ""), (1, "_low"), (2, "_high"))

if __name__ == "__main__":
    main()

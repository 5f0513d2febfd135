"""Does a rehearsal across the source's data sets foretell what rules are worth on the real target?

    python benchmarks/rehearsal.py [--seeds 20] [--first-seed 0] [--data ../shared/data/videval]

Two of YouTube-UGC, KoNViD-1k and LIVE-VQC are the source, the third is the target; all three in turn. The rehearsal
sees the features and MOS of the source and the features of the target: each data set of the source plays the target of
the other. Then every rule runs on the real target with 5% of its pool labeled, over seeds (80% of every data set, drawn
anew), and what it gains over random selection is set beside what it gained in the rehearsal.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.statistical.kernel_model import KernelModel, fit_statistical
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.progress import terminal
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.selection.catalogue import RULES, rule_named
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.select import select
from mdsvqa.study.config import RehearsalSettings, StudyConfig
from mdsvqa.study.contracts import NewLabels
from mdsvqa.study.data import StudyData
from mdsvqa.study.failure_predictors import FromFeatures
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.rehearsal.run import Rehearsal, rehearse
from mdsvqa.study.rehearsal.stand_in import StandIn
from mdsvqa.videos.video import Split, Video
from real_domains import NAMES, divided, interval, load

Floats = NDArray[np.float64]
RANDOM, COVERING = "random", "facility-location"
# `random` first, as the yardstick.
EVERY = [RANDOM, *(rule for rule in RULES if rule != RANDOM)]


def study(data: Path, target: str, seed: int | None = None) -> StudyData:
    """The two other data sets as the source, the target as the pool; 80% of each by a seed, all without one."""
    rng = np.random.default_rng(seed)
    parts: list[tuple[str, Split, Floats, Floats]] = []
    for name in NAMES:
        _, features, mos = load(data, name)
        kept, rest = divided(len(mos), rng) if seed is not None else (np.arange(len(mos)), np.empty(0, np.int64))
        parts.append((name, "pool" if name == target else "train", features[kept], mos[kept]))
        if name == target and seed is not None:
            parts.append((name, "test", features[rest], mos[rest]))
    videos = [
        Video(f"{name}/{split}/{i:04d}", None, name, split, float(value))
        for name, split, _, mos in parts
        for i, value in enumerate(mos)
    ]
    features = np.concatenate([rows for _, _, rows, _ in parts])
    content = Content.stack(list(Standardiser.fit(features)(features)[:, None, :]))
    found = StudyData.of_videos(videos, features, content)
    # There are no files: the features stand in for content.
    return StudyData(**{**vars(found), "content_is_features": True})


def rehearsed(there: StudyData, base: KernelModel, repeats: int, workers: int, keep: Path) -> Rehearsal:
    """The rehearsal of a study with a budget of 5%."""
    config = StudyConfig(videos=Path(), out=keep, workers=workers, rehearsal=RehearsalSettings(repeats=repeats))
    with terminal() as show:
        return rehearse(config, StandIn(there, base, tuple(RULES)), Run(keep, show, workers))


def real_gains(seed: int, data: Path, target: str, cost: float, gamma: float) -> dict[str, float]:
    """SRCC of every rule on the test part of the real target, f trained anew."""
    there, config = study(data, target, seed), StudyConfig(videos=Path())
    base = fit_statistical(there.labeled_source(), cost=cost, gamma=gamma)
    f = StatisticalModel.start(base, there.labeled_source(), config.finetuning)
    pool, content, test = there.pool, there.space("quality", there.pool), there.target_test
    g = FromFeatures(config.difficulty)
    difficulty = g.every([rule_named(rule) for rule in EVERY], f, there, pool, seed)
    found = {}
    for rule in EVERY:
        hard = difficulty.get(rule_named(rule).difficulty, np.zeros(len(pool)))
        settings = config.selection.model_copy(update={"rule": rule})
        picks = select(there.ids(pool), hard, content, round(0.05 * len(pool)), settings, seed=seed)
        index = pool[[pick.index for pick in picks]]
        model = f.finetuned(there, NewLabels(index, there.mos(index)), 1, seed).model
        found[rule] = srcc(model.predict(there.features[test]), there.mos(test))
    return found


def crashed(seed: int) -> dict[str, float]:
    raise RuntimeError(f"the worker of seed {seed} died")


def one_target(target: str, arguments: argparse.Namespace, keep: Path) -> dict[str, object]:
    """Rehearsed and real gains on one target, and what the rehearsal's verdict was worth."""
    whole = study(arguments.data, target)
    base = fit_statistical(whole.labeled_source())
    found = rehearsed(whole, base, arguments.repeats, arguments.workers, keep)
    run = partial(real_gains, data=arguments.data, target=target, cost=base.cost, gamma=base.gamma)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    done = map_in_workers(run, seeds, arguments.workers, crashed=crashed)
    rows = list(track(done, f"real, to {NAMES[target]}", len(seeds), console=Console(stderr=True)))
    real = {rule: np.array([row[rule] - row[RANDOM] for row in rows]) for rule in EVERY if rule != RANDOM}
    standings = {each.rule: each for each in found.answer.standings}
    table = Table("rule", "rehearsed", "on the real target", "", title=f"The two others to {NAMES[target]}")
    for rule, each in standings.items():
        mean, low, high = interval(real[rule])
        verdict = "struck out" if each.struck else "ahead" if each.ahead else ""
        table.add_row(rule, f"{each.gain:+.3f}", f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", verdict)
    console = Console(width=110)
    console.print(table)
    console.print(found.sentence(), markup=False)
    names = list(standings)
    promised = np.array([standings[name].gain.value for name in names])
    recommended = found.answer.recommended
    behind = real[COVERING] - real.get(recommended, np.zeros(len(rows)))
    return {
        "rank_correlation": srcc(promised, np.array([real[name].mean() for name in names])),
        "recommended": recommended,
        "behind_facility": float(behind.mean()),
        "struck_out": [each.rule for each in found.answer.struck],
        "mds_rehearsed": standings["mds"].gain.value,
        "mds_real": float(real["mds"].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=RehearsalSettings().repeats, help="on each pseudo-target")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/videval"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the repeats of rehearsals: a killed run goes on")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc.csv and the others by --data")
    with TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder)
        found = {target: one_target(target, arguments, keep / target) for target in NAMES}
    correlations = [float(str(each["rank_correlation"])) for each in found.values()]
    behind = [float(str(each["behind_facility"])) for each in found.values()]
    figures: dict[str, object] = {
        "seeds": arguments.seeds,
        "first_seed": arguments.first_seed,
        "repeats": arguments.repeats,
        "rank_correlation_mean": round(float(np.mean(correlations)), 4),
        "worst_behind_facility": round(max(behind), 4),
    }
    for target, each in found.items():
        figures |= {
            f"to_{target}_{name}": round(value, 4) if isinstance(value, float) else value
            for name, value in each.items()
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

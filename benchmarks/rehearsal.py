"""Does a rehearsal on the labeled source choose the rule that serves on the real target?

    python benchmarks/rehearsal.py [--seeds 20] [--rehearsals 2] [--data ../shared/data/videval]
    python benchmarks/rehearsal.py --permuted 50

YouTube-UGC is the source and KoNViD-1k the real target, then the reverse. A rehearsal sees the features and MOS of a
random 80% of the source, the features of the target, and nothing of the target's MOS. Then every rule runs on the real
target (as in real_domains.py), over seeds, and the rule that the rehearsal recommended is looked up among them; with
several rehearsals each one's recommendation serves an equal part of the seeds. Regret is against the rule that turned
out best in the mean over the seeds. Where no rule can be told from random selection the recommendation is the fallback,
the same in every study; what the leader, the best of the rehearsal, would have given is beside.

With --permuted the MOS of small parts of the source are shuffled, so that there is nothing to find, and it is counted
how often the answer is that no rule can be told from random selection.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mdsvqa.evaluation.correlation import srcc
from mdsvqa.models.statistical.kernel_model import fit_statistical
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores, map_in_workers
from mdsvqa.selection.catalogue import RULES
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.config import ComparisonSettings, RehearsalSettings, StudyConfig
from mdsvqa.study.data import StudyData
from mdsvqa.study.rehearsal.run import Rehearsal, rehearse
from mdsvqa.study.rehearsal.stand_in import StandIn
from mdsvqa.videos.video import Video
from real_domains import NAMES, interval, load, one_seed
from real_domains import crashed as crashed_seed

Floats = NDArray[np.float64]
PAIRS = (("youtube_ugc", "konvid_1k"), ("konvid_1k", "youtube_ugc"))
SOURCE_SHARE = 0.8
# Videos of the source and the pool in a run with shuffled MOS; the full size takes hours and finds no more.
SMALL = 300


def data_of(source: tuple[Floats, Floats], pool: Floats) -> StudyData:
    """A study's videos as features and MOS, nothing decoded; content is the features, standardised."""
    features, mos = np.concatenate([source[0], pool]), source[1]
    n = len(source[0])
    videos = [
        Video(f"source/{i:04d}", None, "source", "train", float(mos[i]))
        if i < n
        else Video(f"pool/{i:04d}", None, "pool", "pool")
        for i in range(len(features))
    ]
    return StudyData(
        videos,
        features,
        Content.stack(list(Standardiser.fit(features)(features)[:, None, :])),
        np.where(np.arange(len(features)) < n, 0, 1),
        source=np.arange(n),
        pool=np.arange(n, len(features)),
        target_test=np.empty(0, np.int64),
        source_test=np.empty(0, np.int64),
        failures={},
        maker={},
        content_is_features=True,
    )


def one_rehearsal(there: StudyData, settings: RehearsalSettings, seed: int, workers: int) -> Rehearsal:
    """The rehearsal of a study that has these videos and a budget of 5%."""
    base = fit_statistical(there.labeled_source(), seed=seed)
    with TemporaryDirectory() as folder:
        config = StudyConfig(
            videos=Path(),
            out=Path(folder),
            seed=seed,
            workers=workers,
            rehearsal=settings,
            selection=SelectionSettings(),
        )
        return rehearse(config, StandIn(there, base, tuple(RULES)), Run(config.out, workers=cores(workers)))


def on_source(source: str, target: str, share: float, data: Path, seed: int, *, shuffled: bool = False) -> StudyData:
    """A study of a random share of one data set's MOS, and the other data set as its pool.

    Args:
        source, target: names of data sets.
        share: of the source's videos, in (0, 1]; above 1 a number of videos of the source and of the target.
        data: folder of both.
        seed: of the draw.
        shuffled: MOS that belong to other videos.
    """
    rng = np.random.default_rng(seed)
    _, features, mos = load(data, source)
    _, pool, _ = load(data, target)
    kept = rng.permutation(len(features))[: round(share * len(features)) if share <= 1 else round(share)]
    others = rng.permutation(len(pool))[: len(pool) if share <= 1 else round(share)]
    labels = rng.permutation(mos[kept]) if shuffled else mos[kept]
    return data_of((features[kept], labels), pool[others])


def permuted(run: int, data: Path, repeats: int) -> tuple[str, float]:
    """What a rehearsal on shuffled MOS recommends, and its p-value."""
    source, target = PAIRS[run % 2]
    there = on_source(source, target, SMALL, data, run, shuffled=True)
    found = one_rehearsal(there, RehearsalSettings(repeats=repeats), run, 1).answer
    return found.leader if found.distinguishable else "", found.p_value


def crashed(run: int) -> tuple[str, float]:
    raise RuntimeError(f"the worker of run {run} died")


def permutations(arguments: argparse.Namespace) -> dict[str, float]:
    """How often there is nothing to find, and nothing is found."""
    run = partial(permuted, data=arguments.data, repeats=arguments.repeats)
    runs = range(arguments.permuted)
    found = list(track(map_in_workers(run, runs, cores(0), crashed=crashed), "permuted", len(runs), console=STDERR))
    quiet = sum(not rule for rule, _ in found)
    p_values = np.array([p for _, p in found])
    CONSOLE.print(f"{quiet} of {len(runs)} rehearsals on shuffled MOS found no rule distinguishable from random.")
    return {
        "permuted_runs": len(runs),
        "permuted_indistinguishable": round(quiet / len(runs), 3),
        "permuted_p_median": round(float(np.median(p_values)), 3),
    }


def real_gains(source: str, target: str, seeds: int, data: Path, rules: Sequence[str]) -> dict[str, Floats]:
    """Gain over random selection of every rule on the real target, shape (seeds,)."""
    config = StudyConfig(videos=Path(), comparison=ComparisonSettings(pool_share=1.0))
    run = partial(one_seed, data=data, config=config, rules=rules)
    jobs = [(source, target, seed) for seed in range(seeds)]
    done = map_in_workers(run, jobs, cores(0), crashed=crashed_seed)
    rows: list[dict[str, float]] = [
        {rule: on_target for rule, on_target, _ in found} for found in track(done, "real", seeds, console=STDERR)
    ]
    return {rule: np.array([row[rule] - row["random"] for row in rows]) for rule in rules}


def directions(arguments: argparse.Namespace) -> dict[str, float]:
    """Promise and reality in both directions."""
    recommended_gain, leaders, paper_gain, regrets, correlations = [], [], [], [], []
    figures: dict[str, float] = {}
    for source, target in PAIRS:
        found = []
        for number in track(range(arguments.rehearsals), f"rehearsing on {NAMES[source]}", console=STDERR):
            there = on_source(source, target, SOURCE_SHARE, arguments.data, number)
            settings = RehearsalSettings(repeats=arguments.repeats)
            found.append(one_rehearsal(there, settings, number, cores(0)))
        promised: dict[str, list[float]] = {}
        for each in found:
            for standing in each.answer.standings:
                promised.setdefault(standing.contender, []).append(standing.gain.value)
        real = real_gains(source, target, arguments.seeds, arguments.data, ["random", *promised])
        used = [found[seed * len(found) // arguments.seeds] for seed in range(arguments.seeds)]
        picks = [each.recommended for each in used]
        leaders.append(np.array([real[each.answer.leader][seed] for seed, each in enumerate(used)]))
        gain = np.array([real[pick][seed] for seed, pick in enumerate(picks)])
        best = max(real, key=lambda rule: float(real[rule].mean()))
        means = np.array([np.mean(promised[rule]) for rule in promised])
        correlations.append(srcc(means, np.array([real[rule].mean() for rule in promised])))
        recommended_gain.append(gain)
        paper_gain.append(real["mds"])
        regrets.append(float(real[best].mean() - gain.mean()))
        show(source, target, promised, real, Counter(picks))
        key = f"{source}_to_{target}"
        figures |= {f"{key}_gain": round(float(gain.mean()), 4), f"{key}_regret": round(regrets[-1], 4)}
        figures |= {f"{key}_correlation": round(correlations[-1], 3)}
        figures |= {f"{key}formatted": sum(each.answer.distinguishable for each in found)}
    mean, low, high = interval(np.mean(recommended_gain, axis=0))
    paper, paper_low, paper_high = interval(np.mean(paper_gain, axis=0))
    leader, leader_low, leader_high = interval(np.mean(leaders, axis=0))
    return {
        "seeds": arguments.seeds,
        "rehearsals": arguments.rehearsals,
        "gain_mean": round(mean, 4),
        "gain_low": round(low, 4),
        "gain_high": round(high, 4),
        "regret_mean": round(float(np.mean(regrets)), 4),
        "paper_gain_mean": round(paper, 4),
        "paper_gain_low": round(paper_low, 4),
        "paper_gain_high": round(paper_high, 4),
        "leader_gain_mean": round(leader, 4),
        "leader_gain_low": round(leader_low, 4),
        "leader_gain_high": round(leader_high, 4),
        "promise_correlation": round(float(np.mean(correlations)), 3),
        **figures,
    }


def show(
    source: str, target: str, promised: dict[str, list[float]], real: dict[str, Floats], picks: Counter[str]
) -> None:
    """The table of one direction."""
    table = Table("rule", "rehearsed", "on the real target", "recommended", title=f"{NAMES[source]} to {NAMES[target]}")
    for rule, gains in sorted(promised.items(), key=lambda item: -float(np.mean(item[1]))):
        mean, low, high = interval(real[rule])
        table.add_row(rule, f"{np.mean(gains):+.3f}", f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", str(picks[rule] or ""))
    CONSOLE.print(table)


CONSOLE, STDERR = Console(width=110), Console(stderr=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rehearsals", type=int, default=2, help="in each direction, each on another 80%% of the MOS")
    parser.add_argument("--repeats", type=int, help="of the best rules on each pseudo-target")
    parser.add_argument("--permuted", type=int, default=0, help="runs with shuffled MOS, in place of all else")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/videval"))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not there: name the folder with youtube_ugc.csv and konvid_1k.csv by --data")
    if arguments.repeats is None:
        # Shuffled runs test how a lead is judged, not how exactly it is measured.
        arguments.repeats = 4 if arguments.permuted else RehearsalSettings().repeats
    print(json.dumps(permutations(arguments) if arguments.permuted else directions(arguments)))


if __name__ == "__main__":
    main()

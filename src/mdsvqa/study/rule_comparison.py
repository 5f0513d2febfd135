"""The same loop under other rules, over seeds, where the MOS of the whole pool are known."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import TRIALS, ResultTable, fingerprint, read_table
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.workers import cores, map_ahead
from mdsvqa.selection.catalogue import EVERYTHING
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import Material
from mdsvqa.study.loop import Pool, Setting, State, Trial, run_trials


def check_comparison(config: StudyConfig, material: Material) -> None:
    """Raises a ConfigError where a comparison is wanted, and MOS of the pool or a test set are missing."""
    if not config.comparison.rules:
        return
    unknown = int(np.isnan(material.mos(material.pool)).sum())
    if unknown or len(material.target_test) == 0:
        raise ConfigError(
            f"comparison: needs the MOS of the whole pool, and a test set of its data set with MOS; found {unknown} "
            f"pool videos without MOS and {len(material.target_test)} such test videos."
        )


def compare(
    config: StudyConfig,
    material: Material,
    pool: Pool,
    start: State,
    budget: int,
    show: Show,
    *,
    overwrite: bool = False,
) -> list[Trial]:
    """Runs the trials of a study's comparison that are not in its table yet.

    Args:
        config: of the study.
        material: its videos; the MOS of the whole pool are known.
        pool: of the material, with the limits of one round.
        start: before any new label.
        budget: videos to label in each trial.
        show: how it speaks.
        overwrite: make anew what other settings made.

    Returns:
        One trial a rule and seed, "random" first and "everything" last; none without rules to compare.
    """
    if not config.comparison.rules:
        return []
    rules = [*dict.fromkeys(("random", *config.comparison.rules)), EVERYTHING]
    tests = material.features[material.target_test], material.features[material.source_test]
    setting = Setting(start, pool, *tests, _without_paths(config), budget)
    maker = {"step": "comparison", "config": setting.config.record(whole=True), "material": material.maker}
    maker |= {"labels": fingerprint([material.labels_fingerprint(), pool.mos.tolist(), pool.ids]), "rules": rules}
    maker |= {"tests": fingerprint([material.ids(material.target_test), material.ids(material.source_test)])}
    with ResultTable(config.out / "comparison", TRIALS, maker, overwrite=overwrite) as table:
        missing = [seed for seed in range(config.comparison.seeds) if f"random-{seed}" not in table.ids]
        if not missing:
            show.note(f"comparison: reused ({config.comparison.seeds} seeds)")
        trials = map_ahead(partial(_seed_trials, setting, rules), missing, cores(config.workers), crashed=_crashed)
        for done, of_seed in enumerate(trials, 1):
            table.append([{"id": f"{trial.rule}-{trial.seed}", **vars(trial)} for trial in of_seed])
            show.progress("Comparing rules over seeds", done, len(missing))
    rows = read_table(config.out / "comparison").to_pylist()
    return [
        Trial(r["rule"], r["seed"], r["selected"], np.array(r["target_scores"]), np.array(r["source_scores"]))
        for r in sorted(rows, key=lambda r: (rules.index(r["rule"]), r["seed"]))
    ]


def _seed_trials(setting: Setting, rules: Sequence[str], seed: int) -> list[Trial]:
    return run_trials(setting, rules, seed)


def _crashed(seed: int) -> list[Trial]:
    raise RuntimeError(f"the worker that ran seed {seed} of the comparison was killed; run again to go on")


def _without_paths(config: StudyConfig) -> StudyConfig:
    """The settings without where things are, so that a study may be moved."""
    return config.model_copy(update={"videos": Path(), "out": Path(), "labels": None, "workers": 0, "title": ""})

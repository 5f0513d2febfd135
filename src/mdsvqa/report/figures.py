"""Every figure of a study with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.rule_summary import RuleSummary, summarise_rules
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.result import StudyResult

# Fewer videos than this say nothing about a rank correlation.
FEWEST = 5


@dataclass(frozen=True)
class Figures:
    """Every figure of a study with its interval.

    Attributes:
        target, source: the model before ("base") and after each round ("round 1", ...) on the two test sets; empty
            where a test set has fewer than 5 videos.
        audit: the same on the pool's videos that were drawn at random to be measured on; empty where there are fewer
            than 5.
        rules: each rule of the comparison on the target's and the source's test set (None where that is too small),
            the base model first; empty without a comparison.
    """

    target: Mapping[str, RuleSummary]
    source: Mapping[str, RuleSummary]
    audit: Mapping[str, RuleSummary]
    rules: Mapping[str, tuple[RuleSummary, RuleSummary | None]]

    @property
    def on_target(self) -> dict[str, RuleSummary]:
        """Each rule of the comparison on the target's test set."""
        return {rule: target for rule, (target, _) in self.rules.items()}


def measure(config: StudyConfig, result: StudyResult) -> Figures:
    """Computes all figures of a study."""
    data = result.data
    target, source = (
        _rounds(result, role, data.mos(role), config.seed) if len(role) >= FEWEST else {}
        for role in (data.target_test, data.source_test)
    )
    drawn = np.array([index for index in data.pool if data.videos[int(index)].id in result.audit], np.int64)
    mos = np.array([result.audit[video] for video in data.ids(drawn)])
    audit = _rounds(result, drawn, mos, config.seed) if len(drawn) >= FEWEST else {}
    return Figures(target, source, audit, _rules(result, config.seed))


def _rounds(result: StudyResult, role: Ints, mos: Floats, seed: int) -> dict[str, RuleSummary]:
    names = [BASE, *(f"round {turn}" for turn in range(1, len(result.scores)))]
    scores = {name: score[role][None, :] for name, score in zip(names, result.scores, strict=True)}
    return summarise_rules(scores, mos, result.data.dataset[role], seed=seed)


def _rules(result: StudyResult, seed: int) -> dict[str, tuple[RuleSummary, RuleSummary | None]]:
    if not result.rule_runs:
        return {}
    data = result.data
    rules = list(dict.fromkeys(trial.rule for trial in result.rule_runs))
    sides: list[dict[str, RuleSummary]] = []
    for role, side in ((data.target_test, "target_scores"), (data.source_test, "source_scores")):
        scores = {BASE: result.scores[0][role][None, :]}
        for rule in rules:
            scores[rule] = np.stack([getattr(trial, side) for trial in result.rule_runs if trial.rule == rule])
        enough = len(role) >= FEWEST
        if not enough:
            sides.append({})
            continue
        mos, codes = data.mos(role), data.dataset[role]
        sides.append(summarise_rules(scores, mos, codes, frames=(EVERYTHING,), seed=seed))
    target, source = sides
    return {rule: (target[rule], source.get(rule)) for rule in target}

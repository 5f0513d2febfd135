"""Every figure of a study with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdsvqa.evaluation.rule_summary import RuleSummary, summarise_rules
from mdsvqa.selection.catalogue import BASE
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.run import Outcome

Floats = NDArray[np.float64]
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


def measure(config: StudyConfig, outcome: Outcome) -> Figures:
    """Computes all figures of a study."""
    material = outcome.material
    target, source = (
        _rounds(outcome, role, material.mos(role), config.seed) if len(role) >= FEWEST else {}
        for role in (material.target_test, material.source_test)
    )
    drawn = np.array([index for index in material.pool if material.videos[int(index)].id in outcome.audit], np.int64)
    mos = np.array([outcome.audit[video] for video in material.ids(drawn)])
    audit = _rounds(outcome, drawn, mos, config.seed) if len(drawn) >= FEWEST else {}
    return Figures(target, source, audit, _rules(outcome, config.seed))


def _rounds(outcome: Outcome, role: NDArray[np.int64], mos: Floats, seed: int) -> dict[str, RuleSummary]:
    names = [BASE, *(f"round {turn}" for turn in range(1, len(outcome.scores)))]
    scores = {name: score[role][None, :] for name, score in zip(names, outcome.scores, strict=True)}
    return summarise_rules(scores, mos, outcome.material.dataset[role], seed=seed)


def _rules(outcome: Outcome, seed: int) -> dict[str, tuple[RuleSummary, RuleSummary | None]]:
    if not outcome.trials:
        return {}
    material = outcome.material
    rules = list(dict.fromkeys(trial.rule for trial in outcome.trials))
    sides: list[dict[str, RuleSummary]] = []
    for role, side in ((material.target_test, "target_scores"), (material.source_test, "source_scores")):
        scores = {BASE: outcome.scores[0][role][None, :]}
        for rule in rules:
            scores[rule] = np.stack([getattr(trial, side) for trial in outcome.trials if trial.rule == rule])
        enough = len(role) >= FEWEST
        sides.append(summarise_rules(scores, material.mos(role), material.dataset[role], seed=seed) if enough else {})
    target, source = sides
    return {rule: (target[rule], source.get(rule)) for rule in target}

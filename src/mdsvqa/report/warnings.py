"""What a reader of a study's page must know before its figures."""

from collections.abc import Sequence

import numpy as np

from mdsvqa.evaluation.cautions import NARROW, few, narrow, rmse_grown, spread_ratio
from mdsvqa.report.figures import FEWEST
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.selection.catalogue import label_of
from mdsvqa.study.result import RuleRun, StudyResult


def warnings(result: StudyResult) -> list[str]:
    """Few test videos, models that hardly tell videos apart, and scores that left the scale of MOS; in sentences."""
    data, found = result.data, list[str]()
    for name, role, side in (
        ("target", data.target_test, "target_scores"),
        ("source", data.source_test, "source_scores"),
    ):
        if len(role) == 0:
            continue
        found.append(few(len(role), f"The {name} test set has"))
        if len(role) < FEWEST:
            continue
        mos = data.mos(role)
        before, after = result.scores[0][role], result.scores[-1][role]
        found.append(narrow(before, mos, f"The base model's scores on the {name} test set"))
        if len(result.scores) > 1:
            found.append(narrow(after, mos, f"The fine-tuned model's scores on the {name} test set"))
            grown = rmse_grown(before, after, mos)
            found.append(f"On the {name} test set, fine-tuned, the {grown}" if grown else "")
        if name == "target":
            found += _collapsed(result.rule_runs, mos, side)
    return [sentence for sentence in found if sentence]


def _collapsed(runs: Sequence[RuleRun], mos: Floats, side: str) -> list[str]:
    """The rules of a comparison some of whose models hardly tell videos apart."""
    found = []
    for rule in dict.fromkeys(run.rule for run in runs):
        ratios = np.array([spread_ratio(getattr(run, side), mos) for run in runs if run.rule == rule])
        narrow_ones: Ints = np.flatnonzero(ratios < NARROW)
        if len(narrow_ones):
            found.append(
                f"Scores of {len(narrow_ones)} of the {len(ratios)} models of {label_of(rule)} hardly differ: they may "
                "have collapsed."
            )
    return found

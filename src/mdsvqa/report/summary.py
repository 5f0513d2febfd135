"""summary.json: the figures of a study for programs."""

from dataclasses import asdict
from typing import Any

from mdsvqa.evaluation.metrics import METRICS
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.figures import Figures
from mdsvqa.report.rehearsal import rehearsal_json
from mdsvqa.report.warnings import warnings
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.rehearsal.run import load_rehearsal
from mdsvqa.study.result import StudyResult


def summarise(config: StudyConfig, result: StudyResult, figures: Figures) -> dict[str, Any]:
    """The figures of a study, JSON-able; intervals as {value, low, high}.

    Returns:
        `target`, `source` and `audit`: the model before and after each round; `rules`: every rule compared;
        `rehearsal`: what it recommended, or null; `selected`: ids in the order of their choice;
        `waiting_for`: count, to_label, labels and what is to be done in a sentence, or null;
        `warnings`: what to know before the figures.
    """
    data = result.data
    return {
        "simulated": config.simulated,
        "videos": len(data.videos) + len(data.failures),
        "undecodable": len(data.failures),
        "left_out": len(data.failures),
        "pool": len(data.pool),
        "selected": [row["id"] for row in result.selected],
        "waiting_for": None if result.waiting is None else result.waiting.as_object(),
        "warnings": warnings(result),
        "target": {name: _summary_json(value) for name, value in figures.target.items()},
        "source": {name: _summary_json(value) for name, value in figures.source.items()},
        "audit": {name: _summary_json(value) for name, value in figures.audit.items()},
        "rehearsal": rehearsal_json(load_rehearsal(config), figures.on_target),
        "rules": {
            rule: {
                "target": _summary_json(target),
                "source": None if source is None else _summary_json(source),
            }
            for rule, (target, source) in figures.rules.items()
        },
    }


def _summary_json(summary: RuleSummary) -> dict[str, Any]:
    return {
        **{name: asdict(summary.metrics[name]) for name in METRICS},
        "gain_over_base": None if summary.over_base is None else asdict(summary.over_base),
        "gain_over_random": None if summary.over_random is None else asdict(summary.over_random),
        "p_over_random": summary.p_over_random,
        "seeds": summary.seeds,
    }

"""What a study found, in words."""

from collections.abc import Sequence

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.figures import Figures
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.catalogue import BASE, EVERYTHING, label_of
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.result import StudyResult


def findings(config: StudyConfig, result: StudyResult, figures: Figures) -> list[str]:
    """What was found, in plain sentences, the verdict first."""
    sentences = []
    data = result.data
    audit = sum(row["rule"] == AUDIT for row in result.selected)
    own = len(result.selected) - audit
    chosen = f"{own} of {len(data.pool)} pool videos chosen by {label_of(config.selection.rule)}"
    if result.waiting_for:
        sentences.append(f"Label next: {chosen}{f', and {audit} of the audit' if audit else ''}.")
        sentences.append(result.waiting_for)
    if len(figures.target) > 1:
        sentences.append(_verdict(chosen, list(figures.target.values())[-1].over_base))
    if figures.audit:
        sentences.append(_audit(result, list(figures.audit.values())))
    compared = {rule: s for rule, s in figures.on_target.items() if rule not in (BASE, EVERYTHING)}
    if len(compared) > 1:
        best = max(compared, key=lambda rule: compared[rule].metrics["srcc"].value)
        sentences.append(_best(best, compared[best]))
        if "mds" in compared and best != "mds":
            sentences.append(_against_random("mds", compared["mds"].over_random))
    return sentences


def _audit(result: StudyResult, summaries: Sequence[RuleSummary]) -> str:
    before, after = summaries[0], summaries[-1]
    measured = f"SRCC {before.metrics['srcc']:.3f}"
    if after.over_base is not None:
        measured += f" before and {after.metrics['srcc']:.3f} after, a change of {after.over_base:+.3f}"
    return f"On the audit, {len(result.audit)} pool videos drawn at random that nothing learned from: {measured}."


def _verdict(chosen: str, gain: Interval | None) -> str:
    if gain is None:
        return f"Labeled: {chosen}."
    if not gain.excludes_zero:
        what = "cannot be told from no change"
    elif gain.value > 0:
        what = "helped"
    else:
        what = "hurt"
    return f"Labeling {chosen} {what}: target SRCC {gain:+.3f} against the base model."


def _best(rule: str, summary: RuleSummary) -> str:
    gain = summary.over_random
    if gain is None or gain.low <= 0:
        return f"No rule is better than random selection beyond doubt here; the highest mean is {label_of(rule)}'s."
    return f"Best rule here: {label_of(rule)}, {gain:+.3f} SRCC against random selection."


def _against_random(rule: str, gain: Interval | None) -> str:
    if gain is None or not gain.excludes_zero:
        return f"{label_of(rule)} cannot be told from random selection" + (f": {gain:+.3f} SRCC." if gain else ".")
    return f"{label_of(rule)} is {'better' if gain.value > 0 else 'worse'} than random selection: {gain:+.3f} SRCC."

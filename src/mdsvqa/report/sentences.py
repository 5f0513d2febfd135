"""What a study found, in words."""

from collections.abc import Mapping, Sequence

from mdsvqa.evaluation.paper_tables import probability
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.figures import Figures
from mdsvqa.report.headline import answers
from mdsvqa.report.warnings import warnings
from mdsvqa.runtime.words import listed
from mdsvqa.selection.catalogue import BASE, EVERYTHING, label_of
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.result import StudyResult


def findings(config: StudyConfig, result: StudyResult, figures: Figures) -> list[str]:
    """What was found, in plain sentences, the verdict first."""
    sentences = answers(config, result, figures)
    # Behind the verdict, before all that rests on the same figures.
    sentences += [f"Caution: {sentence}" for sentence in warnings(result)]
    if figures.audit:
        sentences.append(_audit(result, list(figures.audit.values())))
    rules = rule_sentences(figures.on_target)
    # Of its own rule the first sentences spoke already.
    return [*sentences, *(rules[:1] if config.selection.rule == "mds" else rules)]


def rule_sentences(rules: Mapping[str, RuleSummary]) -> list[str]:
    """Which rule did best, and what MDS did, where rules were compared.

    Args:
        rules: summaries on the target test set, those that frame the others among them.
    """
    compared = {rule: summary for rule, summary in rules.items() if rule not in (BASE, EVERYTHING)}
    if len(compared) < 2:
        return []
    best = max(compared, key=lambda rule: compared[rule].metrics["srcc"].value)
    found = [_best(best, compared)]
    return [*found, _against_random("mds", compared)] if "mds" in compared and best != "mds" else found


def _audit(result: StudyResult, summaries: Sequence[RuleSummary]) -> str:
    before, after = summaries[0], summaries[-1]
    measured = f"SRCC {before.metrics['srcc']:.3f}"
    if after.over_base is not None:
        measured += f" before and {after.metrics['srcc']:.3f} after, a change of {after.over_base:+.3f}"
    return f"On the audit, {len(result.audit)} pool videos drawn at random that nothing learned from: {measured}."


def _best(best: str, compared: Mapping[str, RuleSummary]) -> str:
    better = [rule for rule, summary in compared.items() if summary.better_than_random]
    if best in better:
        return f"Best rule here: {label_of(best)}, {_gain(best, compared)} against random selection."
    if better:
        return (
            f"The highest mean is {label_of(best)}'s, which cannot be told from random selection; better than that are "
            f"{listed([f'{label_of(rule)} ({_gain(rule, compared)})' for rule in better])}."
        )
    return f"No rule is better than random selection beyond doubt here; the highest mean is {label_of(best)}'s."


def _against_random(rule: str, compared: Mapping[str, RuleSummary]) -> str:
    gain, told = compared[rule].over_random, compared[rule].differs_from_random
    if gain is None or not told:
        return f"{label_of(rule)} cannot be told from random selection" + (f": {gain:+.3f} SRCC." if gain else ".")
    return (
        f"{label_of(rule)} is {'better' if gain.value > 0 else 'worse'} than random selection: {_gain(rule, compared)}."
    )


def _gain(rule: str, compared: Mapping[str, RuleSummary]) -> str:
    """The gain of a rule that may be called one, and for how many rules its p-value is adjusted."""
    summary = compared[rule]
    rules = sum(each.p_over_random is not None for each in compared.values())
    p = "" if summary.p_over_random is None else probability(summary.p_over_random)
    adjusted = f", adjusted for {rules} rules" if rules > 1 else ""
    return f"{summary.over_random:+.3f} SRCC (p {p if p.startswith('<') else f'= {p}'}{adjusted})"

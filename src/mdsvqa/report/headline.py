"""What a study's page says first: whether labeling helped, in plain words, and what to do next."""

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.figures import Figures
from mdsvqa.report.page.wording import number
from mdsvqa.runtime.words import counted
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.catalogue import EVERYTHING, label_of
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.result import StudyResult

# Part of the gain of everything labeled from which on more labels have little left to give.
MOST_OF_IT = 0.8


def answers(config: StudyConfig, result: StudyResult, figures: Figures) -> list[str]:
    """The study's own question answered: over seeds where there is a comparison, and by its own run."""
    rule, said = config.selection.rule, []
    own = sum(row["rule"] != AUDIT for row in result.selected)
    labeled = f"{counted(own, 'label')} chosen by {label_of(rule)}"
    if result.waiting_for:
        audit = len(result.selected) - own
        said.append(
            f"Label next: {own} of {counted(len(result.data.pool), 'pool video')}, chosen by {label_of(rule)}"
            + (f", and {audit} drawn at random to be measured on, the audit." if audit else ".")
        )
    if rule in figures.on_target and (over_base := figures.on_target[rule].over_base) is not None:
        many = figures.on_target[rule]
        said.append(f"{_change(over_base)}.")
        said.append(f"That is the mean of {counted(many.seeds, 'run')} with {labeled}, against no new labels.")
        if many.over_random is not None:
            said.append(_against_random(many.over_random, told=many.differs_from_random))
    if len(figures.target) > 1 and (gain := list(figures.target.values())[-1].over_base) is not None:
        if said and not result.waiting_for:
            said.append(f"This study's own run, one alone and so less certain: target SRCC {_with_ends(gain)}.")
        else:
            said += [f"{_change(gain)}.", f"That is one run with {labeled}, against no new labels."]
    return said


def next_step(config: StudyConfig, result: StudyResult, figures: Figures) -> str:
    """What to do now, in one sentence; empty where nothing was measured."""
    if result.waiting_for:
        return result.waiting_for
    budget, rules = len(result.selected), figures.on_target
    own = rules[config.selection.rule].over_base if config.selection.rule in rules else None
    if own is None and len(figures.target) > 1:
        own = list(figures.target.values())[-1].over_base
    if own is None:
        return ""
    most = rules[EVERYTHING].over_base if EVERYTHING in rules else None
    left = len(result.data.pool) - budget
    more = min(budget, left)
    if own.excludes_zero and own.value < 0:
        return "Keep the model as it was; before more labels, see on this page which rule and budget did no harm."
    if most is not None and not (most.excludes_zero and most.value > 0):
        return "Change the model or its features first: even the whole pool labeled brings no measurable gain."
    if most is not None and own.value >= MOST_OF_IT * most.value:
        return "Use the fine-tuned model: the whole pool labeled would add little to it."
    if more == 0:
        return "Use the fine-tuned model: the whole pool is labeled." if own.excludes_zero else ""
    ahead = f": the whole pool labeled gains {number(most.value, 2, signed=True)}" if most is not None else ""
    if own.excludes_zero:
        return f"Use the fine-tuned model, and label {more} more for a better one (budget: {budget + more}){ahead}."
    tests = len(result.data.target_test)
    return (
        f"Label {more} more (budget: {budget + more}){ahead}, or add test videos: with {tests} of them the interval "
        f"spans {own.high - own.low:.2f}."
    )


def _change(gain: Interval) -> str:
    """What became of the model: SRCC against no new labels."""
    told = "Measurable gain" if gain.value > 0 else "Measurable harm"
    return f"{told if gain.excludes_zero else 'No measurable gain'}: target SRCC {_with_ends(gain)}"


def _against_random(gain: Interval, *, told: bool) -> str:
    how = ("better than" if gain.value > 0 else "worse than") if told else "not measurably different from"
    return f"That is {how} labeling videos drawn at random: {_with_ends(gain)}."


def _with_ends(gain: Interval) -> str:
    value, low, high = (number(each, 2, signed=True) for each in (gain.value, gain.low, gain.high))
    return f"{value}, between {low} and {high}"

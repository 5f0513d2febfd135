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
    labeled = f"{counted(own, 'label')}, chosen by {label_of(rule)}"
    if result.waiting_for:
        audit = len(result.selected) - own
        said.append(
            f"Label next: {own} of {counted(len(result.data.pool), 'pool video')}, chosen by {label_of(rule)}"
            + (f", and {audit} of the audit." if audit else ".")
        )
    if rule in figures.on_target and (over_base := figures.on_target[rule].over_base) is not None:
        many = figures.on_target[rule]
        said.append(f"{_change(over_base)} from {labeled}, mean of {counted(many.seeds, 'run')}.")
        if many.over_random is not None:
            told = many.over_random if many.differs_from_random else None
            said.append(f"{_against_random(told, many.over_random)} as many labels of videos drawn at random.")
    if len(figures.target) > 1 and (gain := list(figures.target.values())[-1].over_base) is not None:
        single = "This study's own run alone: " if said and not result.waiting_for else ""
        sentence = _change(gain)
        said.append(
            f"{single}{sentence[0].lower() + sentence[1:] if single else sentence} from {labeled}"
            + (", which one run says with less certainty than several." if single else ".")
        )
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
    ends = f"between {number(gain.low, 2, signed=True)} and {number(gain.high, 2, signed=True)}"
    told = "Measurable gain" if gain.value > 0 else "Measurable harm"
    return f"{told if gain.excludes_zero else 'No measurable gain'}: target SRCC {_signed(gain)}, {ends},"


def _against_random(told: Interval | None, gain: Interval) -> str:
    how = "Not measurably better or worse than" if told is None else "Better than" if told.value > 0 else "Worse than"
    ends = f"between {number(gain.low, 2, signed=True)} and {number(gain.high, 2, signed=True)}"
    return f"{how} ({_signed(gain)}, {ends})"


def _signed(gain: Interval) -> str:
    return number(gain.value, 2, signed=True)

"""The first sentence answers the study's own question: over seeds where there is a comparison; then what to do."""

from dataclasses import replace

import numpy as np
import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.figures import Figures
from mdsvqa.report.headline import answers, next_step
from mdsvqa.report.page.data import BudgetPoint
from mdsvqa.report.rehearsal import budget_sentence
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import Waiting
from mdsvqa.study.data import StudyData
from mdsvqa.study.result import StudyResult
from mdsvqa.videos.video import Video


def summary(over_base: Interval | None, over_random: Interval | None = None, p: float | None = None) -> RuleSummary:
    return RuleSummary({"srcc": Interval(0.6, 0.5, 0.7)}, over_base, over_random, 10, p)


UNSURE, GAIN, HARM = Interval(0.06, -0.02, 0.15), Interval(0.08, 0.03, 0.13), Interval(-0.08, -0.13, -0.03)


@pytest.fixture
def result() -> StudyResult:
    videos = [Video("s", None, "old", "train", 3.0), *(Video(f"p{i}", None, "new", "pool") for i in range(20))]
    videos += [Video(f"t{i}", None, "new", "test", 3.0) for i in range(9)]
    n = len(videos)
    data = StudyData.of_videos(videos, np.zeros((n, 1)), Content.stack([np.zeros((1, 1))] * n))
    chosen = [{"id": f"p{i}", "rule": "mds", "rank": i + 1} for i in range(6)]
    config = StudyConfig(videos="v.csv", out="out", selection={"rule": "MDS", "budget": 6})
    return StudyResult(config, data, "f", chosen, [np.zeros(n)], np.zeros(20))


def figures(single: Interval | None = None, **rules: RuleSummary) -> Figures:
    rounds = {} if single is None else {"base": summary(None), "round 1": summary(single)}
    return Figures(rounds, {}, {}, {rule: (each, None) for rule, each in rules.items()})


def test_the_comparison_over_seeds_comes_first_and_the_single_run_says_that_it_is_one(result: StudyResult) -> None:
    found = figures(GAIN, mds=summary(UNSURE, Interval(0.01, -0.03, 0.05), 0.7), random=summary(GAIN))
    assert answers(result.config, result, found) == [
        "No measurable gain: target SRCC +0.06, between −0.02 and +0.15.",
        "That is the mean of 10 runs with 6 labels chosen by MDS, against no new labels.",
        "That is not measurably different from labeling videos drawn at random: +0.01, between −0.03 and +0.05.",
        "This study's own run, one alone and so less certain: target SRCC +0.08, between +0.03 and +0.13.",
    ]


@pytest.mark.parametrize(
    ("gain", "words"), [(UNSURE, "No measurable gain: "), (GAIN, "Measurable gain: "), (HARM, "Measurable harm: ")]
)
def test_one_run(gain: Interval, words: str, result: StudyResult) -> None:
    first, second = answers(result.config, result, figures(gain))
    assert first.startswith(words)
    assert second == "That is one run with 6 labels chosen by MDS, against no new labels."


def test_the_next_step_fits_what_was_found(result: StudyResult) -> None:
    config = result.config
    assert next_step(config, result, figures()) == ""
    assert next_step(config, result, figures(UNSURE)) == (
        "Label 6 more (budget: 12), or add test videos: with 9 of them the interval spans 0.17."
    )
    assert next_step(config, result, figures(GAIN)).startswith("Use the fine-tuned model, and label 6 more")
    assert next_step(config, result, figures(HARM)).startswith("Keep the model as it was")
    nothing = figures(UNSURE, mds=summary(UNSURE), everything=summary(UNSURE))
    assert next_step(config, result, nothing).startswith("Change the model or its features first")
    little = figures(GAIN, mds=summary(GAIN), everything=summary(Interval(0.09, 0.05, 0.13)))
    assert (
        next_step(config, result, little) == "Use the fine-tuned model: the whole pool labeled would add little to it."
    )
    much = figures(GAIN, mds=summary(GAIN), everything=summary(Interval(0.3, 0.2, 0.4)))
    assert "the whole pool labeled gains +0.30" in next_step(config, result, much)


def test_a_study_that_waits_says_what_to_label(result: StudyResult) -> None:
    waiting = replace(result, waiting=Waiting("6 videos need labels; ...", 6))
    assert answers(result.config, waiting, figures())[0] == "Label next: 6 of 20 pool videos, chosen by MDS."
    assert next_step(result.config, waiting, figures()) == "6 videos need labels; ..."


def test_a_curve_of_budgets_that_falls_says_so() -> None:
    base = BudgetPoint("no new labels", "base", 0, 0.5)
    points = [base, *(BudgetPoint("mds", "recommended", n, y) for n, y in ((0, 0.5), (8, 0.4), (20, 0.45), (40, 0.6)))]
    assert budget_sentence(points).startswith("With 8, 20 new labels the model got worse than with none")
    assert budget_sentence([base, BudgetPoint("mds", "recommended", 8, 0.6)]) == ""
    assert budget_sentence([]) == ""

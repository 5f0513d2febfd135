"""Sentences say better only where the p-value, adjusted for all rules, allows it; cautions come behind the verdict."""

from dataclasses import replace

import numpy as np
import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.rule_summary import RuleSummary
from mdsvqa.report.sentences import rule_sentences
from mdsvqa.report.warnings import warnings
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import StudyData
from mdsvqa.study.result import RuleRun, StudyResult
from mdsvqa.videos.video import Video


def summary(srcc: float, gain: float | None = None, p: float | None = None) -> RuleSummary:
    over = None if gain is None else Interval(gain, gain - 0.01, gain + 0.01)
    return RuleSummary({"srcc": Interval(srcc, srcc - 0.05, srcc + 0.05)}, None, over, 10, p)


FRAMES = {"base": summary(0.5), "random": summary(0.6), "everything": summary(0.9, 0.3)}


def test_the_best_rule_is_named_with_the_p_value_of_all_rules() -> None:
    rules = {**FRAMES, "mds": summary(0.65, 0.05, 0.012), "k-means": summary(0.61, 0.01, 0.4)}
    (said,) = rule_sentences(rules)
    assert said == (
        "Best rule here: MDS, +0.050 [+0.040, +0.060] SRCC (p = 0.012, adjusted for 2 rules) against random selection."
    )


def test_an_interval_off_zero_is_no_gain_where_many_were_tried() -> None:
    rules = {**FRAMES, "k-means": summary(0.65, 0.05, 0.12), "mds": summary(0.64, 0.04, 0.12)}
    said = rule_sentences(rules)
    assert said[0].startswith("No rule is better than random selection beyond doubt here; the highest mean is k-means")
    assert said[1].startswith("MDS cannot be told from random selection: +0.040")
    assert not any("is better" in sentence.replace("No rule is better", "") for sentence in said)


def test_a_rule_that_is_better_is_told_where_another_has_the_highest_mean() -> None:
    rules = {**FRAMES, "k-means": summary(0.66, 0.06, 0.2), "mds": summary(0.64, 0.04, 0.0001)}
    said = rule_sentences(rules)
    assert (
        "cannot be told from random selection; better than that are MDS (+0.040 [+0.030, +0.050] SRCC (p < 0.001"
        in said[0]
    )
    assert said[1].startswith("MDS is better than random selection")
    worse = {**FRAMES, "k-means": summary(0.66, 0.06, 0.2), "mds": summary(0.5, -0.1, 0.001)}
    assert rule_sentences(worse)[1].startswith("MDS is worse than random selection: -0.100")
    assert rule_sentences({**FRAMES}) == []


def study(videos: int = 40, collapsed: bool = False, shift: float = 0.0) -> StudyResult:
    rng = np.random.default_rng(0)
    listed = [Video(f"s{i}", None, "old", "train", 3.0) for i in range(3)]
    listed += [Video(f"p{i}", None, "new", "pool") for i in range(3)]
    mos = rng.uniform(1, 5, videos)
    listed += [Video(f"t{i}", None, "new", "test", float(m)) for i, m in enumerate(mos)]
    n = len(listed)
    data = StudyData.of_videos(listed, np.zeros((n, 1)), Content.stack([np.zeros((1, 1))] * n))
    before = np.concatenate([np.full(6, 3.0), mos + 0.3 * rng.normal(size=videos)])
    after = np.where(np.arange(n) % 50 == 6, 4.0, 3.0 + 1e-3 * before) if collapsed else before + shift
    runs = [RuleRun("mds", seed, [], after[6:] if seed == 0 else before[6:], np.empty(0)) for seed in range(3)]
    config = StudyConfig(videos="v.csv", out="out")
    return StudyResult(config, data, "f", [], [before, after], np.zeros(3), rule_runs=runs)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (study(), []),
        (study(29), ["The target test set has only 29 videos"]),
        (
            study(6),
            [
                "The target test set has only 6 videos",
            ],
        ),
        (study(shift=1.5), ["On the target test set, fine-tuned, the RMSE of scores as they are, without a fit, went"]),
        (
            study(collapsed=True),
            [
                "The fine-tuned model's scores on the target test set hardly differ",
                "On the target test set, fine-tuned, the RMSE",
                "Scores of 1 of the 3 models of MDS hardly differ",
            ],
        ),
    ],
)
def test_warnings(result: StudyResult, words: list[str]) -> None:
    found = warnings(result)
    assert len(found) == len(words), found
    for sentence, begin in zip(found, words, strict=True):
        assert sentence.startswith(begin)


def test_without_a_test_set_there_is_nothing_to_warn_of() -> None:
    result = study()
    none = np.empty(0, np.int64)
    assert warnings(replace(result, data=replace(result.data, target_test=none))) == []

"""Intervals of predictions on the scale of the new labels, and their chart."""

from dataclasses import replace

import numpy as np
import pytest

from arrays import config, model_of, pool_of, study
from mdsvqa.report.intervals import predicted_intervals
from mdsvqa.report.page.data import PredictedInterval
from mdsvqa.report.page.interval_bars import MOST, interval_bars
from mdsvqa.study.result import StudyResult
from mdsvqa.study.rule_comparison import all_known


@pytest.fixture(scope="module")
def result() -> StudyResult:
    """A study after 20 labels chosen at random, on arrays."""
    data = study(pool=120, source=120)
    f = model_of(data, config("random"))
    tuned = f.finetuned(data, all_known(data, data.pool[:20]), 1, 0)
    selected = [{"id": video, "rule": "random", "round": 1, "rank": 1} for video in pool_of(data).ids[:20]]
    scores = [f.scores(data).score, tuned.scores(data).score]
    return StudyResult(config("random"), data, "f", selected, scores, np.zeros(120), spread=tuned.scores(data).spread)


def known(result: StudyResult) -> np.ndarray:
    """MOS of the labeled videos of the pool and of no others."""
    mos = result.data.mos(result.data.pool)
    return np.where(np.arange(len(mos)) < 20, mos, np.nan)


def test_they_hold_most_mos_of_the_target_s_test_videos(result: StudyResult) -> None:
    found, said = predicted_intervals(result, known(result))
    assert len(found) == len(result.data.target_test)
    inside = [each.low <= each.mos <= each.high for each in found]
    assert 0.75 <= np.mean(inside) <= 1
    assert said.startswith(f"{sum(inside)} of {len(found)} target test videos ({np.mean(inside):.0%})")


def test_another_scale_of_the_target_s_mos_holds_the_same(result: StudyResult) -> None:
    videos = [
        replace(v, mos=100 - 20 * (5 - v.mos)) if v.dataset == "new" and v.mos is not None else v
        for v in result.data.videos
    ]
    moved = replace(result, data=replace(result.data, videos=videos))
    plain = predicted_intervals(result, known(result))[0]
    other = predicted_intervals(moved, known(moved))[0]
    for one, two in zip(plain, other, strict=True):
        assert (two.low, two.high) == pytest.approx((100 - 20 * (5 - one.low), 100 - 20 * (5 - one.high)))


def test_where_there_is_nothing_to_say(result: StudyResult) -> None:
    for without in (
        replace(result, spread=None),
        replace(result, spread=np.full_like(result.scores[0], np.nan)),
        replace(result, selected=[]),
        replace(result, selected=[{**row, "rule": "audit"} for row in result.selected]),
    ):
        assert predicted_intervals(without, known(without)) == ([], "")


def test_the_chart() -> None:
    intervals = [PredictedInterval("b", 3.0, 5.0, 6.0), PredictedInterval("a", 1.0, 3.0, 2.0)]
    found = interval_bars(intervals)
    assert found is not None
    assert (found.lowest, found.highest) == (1.0, 6.0)
    first, second = found.bars
    assert (first.top, first.dot, first.bottom, first.inside) == (120.0, 160.0, 200.0, True)
    assert (second.top, second.dot, second.inside) == (40.0, 0.0, False)
    assert "a: MOS 2.00, expected between 1.00 and 3.00" in first.title
    many = interval_bars([PredictedInterval(str(i), i, i + 1.0, i + 0.5) for i in range(1000)])
    assert many is not None
    assert len(many.bars) == MOST
    assert interval_bars([]) is None

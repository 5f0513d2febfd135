"""Where the fine-tuned model expects each test video's MOS, and whether it is there."""

import numpy as np

from mdsvqa.evaluation.coverage import LEVEL, label_intervals
from mdsvqa.models.statistical.two_domain_gp import level_and_unit
from mdsvqa.report.page.data import PredictedInterval
from mdsvqa.runtime.arrays import Floats
from mdsvqa.selection.audit import AUDIT
from mdsvqa.study.result import StudyResult

# Labels of a data set by which scores are put on its scale.
FEWEST = 3


def predicted_intervals(result: StudyResult, mos: Floats) -> tuple[list[PredictedInterval], str]:
    """The 90% intervals of the target's test videos, and how many hold their MOS, in a sentence.

    Args:
        result: of the study.
        mos: of the pool's videos, NaN where nobody knows it, shape (pool,).

    Returns:
        Nothing where the model knows no uncertainty, or too few labels say how its scores go with the target's MOS.
    """
    data, spread, score = result.data, result.spread, result.scores[-1]
    if spread is None or len(result.scores) < 2:
        return [], ""
    drawn = {row["id"]: row["rule"] == AUDIT for row in result.selected}
    learned = np.array([drawn.get(video) is False for video in data.ids(data.pool)]) & np.isfinite(mos)
    unit = level_and_unit(data.labeled_source())[1]
    found = []
    for code in np.unique(data.dataset[data.target_test]):
        tests = data.target_test[data.dataset[data.target_test] == code]
        tests = tests[np.isfinite(spread[tests])]
        own = learned & (data.dataset[data.pool] == code)
        if own.sum() < FEWEST or len(tests) == 0:
            continue
        limits = label_intervals(score[tests], spread[tests], score[data.pool[own]], mos[own], unit)
        numbers = zip(data.ids(tests), limits.low.tolist(), limits.high.tolist(), data.mos(tests).tolist(), strict=True)
        found += [PredictedInterval(*each) for each in numbers]
    if not found:
        return [], ""
    inside = sum(each.low <= each.mos <= each.high for each in found)
    half = float(np.median([(each.high - each.low) / 2 for each in found]))
    return found, (
        f"{inside} of {len(found)} target test videos ({inside / len(found):.0%}) have a MOS inside the {LEVEL:.0%} "
        f"interval that the fine-tuned model expects it in; half of these reach {half:.2f} points or less to either "
        "side."
    )

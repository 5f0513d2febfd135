"""The rehearsal with a vision-language model itself fine-tuned, on a few pseudo-targets: hours where the stand-in takes
minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.runtime.run import Run
from mdsvqa.selection.catalogue import BASE
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel, Waiting
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.checkpoint import CheckpointModel
from mdsvqa.study.rehearsal.repeats import Choice
from mdsvqa.study.rule_comparison import all_known


@dataclass(frozen=True)
class FinetunedResult:
    """A model on one pseudo-target's test part.

    Attributes:
        target: pseudo-target.
        contender: by whose choice it was fine-tuned; "base" for none.
        labels: that were spent.
        srcc: with MOS, within data sets.
        videos: that were measured on.
    """

    target: str
    contender: str
    labels: int
    srcc: float
    videos: int


def finetune_on_choices(
    config: StudyConfig, data: StudyData, choices: Sequence[Choice], run: Run
) -> list[FinetunedResult]:
    """Fine-tunes an adapter on what contenders chose in a repeat, and measures it beside the model before.

    Args:
        config: of the study of a vision-language model.
        data: its videos.
        choices: who was trained on, chosen and measured on, as indices of the source.
        run: the study's folder. Adapters and scores are kept in `rehearsal/real` in it, and are not made again.

    Returns:
        For each choice the fine-tuned model, and for each pseudo-target the model before.
    """
    once = config.model_copy(update={"rounds": 1})
    found: list[FinetunedResult] = []
    for choice in choices:
        place = run.within(f"rehearsal/real/{choice.target.replace('/', '-')}")
        train, new, test = (data.source[part] for part in (choice.train, choice.chosen, choice.test))
        tests = data.of(test)
        base = CheckpointModel(once, place.within("base"))
        if not any(result.target == choice.target for result in found):
            found.append(_measured(choice.target, BASE, 0, tests, base))
        own = CheckpointModel(once, place.within(choice.contender.replace("/", "-")))
        better = own.finetuned(replace(data, source=train), all_known(data, new), 1, config.seed)
        assert not isinstance(better, Waiting)
        found.append(_measured(choice.target, choice.contender, len(new), tests, better))
    return found


def _measured(target: str, contender: str, labels: int, tests: StudyData, f: StudyModel) -> FinetunedResult:
    scores, every = f.scores(tests).score, np.arange(len(tests.videos))
    known = every[np.isfinite(scores)]
    names = sorted({video.dataset for video in tests.videos})
    dataset = np.array([names.index(tests.videos[int(place)].dataset) for place in known], np.int64)
    srcc = srcc_within(scores[known], tests.mos(known), dataset)
    return FinetunedResult(target, contender, labels, srcc, len(known))

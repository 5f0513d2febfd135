"""The rehearsal with a vision-language model itself fine-tuned, on a few pseudo-targets: hours where the proxy takes
minutes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.vlm.load import score_with_vlm
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.workers import cores
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import Material
from mdsvqa.study.rehearsal.repeats import Choice
from mdsvqa.videos.video import Video


@dataclass(frozen=True)
class RealResult:
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


def rehearse_really(
    config: StudyConfig, material: Material, choices: Sequence[Choice], show: Show, *, overwrite: bool = False
) -> list[RealResult]:
    """Fine-tunes an adapter on what contenders chose in a repeat, and measures it beside the model before.

    Adapters and scores are kept in `rehearsal/real` of the study's folder; what is there is not made again.

    Args:
        config: of the study of a vision-language model.
        material: its videos.
        choices: who was trained on, chosen and measured on, as indices of the source.
        overwrite: make anew what other settings made.

    Returns:
        For each choice the fine-tuned model, and for each pseudo-target the model before.
    """
    from mdsvqa.models.training.finetune import finetune_vlm  # noqa: PLC0415

    vlm, workers = config.quality.vlm, cores(config.workers)
    name, training = config.quality.model, config.finetuning.vlm.model_copy(update={"seed": config.seed})
    on_top = vlm.below()
    source = [material.videos[int(index)] for index in material.source]
    found: list[RealResult] = []
    for choice in choices:
        folder = config.out / "rehearsal" / "real" / choice.target.replace("/", "-")
        train, new, test = ([source[int(i)] for i in part] for part in (choice.train, choice.chosen, choice.test))
        own = folder / choice.contender.replace("/", "-")
        finetune_vlm(train, new, [], own / "adapter", name, on_top, training, workers, show, overwrite=overwrite)
        models = {choice.contender: (own / "scores", on_top.model_copy(update={"adapter": str(own / "adapter")}))}
        if not any(result.target == choice.target for result in found):
            models = {"base": (folder / "base", vlm), **models}
        for contender, (scores, settings) in models.items():
            table = score_with_vlm(test, scores, name, settings, workers, show, overwrite=overwrite)
            rows = {row["id"]: row["score"] for row in table.select(["id", "score"]).to_pylist()}
            spent = 0 if contender == "base" else len(new)
            found.append(_measured(choice.target, contender, spent, test, rows))
    return found


def _measured(
    target: str, contender: str, labels: int, test: Sequence[Video], scores: dict[str, float | None]
) -> RealResult:
    known = [video for video in test if scores.get(video.id) is not None]
    names = sorted({video.dataset for video in known})
    srcc = srcc_within(
        np.array([scores[video.id] for video in known], np.float64),
        np.array([video.mos for video in known], np.float64),
        np.array([names.index(video.dataset) for video in known], np.int64),
    )
    return RealResult(target, contender, labels, srcc, len(known))
